"""What the manifests must keep to beyond their schema.

A rule gives a sentence when it is broken, else None.
"""

import math
import re
from collections.abc import Callable
from typing import Any

from kubernetes.utils.quantity import parse_quantity

from triage.deploy.kubernetes.manifests import Manifest

Rule = Callable[["Stack"], str | None]
RULES: list[Rule] = []


class Stack:
    """The manifests of one service, each kind once, as what the rules ask about."""

    def __init__(self, manifests: list[Manifest]):
        self.by_kind = {manifest["kind"]: manifest for manifest in manifests}

    def spec(self, kind: str) -> dict[str, Any]:
        """Empty where there is no such manifest."""
        return self.by_kind.get(kind, {}).get("spec", {})

    @property
    def pod(self) -> dict[str, Any]:
        return self.spec("Deployment")["template"]["spec"]

    @property
    def container(self) -> dict[str, Any]:
        return self.pod["containers"][0]

    @property
    def labels(self) -> dict[str, str]:
        return self.spec("Deployment")["template"]["metadata"]["labels"]

    def selects(self, selector: dict[str, Any] | None) -> bool:
        """Whether these labels are all on the pods."""
        return selector is not None and selector.items() <= self.labels.items()


def rule(function: Rule) -> Rule:
    RULES.append(function)
    return function


def broken(manifests: list[Manifest]) -> list[str]:
    """One sentence for every broken rule."""
    stack = Stack(manifests)
    return [said for judge in RULES if (said := judge(stack))]


# --- what a model changes ---


# region start
@rule
def a_slow_start_is_not_a_failure(stack: Stack) -> str | None:
    if "startupProbe" not in stack.container:
        return "No startupProbe: liveness restarts a model that is still loading."
    return None


@rule
def traffic_waits_for_the_model(stack: Stack) -> str | None:
    path = stack.container.get("readinessProbe", {}).get("httpGet", {}).get("path")
    if path != "/readyz":
        return f"Readiness asks {path}; only /readyz knows of the model."
    return None


@rule
def liveness_does_not_ask_for_the_model(stack: Stack) -> str | None:
    path = stack.container.get("livenessProbe", {}).get("httpGet", {}).get("path")
    if path != "/healthz":
        return f"Liveness asks {path}: a restart mends no missing model."
    return None


# endregion start


# region threads
@rule
def threads_match_cores(stack: Stack) -> str | None:
    asked = stack.container.get("resources", {}).get("requests", {}).get("cpu", "0")
    data = stack.by_kind.get("ConfigMap", {}).get("data", {})
    threads = data.get("OMP_NUM_THREADS")
    if threads != str(max(1, math.floor(parse_quantity(asked)))):
        return f"{threads} threads compute on {asked} cores."
    return None


@rule
def no_quota_on_the_processor(stack: Stack) -> str | None:
    if "cpu" in stack.container.get("resources", {}).get("limits", {}):
        return "A CPU limit stops all threads in the middle of a batch; request, and leave it."
    return None


# endregion threads


@rule
def memory_is_promised_and_bounded(stack: Stack) -> str | None:
    resources = stack.container.get("resources", {})
    asked = resources.get("requests", {}).get("memory")
    if asked is None or asked != resources.get("limits", {}).get("memory"):
        return "Memory requested and memory allowed differ: the model is there or it is not."
    return None


@rule
def image_by_digest(stack: Stack) -> str | None:
    if not re.search(r"@sha256:[0-9a-f]{64}$", stack.container["image"]):
        return f"The image is not named by digest: {stack.container['image']}."
    return None


# --- what holds for every service ---


# region disruption
@rule
def a_node_can_be_emptied(stack: Stack) -> str | None:
    budget = stack.spec("PodDisruptionBudget")
    fewest = stack.spec("HorizontalPodAutoscaler").get("minReplicas", 1)
    if budget.get("minAvailable", 0) == fewest or budget.get("maxUnavailable") == 0:
        return "The disruption budget lets no pod go: a node with one can never be emptied."
    if fewest < 2:
        return "With one replica, a node that is emptied takes the service with it."
    return None


@rule
def one_hand_on_the_replicas(stack: Stack) -> str | None:
    if "replicas" in stack.spec("Deployment"):
        return "The Deployment fixes `replicas`: every apply undoes the autoscaler."
    return None


@rule
def a_rollout_takes_nobody_away(stack: Stack) -> str | None:
    update = stack.spec("Deployment").get("strategy", {}).get("rollingUpdate", {})
    if update.get("maxUnavailable") != 0:
        return "A rollout may stop a pod before its successor is ready."
    return None


# endregion disruption


@rule
def selectors_find_the_pods(stack: Stack) -> str | None:
    selectors = {
        "Service": stack.spec("Service").get("selector"),
        "PodDisruptionBudget": stack.spec("PodDisruptionBudget")
        .get("selector", {})
        .get("matchLabels"),
        "NetworkPolicy": stack.spec("NetworkPolicy")
        .get("podSelector", {})
        .get("matchLabels"),
    }
    lost = [kind for kind, selector in selectors.items() if not stack.selects(selector)]
    return f"No pod is found by: {', '.join(lost)}." if lost else None


@rule
def the_autoscaler_finds_the_deployment(stack: Stack) -> str | None:
    target = stack.spec("HorizontalPodAutoscaler").get("scaleTargetRef", {})
    name = stack.by_kind["Deployment"]["metadata"]["name"]
    if (target.get("kind"), target.get("name")) != ("Deployment", name):
        return f"The autoscaler scales {target.get('kind')} {target.get('name')}, not Deployment {name}."
    return None


@rule
def ports_have_one_name(stack: Stack) -> str | None:
    opened = {port["name"] for port in stack.container.get("ports", [])}
    wanted = {port.get("targetPort") for port in stack.spec("Service").get("ports", [])}
    if not wanted or not wanted <= opened:
        return f"The Service sends to {sorted(map(str, wanted))}, the pod opens {sorted(opened)}."
    return None


@rule
def nobody_else_gets_in_or_out(stack: Stack) -> str | None:
    kinds = stack.spec("NetworkPolicy").get("policyTypes", [])
    if set(kinds) != {"Ingress", "Egress"}:
        return "The network policy leaves a direction open."
    return None


@rule
def no_rights_it_does_not_need(stack: Stack) -> str | None:
    own = stack.container.get("securityContext", {})
    kept = {
        "runAsNonRoot": stack.pod.get("securityContext", {}).get("runAsNonRoot"),
        "readOnlyRootFilesystem": own.get("readOnlyRootFilesystem"),
        "capabilities.drop": own.get("capabilities", {}).get("drop") == ["ALL"],
        "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is False,
        "automountServiceAccountToken": (
            stack.pod.get("automountServiceAccountToken") is False
        ),
    }
    lacking = [name for name, good in kept.items() if not good]
    return (
        f"The pod has rights it does not need: {', '.join(lacking)}."
        if lacking
        else None
    )
