"""The three documents of SageMaker Model Monitor, with exactly the fields that AWS documents.

https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-byoc-statistics.html
https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-byoc-constraints.html
https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-interpreting-violations.html
"""

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from triage.errors import TriageError
from triage.files import write_atomically

Type = Literal["Integral", "Fractional", "String", "Unknown"]
Switch = Literal["Enabled", "Disabled"]
Check = Literal[
    "data_type_check",
    "completeness_check",
    "baseline_drift_check",
    "missing_column_check",
    "extra_column_check",
    "categorical_values_check",
]


class Part(BaseModel):
    """A piece of a document: a field that AWS does not document is refused."""

    model_config = ConfigDict(extra="forbid")


class Document(Part):
    """A whole file."""

    def write(self, path: Path) -> None:
        text = self.model_dump_json(indent=2, exclude_none=True)
        write_atomically(path, text.encode())

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises TriageError if the file is missing or is no such document."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError as error:
            raise TriageError(
                f"No {path.name} in {path.parent}. Write one with `triage monitor baseline`."
            ) from error
        except ValidationError as error:
            raise TriageError(
                f"{path} is no {cls.__name__.lower()} document: {error.errors()[0]['msg']}."
            ) from error


# --- statistics.json ---


class Common(Part):
    num_present: int
    num_missing: int


class Range(Part):
    lower_bound: float
    upper_bound: float
    count: float


class SketchParameters(Part):
    c: float
    k: float


class Sketch(Part):
    parameters: SketchParameters
    data: list[list[float]]
    """Values; one of the n-th list stands for two to the n of those that were seen."""


class Kll(Part):
    buckets: list[Range]
    sketch: Sketch


class NumericalDistribution(Part):
    kll: Kll


class NumericalStatistics(Part):
    common: Common
    mean: float
    sum: float
    std_dev: float
    min: float
    max: float
    distribution: NumericalDistribution


class Value(Part):
    value: str
    count: int


class Categorical(Part):
    buckets: list[Value]


class CategoricalDistribution(Part):
    categorical: Categorical


class StringStatistics(Part):
    common: Common
    distinct_count: int
    distribution: CategoricalDistribution | None = None


class FeatureStatistics(Part):
    name: str
    inferred_type: Type
    numerical_statistics: NumericalStatistics | None = None
    string_statistics: StringStatistics | None = None


class DatasetStatistics(Part):
    item_count: int


class Statistics(Document):
    version: int = 0
    dataset: DatasetStatistics
    features: list[FeatureStatistics]


# --- constraints.json ---


class NumConstraints(Part):
    is_non_negative: bool


class StringConstraints(Part):
    domains: list[str]


class FeatureConstraints(Part):
    name: str
    inferred_type: Type
    completeness: float
    num_constraints: NumConstraints | None = None
    string_constraints: StringConstraints | None = None


class DistributionConstraints(Part):
    perform_comparison: Switch = "Enabled"
    comparison_threshold: float = 0.1
    comparison_method: Literal["Simple", "Robust"] = "Robust"
    categorical_comparison_threshold: float = 0.1
    categorical_drift_method: Literal["LInfinity", "ChiSquared"] = "LInfinity"


class MonitoringConfig(Part):
    evaluate_constraints: Switch = "Enabled"
    emit_metrics: Switch = "Enabled"
    datatype_check_threshold: float = 0.1
    domain_content_threshold: float = 0.1
    distribution_constraints: DistributionConstraints = DistributionConstraints()


class Constraints(Document):
    version: int = 0
    features: list[FeatureConstraints]
    monitoring_config: MonitoringConfig = MonitoringConfig()


# --- constraint_violations.json ---


class Violation(Part):
    feature_name: str
    constraint_check_type: Check
    description: str


class Violations(Document):
    violations: list[Violation]
