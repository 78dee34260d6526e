"""statistics.json of a table: what each column looks like, small enough to keep for years."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from pandas.api import types

from triage.monitor import documents as doc

BUCKETS = 10
CAPACITY = 2048
"""Values a sketch keeps at its coarsest level; up to so many it is exact."""
SHRINK = 0.64
"""How much smaller the level below is, as in the data that AWS shows."""
CARDINALITY = 100
"""A column of text with more different values than this is free text, and its values are not listed."""


def describe(table: pd.DataFrame) -> doc.Statistics:
    """The statistics of every column; columns of text that are all different are only counted."""
    return doc.Statistics(
        dataset=doc.DatasetStatistics(item_count=len(table)),
        features=[feature(str(name), table[name]) for name in table.columns],
    )


def feature(name: str, values: pd.Series) -> doc.FeatureStatistics:
    """One column, by the type that its values have."""
    kind = inferred_type(values)
    present = values.dropna()
    common = doc.Common(num_present=len(present), num_missing=values.isna().sum())
    if kind == "String":
        text = string_statistics(present.astype(str), common)
        return doc.FeatureStatistics(
            name=name, inferred_type=kind, string_statistics=text
        )
    if kind == "Unknown":
        return doc.FeatureStatistics(name=name, inferred_type=kind)
    numbers = numerical_statistics(present.to_numpy(float), common)
    return doc.FeatureStatistics(
        name=name, inferred_type=kind, numerical_statistics=numbers
    )


def inferred_type(values: pd.Series) -> doc.Type:
    """What most would call the column, from the values that are there."""
    present = values.dropna().infer_objects()
    if present.empty:
        return "Unknown"
    if types.is_bool_dtype(present):
        return "String"
    if types.is_integer_dtype(present):
        return "Integral"
    if types.is_float_dtype(present):
        return "Fractional"
    return "String"


def numerical_statistics(
    values: np.ndarray, common: doc.Common
) -> doc.NumericalStatistics:
    return doc.NumericalStatistics(
        common=common,
        mean=values.mean(),
        sum=values.sum(),
        std_dev=values.std(),
        min=values.min(),
        max=values.max(),
        distribution=doc.NumericalDistribution(
            kll=doc.Kll(
                buckets=buckets(values),
                sketch=doc.Sketch(
                    parameters=doc.SketchParameters(c=SHRINK, k=CAPACITY),
                    data=sketch(values),
                ),
            )
        ),
    )


def string_statistics(values: pd.Series, common: doc.Common) -> doc.StringStatistics:
    counts = values.value_counts()
    listed = None
    if len(counts) <= CARDINALITY:
        found = [
            doc.Value(value=str(value), count=count) for value, count in counts.items()
        ]
        listed = doc.CategoricalDistribution(categorical=doc.Categorical(buckets=found))
    return doc.StringStatistics(
        common=common, distinct_count=len(counts), distribution=listed
    )


def buckets(values: np.ndarray) -> list[doc.Range]:
    """Ten of equal width from the smallest value to the largest."""
    counts, edges = np.histogram(values, bins=BUCKETS)
    return [
        doc.Range(lower_bound=low, upper_bound=high, count=count)
        for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
    ]


# region sketch
def sketch(values: np.ndarray, seed: int = 0) -> list[list[float]]:
    """A KLL sketch: levels of values, each standing for twice as many as one below.

    A level that is too full is sorted, and every second value moves up. So it keeps a
    few thousand numbers of however many, and ranks come out nearly right.
    Karnin, Lang and Liberty 2016, arXiv:1603.05346.
    """
    coin = np.random.default_rng(seed)
    levels = [[float(value) for value in values]]
    height = 0
    while height < len(levels):
        top = len(levels) - 1
        room = max(2, math.ceil(CAPACITY * SHRINK ** (top - height)))
        level = levels[height]
        if len(level) <= room:
            height += 1
            continue
        spare = [level.pop()] if len(level) % 2 else []  # an odd one stays below
        level.sort()
        if height == top:
            levels.append([])
        levels[height + 1] += level[coin.integers(2) :: 2]
        levels[height] = spare
        height = 0  # below a new top there is less room
    return [sorted(level) for level in levels]


def ranks(levels: Sequence[Sequence[float]], at: np.ndarray) -> np.ndarray:
    """The share of what a sketch has seen that is at most `at`, 0 to 1, for each."""
    values = np.concatenate([np.asarray(level, float) for level in levels])
    weights = np.concatenate(
        [np.full(len(level), 2.0**height) for height, level in enumerate(levels)]
    )
    order = np.argsort(values, kind="stable")
    passed = np.concatenate([[0.0], np.cumsum(weights[order])])
    return passed[np.searchsorted(values[order], at, side="right")] / passed[-1]


# endregion sketch
