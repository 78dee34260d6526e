"""A pod becomes a confined container, or a sentence."""

from collections.abc import Mapping
from typing import Any

import pytest

from autograder.engine import Image
from autograder.errors import LearnerError
from autograder.kubernetes.pod import Pod, pod

CONFIG = {"triage": {"LEVEL": "info", "PORT": "8080"}}


def image(user: str = "10001:10001") -> Image:
    config = {"User": user} if user else {}
    return Image("id", 0, (), (), (), config)


def deployment(container: Mapping[str, Any] = {}, **spec: Any) -> dict[str, Any]:
    whole = {"name": "triage", "image": "triage:1", **container}
    return {"spec": {"template": {"spec": {"containers": [whole], **spec}}}}


def planned(
    container: Mapping[str, Any] = {}, user: str = "10001:10001", **spec: Any
) -> Pod:
    return pod(deployment(container, **spec), CONFIG, image(user))


def test_defaults_are_those_of_kubernetes() -> None:
    plain = planned({"livenessProbe": {"httpGet": {"path": "/healthz", "port": 8080}}})
    assert plain.user is None
    assert plain.grace == 30
    assert plain.env == {}
    assert not plain.read_only
    liveness = plain.probes["liveness"]
    assert (liveness.delay, liveness.period, liveness.timeout) == (0, 10, 1)
    assert liveness.patience == 30


def test_everything_that_is_written_down_arrives() -> None:
    full = planned(
        {
            "args": ["--port", "8080"],
            "envFrom": [{"configMapRef": {"name": "triage"}}],
            "env": [
                {"name": "LEVEL", "value": "debug"},
                {
                    "name": "HTTP",
                    "valueFrom": {"configMapKeyRef": {"name": "triage", "key": "PORT"}},
                },
            ],
            "ports": [{"name": "http", "containerPort": 8080}],
            "readinessProbe": {"httpGet": {"path": "/readyz", "port": "http"}},
            "resources": {"limits": {"memory": "192Mi"}},
            "securityContext": {"readOnlyRootFilesystem": True},
            "volumeMounts": [{"name": "scratch", "mountPath": "/tmp"}],
            "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
        },
        securityContext={"runAsUser": 20002, "runAsNonRoot": True},
        terminationGracePeriodSeconds=20,
        volumes=[{"name": "scratch", "emptyDir": {}}],
    )
    assert full.options() == {
        "command": ("--port", "8080"),
        "env": {"LEVEL": "debug", "PORT": "8080", "HTTP": "8080"},
        "user": "20002",
        "memory": str(192 << 20),
        "read_only": True,
        "tmpfs": ("/tmp",),
    }
    assert (full.grace, full.pause) == (20, 5)
    assert full.probes["readiness"].port == 8080


HOSTILE: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({}, {"hostNetwork": True}, "hostNetwork"),
    ({}, {"hostPID": True}, "hostPID"),
    ({}, {"initContainers": []}, "initContainers"),
    ({}, {"nodeName": "judge"}, "nodeName"),
    ({"command": ["sh"]}, {}, "command"),
    ({"volumeDevices": []}, {}, "volumeDevices"),
    ({}, {"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}, "not an emptyDir"),
    ({}, {"volumes": [{"name": "v", "image": {}}]}, "not an emptyDir"),
    ({"volumeMounts": [{"name": "v", "mountPath": "/x"}]}, {}, "no volume of the pod"),
    ({"lifecycle": {"preStop": {"exec": {}}}}, {}, "preStop has exec"),
    ({"livenessProbe": {"exec": {"command": ["true"]}}}, {}, "not an httpGet"),
    ({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {}}}]}, {}, "something else"),
    ({"envFrom": [{"secretRef": {"name": "s"}}]}, {}, "something else"),
    ({"livenessProbe": {"httpGet": {"path": "/a\r\nX: y", "port": 1}}}, {}, "asks for"),
    ({"resources": {"limits": {"memory": "lots"}}}, {}, "limits.memory"),
    ({"resources": {"limits": {"memory": "0"}}}, {}, "more than nothing"),
    ({"resources": {"limits": {"memory": "128m"}}}, {}, "nothing starts in 0 bytes"),
    ({"env": [{"name": "=x", "value": "1"}]}, {}, "no name of a variable"),
    ({"env": [{"name": "A", "value": "a\0b"}]}, {}, "NUL"),
    ({"args": ["a\0"]}, {}, "NUL"),
    ({}, {"terminationGracePeriodSeconds": 86_400}, "has 86400 s to end"),
    ({}, {"terminationGracePeriodSeconds": -1}, "has -1 s to end"),
    ({"lifecycle": {"preStop": {"sleep": {"seconds": 31}}}}, {}, "sleeps 31 s"),
    ({"lifecycle": {"preStop": {"sleep": {"seconds": -1}}}}, {}, "sleeps -1 s"),
]


@pytest.mark.parametrize(("container", "spec", "said"), HOSTILE)
def test_what_reaches_out_of_the_pod_is_refused(
    container: dict[str, Any], spec: dict[str, Any], said: str
) -> None:
    with pytest.raises(LearnerError) as caught:
        planned(container, **spec)
    assert said in caught.value.seen
    assert caught.value.advice


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "tmp",
        "/tmp:exec",
        "//",
        "/tmp/",
        "/tmp/../proc",
        "/proc",
        "/sys/fs",
        "/dev/shm",
    ],
)
def test_where_nothing_can_be_mounted(path: str) -> None:
    with pytest.raises(LearnerError, match="Nothing can be mounted"):
        planned(
            {"volumeMounts": [{"name": "v", "mountPath": path}]},
            volumes=[{"name": "v", "emptyDir": {}}],
        )


@pytest.mark.parametrize(
    ("user", "said"), [("", "as root"), ("0", "as root"), ("app", "cannot see")]
)
def test_non_root_is_verified_as_a_kubelet_does(user: str, said: str) -> None:
    with pytest.raises(LearnerError, match=said):
        planned(user=user, securityContext={"runAsNonRoot": True})
    assert planned(user=user).user is None
    wanted = {"runAsNonRoot": True, "runAsUser": 7}
    assert planned(user=user, securityContext=wanted).user == "7"


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ({"name": "other"}, "no ConfigMap other"),
        ({"name": "triage", "key": "MISSING"}, "no key MISSING"),
    ],
)
def test_a_value_that_is_not_there(reference: dict[str, str], said: str) -> None:
    keyed = {"key": "LEVEL", **reference}
    entry = {"name": "A", "valueFrom": {"configMapKeyRef": keyed}}
    with pytest.raises(LearnerError, match=said):
        planned({"env": [entry]})
    entry["valueFrom"]["configMapKeyRef"]["optional"] = True  # type: ignore[index]
    assert planned({"env": [entry]}).env == {}


def test_a_port_by_a_name_that_nothing_has() -> None:
    probe = {"httpGet": {"path": "/", "port": "http"}}
    with pytest.raises(LearnerError, match="does not name"):
        planned({"readinessProbe": probe})


def test_no_limit_is_the_judges_limit() -> None:
    assert planned().memory == 1 << 30
    huge = {"resources": {"limits": {"memory": "64Gi"}}}
    assert planned(huge).memory == 1 << 30
