"""The agent's manifests are what a cluster takes and both policies ask; every rule is seen to fail."""

import copy
from collections.abc import Callable
from pathlib import Path

import pytest

from triage.deploy.agent import policy
from triage.deploy.kubernetes import manifests

FOLDER = Path(policy.__file__).parent
Stack = list[manifests.Manifest]


@pytest.fixture
def stack() -> Stack:
    return manifests.read(FOLDER)


def one(stack: Stack, kind: str) -> manifests.Manifest:
    (found,) = [manifest for manifest in stack if manifest["kind"] == kind]
    return found


def pod(stack: Stack) -> dict:
    return one(stack, "Deployment")["spec"]["template"]["spec"]


def worker(stack: Stack) -> dict:
    return pod(stack)["containers"][1]


def test_every_file_is_listed(stack: Stack) -> None:
    files = {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}
    assert len(stack) == len(files) == 7


def test_the_manifests_are_what_they_should_be(stack: Stack) -> None:
    assert list(manifests.misspelt(stack)) == []
    assert policy.broken(stack) == []


def egress(stack: Stack) -> list[dict]:
    return one(stack, "NetworkPolicy")["spec"]["egress"]


DEFECTS: dict[str, Callable[[Stack], object]] = {
    "can be read in the manifests": lambda s: worker(s)["env"].__setitem__(
        1, {"name": "OPENAI_API_KEY", "value": "sk-1"}
    ),
    "can be read": lambda s: one(s, "ConfigMap")["data"].update(OPENAI_API_KEY="sk-1"),
    "given to": lambda s: pod(s)["containers"][0].update(env=worker(s)["env"]),
    "It scales on ['Resource']": lambda s: one(s, "HorizontalPodAutoscaler")[
        "spec"
    ].update(
        metrics=[
            {
                "type": "Resource",
                "resource": {
                    "name": "cpu",
                    "target": {"type": "Utilization", "averageUtilization": 50},
                },
            }
        ]
    ),
    "killed after 50 s": lambda s: pod(s).update(terminationGracePeriodSeconds=50),
    "killed after 60 s": lambda s: worker(s)["args"].remove("--grace"),
    "reach everything": lambda s: egress(s).append({"ports": [{"port": 443}]}),
    "nobody has named": lambda s: egress(s).append(
        {"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}], "ports": [{"port": 443}]}
    ),
    "worker: The pod has rights": lambda s: worker(s)["securityContext"].pop(
        "readOnlyRootFilesystem"
    ),
    "worker: Memory": lambda s: worker(s)["resources"]["limits"].clear(),
    "The image is not named by digest": lambda s: pod(s)["containers"][0].update(
        image="agent:latest"
    ),
}


@pytest.mark.parametrize("said", DEFECTS)
def test_a_defect_breaks_its_rule(said: str, stack: Stack) -> None:
    DEFECTS[said](stack)
    assert list(manifests.misspelt(stack)) == []
    assert [each for each in policy.broken(stack) if said in each]


def test_every_rule_has_its_defect() -> None:
    broken = set()
    for defect in DEFECTS.values():
        stack = copy.deepcopy(manifests.read(FOLDER))
        defect(stack)
        broken |= {rule.__name__ for rule in policy.RULES if rule(policy.Stack(stack))}
    assert broken == {rule.__name__ for rule in policy.RULES}


def test_a_misspelt_field_is_refused(stack: Stack) -> None:
    metrics = one(stack, "HorizontalPodAutoscaler")["spec"]["metrics"]
    metrics[0]["external"]["target"]["averageValu"] = "20"
    (found,) = manifests.misspelt(stack)
    assert "averageValu" in found
