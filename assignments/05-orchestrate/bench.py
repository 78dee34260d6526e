"""The learner's manifests and image, and the situations that their pods are put into.

Each context manager that takes only `work` is for `work.shared`: made at the first check that asks, for all.
"""

import random
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from autograder.engine import Container, Image
from autograder.errors import LearnerError
from autograder.kubernetes import manifests
from autograder.kubernetes.manifests import Manifest, only, spec_of
from autograder.kubernetes.pod import Pod, Probe, pod
from autograder.probes.http import ContainerClient, Failure, Request, container_client
from autograder.work import Work

FILE = "triage.yaml"
BUILD_SECONDS = 200.0
PORT = 8080
READY_SECONDS = 30.0
MINUTE = 60
LOADING = {"LOAD_SECONDS": "3600"}  # beyond any check's end
NO_MODEL = {"MODEL_PATH": "/nowhere/model.safetensors"}


@dataclass(frozen=True)
class Stack:
    """What the contract asks for, each kind once."""

    deployment: Manifest
    service: Manifest
    config: Manifest
    budget: Manifest

    @property
    def pod(self) -> dict[str, Any]:
        return self.deployment["spec"]["template"]["spec"]

    @property
    def container(self) -> dict[str, Any]:
        return self.pod["containers"][0]

    @property
    def labels(self) -> dict[str, str]:
        return self.deployment["spec"]["template"].get("metadata", {}).get("labels", {})

    @property
    def replicas(self) -> int:
        return self.deployment["spec"].get("replicas", 1)

    @property
    def values(self) -> dict[str, dict[str, str]]:
        return {self.config["metadata"]["name"]: self.config.get("data", {})}


@contextmanager
def stack(work: Work) -> Iterator[Stack]:
    found = manifests.read(work.folder / FILE)
    kinds = ("Deployment", "Service", "ConfigMap", "PodDisruptionBudget")
    stack = Stack(*(only(found, kind) for kind in kinds))
    for manifest in (stack.deployment, stack.service, stack.budget):
        spec_of(manifest)
    spec_of(stack.deployment["spec"]["template"])
    yield stack


@contextmanager
def image(work: Work) -> Iterator[Image]:
    built = work.engine.build(work.folder, seconds=BUILD_SECONDS)
    work.image = built.id
    yield built


def planned(work: Work, values: Mapping[str, str] = {}) -> Pod:
    """The pod of the Deployment; `values` stand in for those of the ConfigMap."""
    own = work.shared(stack)
    config = {name: data | dict(values) for name, data in own.values.items()}
    return pod(own.deployment, config, work.shared(image))


@dataclass(frozen=True)
class Running:
    """A pod that was started, and how to ask it."""

    pod: Pod
    container: Container
    client: ContainerClient
    seconds: float
    """From the start of its container until it first said what it was waited for."""

    def says(self, kind: str) -> bool:
        """What the kubelet would make of one probe now."""
        return answers(self.client, self.pod.probes[kind])


def answers(client: ContainerClient, probe: Probe) -> bool:
    """Whether a probe succeeds: a status from 200 to 399, in time; nobody waits for more than a minute."""
    if probe.port != PORT:  # where the given service listens, and nothing else does
        return False
    [got] = client.many(
        [Request("GET", probe.path, seconds=float(min(probe.timeout, MINUTE)))], 1
    )
    return not isinstance(got, Failure) and 200 <= got.status < 400


@contextmanager
def started(
    work: Work, planned: Pod, path: str = "/readyz", status: int = 200
) -> Iterator[Running]:
    """A pod, from when `path` answers with `status`. Raises LearnerError if it never does."""
    chance = random.Random(f"{work.seed}/client")
    begin = time.monotonic()
    with ExitStack() as opened:
        container = opened.enter_context(
            work.engine.run(work.shared(image), **planned.options())
        )
        client = opened.enter_context(
            container_client(work.engine, container, PORT, chance)
        )
        client.wait_until(path, status, READY_SECONDS)
        yield Running(planned, container, client, time.monotonic() - begin)


@contextmanager
def normal(work: Work) -> Iterator[Running]:
    with started(work, planned(work)) as running:
        yield running


@contextmanager
def loading(work: Work) -> Iterator[Running]:
    """A pod that is alive, and whose model takes an hour to load."""
    slow = planned(work)
    slow = replace(slow, env=slow.env | LOADING)
    with started(work, slow, "/healthz") as running:
        yield running


def freeze(work: Work, container: Container) -> None:
    """Stop its first process without ending it: it listens, and answers nothing."""
    work.engine.cli.tell("kill", "--signal", "STOP", container.id)


def need(found: Pod, *kinds: str) -> None:
    """Raises LearnerError for a probe that is not there."""
    for kind in kinds:
        if kind not in found.probes:
            raise LearnerError(
                f"There is no {kind}Probe.",
                "Startup, liveness and readiness are three questions; the contract asks for all of them.",
            )
