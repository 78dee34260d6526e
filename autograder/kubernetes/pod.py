"""A pod's template as what the engine is told: one container, confined."""

import posixpath
import re
from dataclasses import dataclass
from typing import Any

from autograder.engine import Image
from autograder.errors import LearnerError
from autograder.kubernetes.manifests import Manifest, spec_of
from autograder.kubernetes.quantities import amount

MEMORY = 1 << 30  # bytes, where the manifest names no limit
LEAST = 16 << 20  # bytes; an engine takes 0 for no limit at all
LONGEST = 60  # seconds of a pod's farewell
NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
POD = {
    *("automountServiceAccountToken", "containers", "enableServiceLinks"),
    *("restartPolicy", "securityContext", "serviceAccountName", "volumes"),
    *("terminationGracePeriodSeconds", "topologySpreadConstraints", "affinity"),
    "imagePullSecrets",
}
CONTAINER = {
    *("name", "image", "imagePullPolicy", "args", "env", "envFrom", "ports"),
    *("resources", "securityContext", "volumeMounts", "lifecycle"),
    *("startupProbe", "livenessProbe", "readinessProbe"),
}


@dataclass(frozen=True)
class Probe:
    """When and what the kubelet asks; seconds, and times in a row."""

    path: str
    port: int
    delay: int
    period: int
    timeout: int
    failures: int

    @property
    def patience(self) -> int:
        """Seconds of failing after which it has failed."""
        return self.period * self.failures


@dataclass(frozen=True)
class Pod:
    """What one pod of the Deployment runs as."""

    args: tuple[str, ...]
    env: dict[str, str]
    user: str | None
    memory: int
    read_only: bool
    writable: tuple[str, ...]
    grace: int
    pause: int
    """Seconds of `preStop.sleep`: it is being taken out of the endpoints meanwhile."""
    probes: dict[str, Probe]

    def options(self) -> dict[str, Any]:
        """For Engine.run."""
        return {
            "command": self.args,
            "env": self.env,
            "user": self.user,
            "memory": str(self.memory),
            "read_only": self.read_only,
            "tmpfs": self.writable,
        }


def pod(deployment: Manifest, config: dict[str, dict[str, str]], image: Image) -> Pod:
    """What the Deployment's pods are. `config`: the data of ConfigMaps by name.

    Raises LearnerError for what a kubelet would not start, and for what the judge does not run.
    """
    spec = spec_of(spec_of(deployment)["template"])
    refuse(spec, POD, "pod")
    if len(spec["containers"]) != 1:
        raise LearnerError(
            f"The pod has {len(spec['containers'])} containers.",
            "The service is one container; leave others out.",
        )
    [container] = spec["containers"]
    refuse(container, CONTAINER, "container")
    own = container.get("securityContext", {})
    outer = spec.get("securityContext", {})
    user = own.get("runAsUser", outer.get("runAsUser"))
    if own.get("runAsNonRoot", outer.get("runAsNonRoot")):
        verify_user(user, image)
    lifecycle = container.get("lifecycle", {}).get("preStop", {})
    if set(lifecycle) - {"sleep"}:
        raise LearnerError(
            f"preStop has {', '.join(set(lifecycle) - {'sleep'})}.",
            "Use `sleep`: it needs no program in the image.",
        )
    pause = lifecycle.get("sleep", {}).get("seconds", 0)
    grace = spec.get("terminationGracePeriodSeconds", 30)
    if not 0 <= pause <= grace <= LONGEST:
        raise LearnerError(
            f"preStop sleeps {pause} s, and the pod has {grace} s to end.",
            f"terminationGracePeriodSeconds covers preStop too, and is at most {LONGEST} here.",
        )
    args, env = tuple(container.get("args", ())), environment(container, config)
    if odd := [name for name in env if not NAME.fullmatch(name)]:
        raise LearnerError(
            f"{odd[0][:40]!r} is no name of a variable.",
            "Use letters, digits and underscores.",
        )
    if any("\0" in text for text in (*args, *env.values())):
        raise LearnerError(
            "An argument or a variable has a NUL in it.", "No program can be given one."
        )
    return Pod(
        args=args,
        env=env,
        user=None if user is None else str(user),
        memory=memory(container),
        read_only=bool(own.get("readOnlyRootFilesystem")),
        writable=writable(spec, container),
        grace=grace,
        pause=pause,
        probes={
            kind: probe(container[f"{kind}Probe"], container, kind)
            for kind in ("startup", "liveness", "readiness")
            if f"{kind}Probe" in container
        },
    )


def refuse(mapping: dict[str, Any], known: set[str], what: str) -> None:
    if unknown := sorted(set(mapping) - known):
        raise LearnerError(
            f"The {what} has {', '.join(unknown)}, which the judge does not run.",
            "Leave it out; the contract needs nothing of the host, and the image says what to run.",
        )


