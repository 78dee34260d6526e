"""statistics.json says what is in the table, and its sketch ranks values nearly right."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from triage.monitor.documents import Statistics
from triage.monitor.statistics import CAPACITY, describe, ranks, sketch

TABLE = pd.DataFrame(
    {
        "characters": pd.array([10, 20, 30, None], "Int64"),
        "confidence": [0.5, 0.25, 1.0, 0.25],
        "intent": ["refund", "refund", "invoice", None],
        "message": [f"text {n}" for n in range(4)],
        "nothing": [None] * 4,
    }
)


def test_every_column_is_described_by_its_type() -> None:
    found = describe(TABLE)
    assert found.dataset.item_count == 4
    assert {one.name: one.inferred_type for one in found.features} == {
        "characters": "Integral",
        "confidence": "Fractional",
        "intent": "String",
        "message": "String",
        "nothing": "Unknown",
    }


def test_the_document_has_the_fields_that_aws_documents() -> None:
    document = json.loads(describe(TABLE).model_dump_json(exclude_none=True))
    characters, _, intent, *_ = document["features"]
    assert document["version"] == 0
    numbers = characters["numerical_statistics"]
    assert numbers["common"] == {"num_present": 3, "num_missing": 1}
    assert (numbers["mean"], numbers["sum"]) == (20, 60)
    assert numbers["std_dev"] == pytest.approx(np.std([10, 20, 30]))
    assert (numbers["min"], numbers["max"]) == (10, 30)
    kll = numbers["distribution"]["kll"]
    assert len(kll["buckets"]) == 10
    assert sum(bucket["count"] for bucket in kll["buckets"]) == 3
    assert kll["sketch"] == {
        "parameters": {"c": 0.64, "k": 2048},
        "data": [[10, 20, 30]],
    }
    assert intent["string_statistics"] == {
        "common": {"num_present": 3, "num_missing": 1},
        "distinct_count": 2,
        "distribution": {
            "categorical": {
                "buckets": [
                    {"value": "refund", "count": 2},
                    {"value": "invoice", "count": 1},
                ]
            }
        },
    }


def test_free_text_is_counted_and_not_repeated() -> None:
    secrets = pd.DataFrame({"message": [f"my card is {n}" for n in range(500)]})
    text = describe(secrets).model_dump_json(exclude_none=True)
    assert '"distinct_count":500' in text
    assert "my card" not in text


def test_what_is_written_is_read_again(tmp_path) -> None:
    written = describe(TABLE)
    written.write(tmp_path / "statistics.json")
    assert Statistics.read(tmp_path / "statistics.json") == written


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200))
def test_a_small_sketch_is_exact(values: list[float]) -> None:
    [level] = sketch(np.array(values))
    assert level == sorted(values)
    at = np.array(values)
    expected = [np.mean(at <= value) for value in values]
    np.testing.assert_allclose(ranks([level], at), expected)


def test_a_large_sketch_stays_small_and_keeps_ranks() -> None:
    values = np.random.default_rng(0).normal(size=200_001)
    levels = sketch(values)
    assert sum(map(len, levels)) < 4 * CAPACITY
    weight = sum(len(level) * 2**height for height, level in enumerate(levels))
    assert weight == len(values)
    at = np.linspace(-3, 3, 50)
    truth = np.searchsorted(np.sort(values), at, "right") / len(values)
    assert np.abs(ranks(levels, at) - truth).max() < 0.01
