"""How a service's /metrics change."""

from autograder.errors import LearnerError
from autograder.probes.answer import Metrics, metrics
from autograder.probes.http import Client

from .bench import wait_for

PATIENCE = 1.0  # seconds; some count an answer just after it has gone out


def exposition(client: Client) -> Metrics:
    """What GET /metrics says now. Raises LearnerError if Prometheus could not read it."""
    answer = client.get("/metrics")
    if answer.status != 200:
        raise LearnerError(
            f"GET /metrics answered {answer.status}.",
            "Return prometheus_client.generate_latest() there, without any login.",
        )
    try:
        return metrics(answer)
    except ValueError as error:
        raise LearnerError(
            f"Of GET /metrics {error}.",
            "Let prometheus_client.generate_latest() write it, and return it as it is, not as JSON.",
        ) from error


def total(found: Metrics, name: str, **labels: str) -> float:
    """The sum over all samples of this name that carry these labels."""
    return sum(
        value for has, value in found.get(name, {}).items() if labels.items() <= has
    )


def rise(
    client: Client, before: Metrics, name: str, wanted: float, **labels: str
) -> float:
    """By how much a metric has risen; it is given a moment to reach what is wanted."""
    risen = 0.0

    def arrived() -> bool:
        nonlocal risen
        risen = total(exposition(client), name, **labels) - total(
            before, name, **labels
        )
        return risen >= wanted

    wait_for(arrived, PATIENCE)
    return risen
