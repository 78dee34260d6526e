"""What the manifests must keep to beyond their schema.

A rule gives a sentence when it is broken, else None.
"""

from collections.abc import Callable

from autograder.kubernetes.quantities import amount

from .bench import PORT, Stack

Rule = Callable[[Stack], str | None]
RULES: list[Rule] = []


def rule(function: Rule) -> Rule:
    RULES.append(function)
    return function


def broken(stack: Stack) -> list[str]:
    return [said for judge in RULES if (said := judge(stack))]


@rule
def selectors_find_the_pods(stack: Stack) -> str | None:
    selectors = {
        "Deployment": stack.deployment["spec"]["selector"].get("matchLabels"),
        "Service": stack.service["spec"].get("selector"),
        "PodDisruptionBudget": stack.budget["spec"]
        .get("selector", {})
        .get("matchLabels"),
    }
    lost = [
        kind
        for kind, labels in selectors.items()
        if not labels or not labels.items() <= stack.labels.items()
    ]
    return f"The selector of {', '.join(lost)} finds no pod." if lost else None


@rule
def the_service_reaches_the_port(stack: Stack) -> str | None:
    named = {
        p.get("name"): p["containerPort"] for p in stack.container.get("ports", ())
    }
    wanted = [
        port.get("targetPort", port["port"])
        for port in stack.service["spec"].get("ports", ())
    ]
    if [named.get(target, target) for target in wanted] != [PORT]:
        return f"The Service does not send to port {PORT} of the pod."
    return None


@rule
def requests_are_made(stack: Stack) -> str | None:
    requests = stack.container.get("resources", {}).get("requests", {})
    if not {"cpu", "memory"} <= requests.keys():
        return "requests.cpu or requests.memory is missing: the scheduler does not know what it needs."
    return None


@rule
def memory_is_promised_and_bounded(stack: Stack) -> str | None:
    resources = stack.container.get("resources", {})
    asked, most = (
        resources.get(kind, {}).get("memory", "0") for kind in ("requests", "limits")
    )
    try:
        same = amount(asked) == amount(most)
    except ValueError:
        same = False
    return (
        None
        if same
        else "Memory requested and memory allowed differ: the model is there or it is not."
    )


@rule
def no_quota_on_the_processor(stack: Stack) -> str | None:
    if "cpu" in stack.container.get("resources", {}).get("limits", {}):
        return "limits.cpu stops all threads in the middle of a prediction; request, and leave it."
    return None


@rule
def nothing_it_does_not_need(stack: Stack) -> str | None:
    own, outer = (
        stack.container.get("securityContext", {}),
        stack.pod.get("securityContext", {}),
    )
    kept = {
        "runAsNonRoot": own.get("runAsNonRoot", outer.get("runAsNonRoot")) is True,
        "readOnlyRootFilesystem": own.get("readOnlyRootFilesystem") is True,
        "allowPrivilegeEscalation: false": own.get("allowPrivilegeEscalation") is False,
        "capabilities.drop: [ALL]": own.get("capabilities", {}).get("drop") == ["ALL"],
        "automountServiceAccountToken: false": stack.pod.get(
            "automountServiceAccountToken"
        )
        is False,
    }
    lacking = [name for name, good in kept.items() if not good]
    return (
        f"It has rights it does not need; set {', '.join(lacking)}."
        if lacking
        else None
    )


@rule
def a_node_can_be_emptied(stack: Stack) -> str | None:
    spec = stack.budget["spec"]
    if spec.get("minAvailable") in (stack.replicas, "100%") or spec.get(
        "maxUnavailable"
    ) in (0, "0%"):
        return "The disruption budget lets no pod go: a node with one can never be emptied."
    return None
