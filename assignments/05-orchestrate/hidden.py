"""What else its pods go through, and what they must be able to bear."""

import time
from concurrent.futures import ThreadPoolExecutor

from autograder.checks import Outcome, failed, passed
from autograder.kubernetes.quantities import share
from autograder.work import Work

from . import bench
from .bench import Failure, Request
from .checks import RUNS, assignment

SLOW_START, STUCK, UNREADY = 120, 60, 15  # seconds
LAG = 2.0  # seconds until everybody knows that a pod is going
PREDICTING = {"PREDICT_SECONDS": "1.5"}


@assignment.check(
    "orchestrate/slow", title="Bears a slow start", points=1, needs=RUNS, hidden=True
)
def slow(work: Work) -> Outcome:
    startup = work.shared(bench.normal).pod.probes["startup"]
    budget = startup.delay + startup.patience
    if budget < SLOW_START:
        return failed(
            f"A process that has not answered after {budget} s is killed; on a full node it takes "
            f"{SLOW_START} s.",
            "startupProbe: periodSeconds times failureThreshold is how long it may take.",
        )
    return passed(f"Its process may take {budget} s to answer.")


@assignment.check(
    "orchestrate/stuck",
    title="Is started again when it hangs",
    points=2,
    needs=RUNS,
    hidden=True,
)
def stuck(work: Work) -> Outcome:
    probes = work.shared(bench.normal).pod.probes
    limits = {"liveness": STUCK, "readiness": UNREADY}
    took = {kind: probes[kind].patience + probes[kind].timeout for kind in limits}
    advice = (
        "timeoutSeconds, periodSeconds and failureThreshold decide how long a hanging pod keeps its traffic "
        "and its place."
    )
    for kind, most in limits.items():
        if took[kind] > most:
            return failed(
                f"Of a process that hangs the {kind} probe has failed only after {took[kind]} s, where "
                f"{most} s are given.",
                advice,
            )
    with bench.started(work, bench.planned(work)) as running:
        bench.freeze(work, running.container)
        for kind in limits:
            if running.says(kind):
                return failed(
                    f"The process hung, and the {kind} probe succeeded.", advice
                )
    return passed(
        f"A hanging process loses its traffic after {took['readiness']} s and its life after "
        f"{took['liveness']} s."
    )


@assignment.check(
    "orchestrate/rollout",
    title="Survives a version that never becomes ready",
    points=2,
    needs=RUNS,
    hidden=True,
)
def rollout(work: Work) -> Outcome:
    stack = work.shared(bench.stack)
    spec = stack.deployment["spec"]
    strategy = spec.get("strategy", {})
    if strategy.get("type", "RollingUpdate") != "RollingUpdate":
        return failed(
            f"The strategy is {strategy['type']}: all pods end before the first of the new version starts.",
            "Use RollingUpdate.",
        )
    update = strategy.get("rollingUpdate", {})
    try:
        gone = share(update.get("maxUnavailable", "25%"), stack.replicas, up=False)
        more = share(update.get("maxSurge", "25%"), stack.replicas, up=True)
    except ValueError as error:
        return failed(f"rollingUpdate: {error}.", "Write a number of pods, or 25%.")
    left = stack.replicas - (gone if gone or more else 1)
    if left < 2:
        return failed(
            f"With {stack.replicas} replicas of which {gone} may be missing, a bad version leaves {left}.",
            "Two must go on serving through a rollout: count replicas less maxUnavailable.",
        )
    bad = bench.planned(work)
    bad = bench.replace(bad, env=bad.env | bench.NO_MODEL)
    with bench.started(work, bad, "/healthz") as running:
        for _ in range(4):
            if running.says("readiness"):
                return failed(
                    "A version without a model said that it may have traffic: the rollout goes on, and takes "
                    "every pod that worked.",
                    "Ask the path that knows of the model.",
                )
            if not running.says("liveness"):
                return failed(
                    "A version without a model fails its liveness probe, and is started again for ever.",
                    "A restart mends no missing model; ask whether the process is alive.",
                )
            time.sleep(0.3)
    return passed(
        f"A version without a model gets no traffic, and {left} old pods go on."
    )


@assignment.check(
    "orchestrate/drains",
    title="Loses no message when a pod goes",
    points=3,
    needs=RUNS,
    hidden=True,
)
def drains(work: Work) -> Outcome:
    """For a while after a pod was told to go, others do not know it yet and send to it."""
    plan = bench.planned(work, PREDICTING)
    if plan.pause == plan.grace:
        return failed(
            f"preStop sleeps all of the {plan.grace} s that the pod has; then it is killed.",
            "terminationGracePeriodSeconds covers preStop and what comes after it.",
        )
    asking = Request.post_json(
        "/predict", {"message": "where is my parcel?"}, seconds=20
    )
    with bench.started(work, plan) as running, ThreadPoolExecutor(2) as pool:
        told = time.monotonic()
        ending = pool.submit(end, running, plan.pause, plan.grace)
        time.sleep(LAG - 0.5)
        late = pool.submit(running.client.many, [asking], 1)
        [answer] = late.result()
        stopped = ending.result()
    if isinstance(answer, Failure) or answer.status != 200:
        return failed(
            f"A message sent {LAG - 0.5:g} s after the pod was told to go was not answered.",
            "Endpoints are updated while the pod already ends. `preStop: {sleep: {seconds: N}}` lets it "
            "serve until everybody knows.",
        )
    if stopped.killed:
        return failed(
            f"The pod was killed {time.monotonic() - told:.0f} s after it was told to go.",
            "Raise terminationGracePeriodSeconds, and see that SIGTERM reaches the service.",
        )
    return passed(
        "A message that came while the pod was going was answered, and the pod ended by itself."
    )


def end(running, pause: int, grace: int):
    """What a kubelet does to a pod that has to go."""
    time.sleep(pause)
    return running.container.stop(grace - pause)
