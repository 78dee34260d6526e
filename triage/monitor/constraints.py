"""constraints.json, suggested from a baseline, and what in a later window violates it."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from triage.monitor import documents as doc
from triage.monitor.statistics import describe, inferred_type, ranks


def suggest(baseline: doc.Statistics) -> doc.Constraints:
    """What held in the baseline, as rules. A proposal: read it, and loosen what you know to vary."""
    return doc.Constraints(features=[rule(feature) for feature in baseline.features])


def rule(feature: doc.FeatureStatistics) -> doc.FeatureConstraints:
    numbers, text = feature.numerical_statistics, feature.string_statistics
    one = numbers or text
    counted = one.common if one else doc.Common(num_present=0, num_missing=1)
    listed = text.distribution.categorical.buckets if text and text.distribution else []
    return doc.FeatureConstraints(
        name=feature.name,
        inferred_type=feature.inferred_type,
        completeness=counted.num_present / (counted.num_present + counted.num_missing),
        num_constraints=(
            doc.NumConstraints(is_non_negative=numbers.min >= 0) if numbers else None
        ),
        string_constraints=(
            doc.StringConstraints(domains=sorted(one.value for one in listed))
            if listed
            else None
        ),
    )


# region violations
def violations(
    table: pd.DataFrame, baseline: doc.Statistics, constraints: doc.Constraints
) -> doc.Violations:
    """Every rule that a window of requests breaks."""
    config = constraints.monitoring_config
    rules = {one.name: one for one in constraints.features}
    before = {one.name: one for one in baseline.features}
    found = [
        violation(name, "missing_column_check", "The baseline has this column.")
        for name in rules.keys() - set(table.columns)
    ]
    for name in table.columns:
        if name not in rules:
            found.append(
                violation(name, "extra_column_check", "The baseline lacks this column.")
            )
        else:
            found += judge(table[name], rules[name], before[name], config)
    return doc.Violations(violations=found)


def judge(
    values: pd.Series,
    rule: doc.FeatureConstraints,
    before: doc.FeatureStatistics,
    config: doc.MonitoringConfig,
) -> Iterator[doc.Violation]:
    """One column against its rule. What is no number any more has no distribution."""
    complete = values.notna().mean()
    if complete < rule.completeness:
        said = f"{complete:.1%} of the values are there, {rule.completeness:.1%} were."
        yield violation(rule.name, "completeness_check", said)
    foreign = share_of_other_types(values, rule.inferred_type)
    if foreign > config.datatype_check_threshold:
        said = f"{foreign:.1%} of the values are not {rule.inferred_type}."
        yield violation(rule.name, "data_type_check", said)
        return
    if rule.string_constraints:
        known = set(rule.string_constraints.domains)
        strange = (~values.dropna().astype(str).isin(known)).mean()
        if strange > config.domain_content_threshold:
            said = f"{strange:.1%} of the values were never seen in the baseline."
            yield violation(rule.name, "categorical_values_check", said)
    apart, allowed = distance(values, before, config.distribution_constraints)
    if apart > allowed:
        said = f"Distance to the baseline {apart:.3f}, allowed are {allowed:.3f}."
        yield violation(rule.name, "baseline_drift_check", said)


# endregion violations


def violation(name: str, check: doc.Check, description: str) -> doc.Violation:
    return doc.Violation(
        feature_name=name, constraint_check_type=check, description=description
    )


def share_of_other_types(values: pd.Series, expected: doc.Type) -> float:
    """How many of the values that are there have another type; a whole number may be a fraction."""
    present = values.dropna()
    allowed = {
        "Integral": {"Integral"},
        "Fractional": {"Fractional", "Integral"},
        "String": {"String"},
        "Unknown": {"Integral", "Fractional", "String", "Unknown"},
    }[expected]
    if inferred_type(present) in allowed or present.empty:
        return 0.0
    kinds = present.map(lambda value: inferred_type(pd.Series([value])))
    return float((~kinds.isin(allowed)).mean())


def distance(
    values: pd.Series,
    before: doc.FeatureStatistics,
    config: doc.DistributionConstraints,
) -> tuple[float, float]:
    """How far a column is from its baseline, 0 to 1, and how far it may be."""
    now = describe(values.to_frame(before.name)).features[0]
    old_numbers, numbers = before.numerical_statistics, now.numerical_statistics
    if old_numbers and numbers:
        old = old_numbers.distribution.kll.sketch.data
        new = numbers.distribution.kll.sketch.data
        at = np.concatenate([*old, *new])
        apart = float(np.abs(ranks(old, at) - ranks(new, at)).max())
        if config.comparison_method == "Robust":
            n, m = old_numbers.common.num_present, numbers.common.num_present
            apart = robust(apart, n, m)
        return apart, config.comparison_threshold
    old_text, text = before.string_statistics, now.string_statistics
    if old_text and text and old_text.distribution and text.distribution:
        shares = [
            {one.value: one.count / each.common.num_present for one in listed}
            for each, listed in (
                (old_text, old_text.distribution.categorical.buckets),
                (text, text.distribution.categorical.buckets),
            )
        ]
        every = shares[0].keys() | shares[1].keys()
        apart = max(abs(shares[0].get(v, 0) - shares[1].get(v, 0)) for v in every)
        return apart, config.categorical_comparison_threshold
    return 0.0, 0.0


def robust(apart: float, n: int, m: int) -> float:
    """What is left of a distance when that which samples of n and m differ by anyway is taken off.

    As Deequ does it, the library inside Model Monitor: `Distance.scala`, after the two-sample
    Kolmogorov-Smirnov test.
    """
    return max(0.0, apart - 1.8 * ((n + m) / (n * m)) ** 0.5)
