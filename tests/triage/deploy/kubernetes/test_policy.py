"""The manifests are what a cluster takes and the policy asks; every rule is seen to fail."""

import copy
from collections.abc import Callable
from pathlib import Path

import pytest

from triage.deploy.kubernetes import manifests, policy
from triage.errors import TriageError
from triage.service.batching import MAX_WAITING

FOLDER = Path(manifests.__file__).parent


@pytest.fixture
def stack() -> list[manifests.Manifest]:
    return manifests.read(FOLDER)


def one(stack: list[manifests.Manifest], kind: str) -> manifests.Manifest:
    (found,) = [manifest for manifest in stack if manifest["kind"] == kind]
    return found


def container(stack: list[manifests.Manifest]) -> dict:
    return one(stack, "Deployment")["spec"]["template"]["spec"]["containers"][0]


def test_every_file_is_listed() -> None:
    kinds = {manifest["kind"] for manifest in manifests.read(FOLDER)}
    files = {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}
    assert len(kinds) == len(files) == 6


def test_the_manifests_are_what_they_should_be(stack) -> None:
    assert list(manifests.misspelt(stack)) == []
    assert policy.broken(stack) == []


@pytest.mark.parametrize(
    ("kind", "change", "said"),
    [
        (
            "Deployment",
            lambda m: m["spec"].update(progressDeadlineSecond=3),
            "progressDeadlineSecond",
        ),
        (
            "Deployment",
            lambda m: m["spec"]["strategy"]["rollingUpdate"].update(maxSurges=1),
            "maxSurges",
        ),
        ("Service", lambda m: m["spec"].update(ports="80"), "ports"),
        ("ConfigMap", lambda m: m["data"].update(OMP_NUM_THREADS=1), "OMP_NUM_THREADS"),
        (
            "HorizontalPodAutoscaler",
            lambda m: m.update(apiVersion="autoscaling/v2beta2"),
            "v2beta2",
        ),
    ],
)
def test_the_schema_refuses(
    kind: str, change: Callable[[dict], None], said: str, stack
) -> None:
    change(one(stack, kind))
    (found,) = manifests.misspelt(stack)
    assert kind in found
    assert said in found


DEFECTS: dict[str, tuple[Callable[[list], object], str]] = {
    "a_slow_start_is_not_a_failure": (
        lambda s: container(s).pop("startupProbe"),
        "still loading",
    ),
    "traffic_waits_for_the_model": (
        lambda s: container(s)["readinessProbe"]["httpGet"].update(path="/healthz"),
        "Readiness asks /healthz",
    ),
    "liveness_does_not_ask_for_the_model": (
        lambda s: container(s)["livenessProbe"]["httpGet"].update(path="/readyz"),
        "Liveness asks /readyz",
    ),
    "threads_match_cores": (
        lambda s: container(s)["resources"]["requests"].update(cpu="2500m"),
        "1 threads compute on 2500m cores",
    ),
    "no_quota_on_the_processor": (
        lambda s: container(s)["resources"]["limits"].update(cpu="1"),
        "stops all threads",
    ),
    "memory_is_promised_and_bounded": (
        lambda s: container(s)["resources"]["requests"].update(memory="512Mi"),
        "differ",
    ),
    "image_by_digest": (
        lambda s: container(s).update(image="registry.larch.example/triage:latest"),
        "triage:latest",
    ),
    "a_node_can_be_emptied": (
        lambda s: one(s, "PodDisruptionBudget")["spec"].update(maxUnavailable=0),
        "never be emptied",
    ),
    "one_hand_on_the_replicas": (
        lambda s: one(s, "Deployment")["spec"].update(replicas=2),
        "undoes the autoscaler",
    ),
    "a_rollout_takes_nobody_away": (
        lambda s: one(s, "Deployment")["spec"].pop("strategy"),
        "before its successor",
    ),
    "selectors_find_the_pods": (
        lambda s: one(s, "Service")["spec"].update(selector={"app": "triag"}),
        "by: Service.",
    ),
    "the_autoscaler_finds_the_deployment": (
        lambda s: one(s, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"].update(
            name="triag"
        ),
        "Deployment triag,",
    ),
    "ports_have_one_name": (
        lambda s: one(s, "Service")["spec"]["ports"][0].update(targetPort="web"),
        "['web']",
    ),
    "nobody_else_gets_in_or_out": (
        lambda s: one(s, "NetworkPolicy")["spec"].update(policyTypes=["Ingress"]),
        "direction open",
    ),
    "no_rights_it_does_not_need": (
        lambda s: container(s)["securityContext"].pop("readOnlyRootFilesystem"),
        "readOnlyRootFilesystem",
    ),
}


def test_every_rule_has_a_defect() -> None:
    assert {rule.__name__ for rule in policy.RULES} == DEFECTS.keys()


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_breaks_its_rule_and_no_other(name: str, stack) -> None:
    change, said = DEFECTS[name]
    changed = copy.deepcopy(stack)
    change(changed)
    (found,) = policy.broken(changed)
    assert said in found


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda s: one(s, "PodDisruptionBudget")["spec"].update(minAvailable=2),
            "never be emptied",
        ),
        (
            lambda s: one(s, "HorizontalPodAutoscaler")["spec"].update(minReplicas=1),
            "With one replica",
        ),
        (lambda s: s.remove(one(s, "NetworkPolicy")), "by: NetworkPolicy."),
    ],
)
def test_other_ways_to_break_a_rule(change, said: str, stack) -> None:
    change(stack)
    assert any(said in found for found in policy.broken(stack))


def test_a_folder_without_manifests_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(TriageError, match="Cannot read manifests from"):
        manifests.read(tmp_path)


def test_the_autoscaler_knows_how_many_may_wait() -> None:
    from triage.deploy.kubernetes.autoscaling import ROOM

    assert ROOM == MAX_WAITING
