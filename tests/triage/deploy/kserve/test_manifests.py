"""The InferenceService is KServe's, word for word; what is not, is refused."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from triage.agent.model import CALL
from triage.deploy.kserve.manifests import FOLDER, misspelt


@pytest.fixture
def service() -> dict[str, Any]:
    return yaml.safe_load((FOLDER / "assistant.yaml").read_text("utf-8"))


def test_it_is_an_inference_service(service) -> None:
    assert list(misspelt(service)) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda p: p.update(maxReplica=p.pop("maxReplicas")), "maxReplica"),
        (lambda p: p.update(minReplicas="2"), "minReplicas"),
        (lambda p: p.update(scaleMetric="queue"), "scaleMetric"),
        (lambda p: p["model"].pop("modelFormat"), "modelFormat"),
        (lambda p: p["model"].update(args="--max-num-seqs=64"), "args"),
        (lambda p: p["model"].update(storageURI="s3://"), "storageURI"),
        (lambda p: p["model"]["modelFormat"].clear(), "name"),
        (lambda p: p["model"]["startupProbe"].update(failures=3), "failures"),
        (lambda p: p["model"]["resources"].update(limit={}), "limit"),
        (lambda p: p["autoScaling"]["metrics"][0].update(type="Queue"), "Queue"),
        (
            lambda p: p["autoScaling"]["metrics"][0]["external"].pop("target"),
            "target",
        ),
        (
            lambda p: p["autoScaling"]["behavior"]["scaleDown"].update(window=1),
            "window",
        ),
    ],
)
def test_what_is_not_kserves_is_refused(
    service, change: Callable[[dict], Any], said: str
) -> None:
    other = copy.deepcopy(service)
    change(other["spec"]["predictor"])
    (sentence,) = misspelt(other)
    assert said in sentence
    assert sentence.startswith("spec.predictor")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("apiVersion", "serving.kserve.io/v1"),
        ("kind", "InferenceServices"),
        ("status", {}),
    ],
)
def test_the_frame_is_checked_too(service, field: str, value: Any) -> None:
    assert list(misspelt(service | {field: value})) != []


def test_engine_and_model_agree(service) -> None:
    """vLLM's parser of that name looks for what the model was trained to write."""
    assert "--tool-call-parser=hermes" in service["spec"]["predictor"]["model"]["args"]
    assert CALL == "<tool_call>"


def test_licence_and_origin_are_stated() -> None:
    head = (FOLDER / "inferenceservice.json").read_text("utf-8")[:1000]
    assert "KServe 0.21.0" in head
    assert "Apache License 2.0" in head