def verify_user(user: int | None, image: Image) -> None:
    """What a kubelet does for runAsNonRoot. Raises LearnerError where it would not start the container."""
    said = str(user) if user is not None else image.config.get("User", "").split(":")[0]
    if said in ("", "0", "root"):
        raise LearnerError(
            "The kubelet does not start it: runAsNonRoot is set, and the container would run as root.",
            "Set runAsUser to a number other than 0, or USER in the image.",
        )
    if not said.isdecimal():
        raise LearnerError(
            f"The kubelet does not start it: it cannot see that the user {said!r} of the image is not root.",
            "Name the user by number: USER in the image, or runAsUser in the manifest.",
        )


def environment(
    container: dict[str, Any], config: dict[str, dict[str, str]]
) -> dict[str, str]:
    """What the process sees. Raises LearnerError for a ConfigMap or key that is not there."""
    values: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        reference = source.get("configMapRef")
        if reference is None:
            raise LearnerError(
                "envFrom names something else than a ConfigMap.",
                "The contract has no secrets; leave it out.",
            )
        values |= look_up(config, reference)
    for entry in container.get("env", ()):
        reference = entry.get("valueFrom", {}).get("configMapKeyRef")
        if "valueFrom" in entry and reference is None:
            raise LearnerError(
                f"The variable {entry['name']} comes from something else than a ConfigMap.",
                "Take it from the ConfigMap, or write its value.",
            )
        if reference is None:
            values[entry["name"]] = str(entry.get("value", ""))
            continue
        data = look_up(config, reference)
        if reference["key"] in data:
            values[entry["name"]] = data[reference["key"]]
        elif not reference.get("optional"):
            raise LearnerError(
                f"The ConfigMap {reference['name']} has no key {reference['key']}.",
                "The pod waits for it for ever. Add the key, or correct its name.",
            )
    return values


def look_up(
    config: dict[str, dict[str, str]], reference: dict[str, Any]
) -> dict[str, str]:
    name = reference.get("name", "")
    if name not in config and not reference.get("optional"):
        raise LearnerError(
            f"There is no ConfigMap {name}.",
            "The pod waits for it for ever. Add it, or correct its name.",
        )
    return config.get(name, {})


def memory(container: dict[str, Any]) -> int:
    """The limit in bytes. Raises LearnerError for one that is none."""
    limit = container.get("resources", {}).get("limits", {}).get("memory")
    if limit is None:
        return MEMORY
    try:
        bytes_ = int(amount(limit))
    except ValueError as error:
        raise LearnerError(
            f"limits.memory: {error}.", "Write it like 256Mi."
        ) from error
    if bytes_ < LEAST:
        raise LearnerError(
            f"limits.memory is {limit}: nothing starts in {bytes_} bytes.",
            "Write it like 256Mi; m means thousandths.",
        )
    return min(MEMORY, bytes_)


def writable(spec: dict[str, Any], container: dict[str, Any]) -> tuple[str, ...]:
    """Where an emptyDir is mounted. Raises LearnerError for any other volume."""
    volumes = {volume["name"]: volume for volume in spec.get("volumes", ())}
    for name, volume in volumes.items():
        if "emptyDir" not in volume:
            raise LearnerError(
                f"The volume {name} is not an emptyDir.",
                "The service keeps nothing; what it needs to write is scratch.",
            )
    paths = []
    for mount in container.get("volumeMounts", ()):
        if mount["name"] not in volumes or "subPath" in mount:
            raise LearnerError(
                f"The mount at {mount['mountPath']} is of no volume of the pod, or of a part of one.",
                "Mount an emptyDir as a whole.",
            )
        path = mount["mountPath"]
        normal = path == "/" + posixpath.normpath(path).strip("/") != "/"
        # What the kernel shows there would be hidden, and no container starts without it.
        kernels = path.startswith(("/proc", "/sys", "/dev"))
        if not normal or kernels or ":" in path:
            raise LearnerError(
                f"Nothing can be mounted at {path!r}.", "Name a folder such as /tmp."
            )
        paths.append(path)
    return tuple(paths)


def probe(mapping: dict[str, Any], container: dict[str, Any], kind: str) -> Probe:
    """A probe by HTTP, with Kubernetes' defaults. Raises LearnerError for another kind."""
    asked = mapping.get("httpGet")
    if asked is None:
        raise LearnerError(
            f"The {kind} probe is not an httpGet.",
            "The service says how it is at /healthz and /readyz; ask there.",
        )
    port = asked["port"]
    if isinstance(port, str) and not port.isdecimal():
        named = {p.get("name"): p["containerPort"] for p in container.get("ports", ())}
        if port not in named:
            raise LearnerError(
                f"The {kind} probe asks the port {port}, which the container does not name.",
                "Give the containerPort that name, or write its number.",
            )
        port = named[port]
    path = asked.get("path", "/")
    if not path.isprintable() or " " in path:
        raise LearnerError(
            f"The {kind} probe asks for {path[:40]!r}.", "Name a path such as /healthz."
        )
    return Probe(
        path=path,
        port=int(port),
        delay=mapping.get("initialDelaySeconds", 0),
        period=mapping.get("periodSeconds", 10),
        timeout=mapping.get("timeoutSeconds", 1),
        failures=mapping.get("failureThreshold", 3),
    )
