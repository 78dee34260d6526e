"""Each check of Model Monitor goes off for its own defect, and for nothing in a calm window."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from triage.monitor.constraints import robust, suggest, violations
from triage.monitor.documents import Constraints, MonitoringConfig
from triage.monitor.statistics import describe


def requests(seed: int, count: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "message": [f"message {n}" for n in rng.integers(10**9, size=count)],
            "characters": pd.array(rng.poisson(80, count), "Int64"),
            "confidence": rng.beta(5, 2, count),
            "intent": rng.choice(
                ["refund", "invoice", "late"], count, p=[0.5, 0.3, 0.2]
            ),
        }
    )


BASELINE = describe(requests(0, 2000))
CONSTRAINTS = suggest(BASELINE)


def unchanged(table: pd.DataFrame) -> pd.DataFrame:
    return table


def numbers_as_text(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(confidence=table["confidence"].map("{:.2f}".format))


def a_hole(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(message=table["message"].where(table.index > 3))


def longer(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(characters=table["characters"] + 40)


def another_mix(table: pd.DataFrame) -> pd.DataFrame:
    late = table["intent"].where(table.index % 3 > 0, "late")
    return table.assign(intent=late)


def unheard_of(table: pd.DataFrame) -> pd.DataFrame:
    strange = table["intent"].where(table.index % 7 > 0, "pigeon")
    return table.assign(intent=strange)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (unchanged, set()),
        (numbers_as_text, {("confidence", "data_type_check")}),
        (a_hole, {("message", "completeness_check")}),
        (longer, {("characters", "baseline_drift_check")}),
        (another_mix, {("intent", "baseline_drift_check")}),
        (
            unheard_of,
            {
                ("intent", "categorical_values_check"),
                ("intent", "baseline_drift_check"),
            },
        ),
        (
            lambda t: t.drop(columns="confidence"),
            {("confidence", "missing_column_check")},
        ),
        (lambda t: t.assign(locale="en"), {("locale", "extra_column_check")}),
    ],
)
def test_a_defect_is_named(
    change: Callable[[pd.DataFrame], pd.DataFrame], found: set[tuple[str, str]]
) -> None:
    said = violations(change(requests(1)), BASELINE, CONSTRAINTS).violations
    assert {(one.feature_name, one.constraint_check_type) for one in said} == found
    assert all(one.description for one in said)


def test_whole_numbers_may_stand_where_fractions_stood() -> None:
    whole = requests(1).assign(confidence=1)
    said = violations(whole, BASELINE, CONSTRAINTS).violations
    assert "data_type_check" not in {one.constraint_check_type for one in said}


def test_the_suggested_document_has_the_fields_that_aws_documents() -> None:
    document = CONSTRAINTS.model_dump(exclude_none=True)
    named = {one["name"]: one for one in document["features"]}
    assert named["confidence"] == {
        "name": "confidence",
        "inferred_type": "Fractional",
        "completeness": 1.0,
        "num_constraints": {"is_non_negative": True},
    }
    assert named["intent"]["string_constraints"] == {
        "domains": ["invoice", "late", "refund"]
    }
    assert "string_constraints" not in named["message"]  # free text has no domain
    assert document["monitoring_config"] == {
        "evaluate_constraints": "Enabled",
        "emit_metrics": "Enabled",
        "datatype_check_threshold": 0.1,
        "domain_content_threshold": 0.1,
        "distribution_constraints": {
            "perform_comparison": "Enabled",
            "comparison_threshold": 0.1,
            "comparison_method": "Robust",
            "categorical_comparison_threshold": 0.1,
            "categorical_drift_method": "LInfinity",
        },
    }


def test_thresholds_are_those_of_the_document() -> None:
    strict = MonitoringConfig.model_validate(
        {
            "distribution_constraints": {
                "comparison_threshold": 0.0,
                "comparison_method": "Simple",
            }
        }
    )
    document = Constraints(features=CONSTRAINTS.features, monitoring_config=strict)
    said = violations(requests(1), BASELINE, document).violations
    assert ("characters", "baseline_drift_check") in {
        (one.feature_name, one.constraint_check_type) for one in said
    }


def test_small_samples_are_forgiven_their_distance() -> None:
    assert robust(0.5, 10, 10) == 0.0
    assert robust(0.5, 10_000, 10_000) == pytest.approx(0.5 - 1.8 * (2 / 10_000) ** 0.5)
