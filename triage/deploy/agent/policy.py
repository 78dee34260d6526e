"""What the agent's manifests must keep to beyond the service's rules, for every container of its pod."""

from typing import Any

from triage.deploy.kubernetes.manifests import Manifest
from triage.deploy.kubernetes.policy import (
    Rule,
    Stack,
    image_by_digest,
    memory_is_promised_and_bounded,
    no_quota_on_the_processor,
    no_rights_it_does_not_need,
)
from triage.deploy.kubernetes.policy import broken as broken_for_a_service

RULES: list[Rule] = []
EACH = (
    image_by_digest,
    memory_is_promised_and_bounded,
    no_quota_on_the_processor,
    no_rights_it_does_not_need,
)
"""Of the service's rules, those that hold for the worker's container, too."""


class Turned(Stack):
    """The same pod, with another of its containers as the one that the rules look at."""

    def __init__(self, manifests: list[Manifest], place: int):
        super().__init__(manifests)
        self.place = place

    @property
    def container(self) -> dict[str, Any]:
        return self.pod["containers"][self.place]


def rule(function: Rule) -> Rule:
    RULES.append(function)
    return function


def broken(manifests: list[Manifest]) -> list[str]:
    """One sentence for every rule that is broken, the service's among them."""
    stack = Stack(manifests)
    found = broken_for_a_service(manifests)
    for place, container in list(enumerate(stack.pod["containers"]))[1:]:
        turned = Turned(manifests, place)
        sentences = [said for judge in EACH if (said := judge(turned))]
        found += [f"{container['name']}: {said}" for said in sentences]
    return found + [said for judge in RULES if (said := judge(stack))]


# region rules
@rule
def the_key_is_a_secret(stack: Stack) -> str | None:
    variables = [
        (container["name"], variable)
        for container in stack.pod["containers"]
        for variable in container.get("env", [])
        if "KEY" in variable["name"]
    ]
    readers = [
        name for name, each in variables if "secretKeyRef" in each.get("valueFrom", {})
    ]
    kept = stack.by_kind["ConfigMap"].get("data", {})
    if len(readers) < len(variables) or any("KEY" in name for name in kept):
        return "The model's key can be read in the manifests."
    return None if readers == ["worker"] else f"The model's key is given to {readers}."


@rule
def it_scales_on_what_waits(stack: Stack) -> str | None:
    metrics = stack.spec("HorizontalPodAutoscaler").get("metrics", [])
    names = [
        each.get("external", {}).get("metric", {}).get("name", each["type"])
        for each in metrics
    ]
    if names != ["agent_tickets_open"]:
        return f"It scales on {names}; a worker that waits for a model uses no CPU."
    return None


@rule
def it_may_end_what_it_has(stack: Stack) -> str | None:
    given = stack.pod.get("terminationGracePeriodSeconds", 30)
    for container in stack.pod["containers"]:
        arguments = container.get("args", [])
        if "--grace" in arguments:
            wanted = float(arguments[arguments.index("--grace") + 1])
            if wanted + 10 <= given:
                return None
    return f"A worker is killed after {given} s, in the middle of a ticket."


@rule
def it_reaches_what_is_named(stack: Stack) -> str | None:
    for way in stack.spec("NetworkPolicy").get("egress", []):
        places = way.get("to", [])
        if not way.get("ports") or not all(
            each.get("namespaceSelector") for each in places
        ):
            return "It can reach what nobody has named."
        if not places:
            return "It can reach everything."
    return None


# endregion rules
