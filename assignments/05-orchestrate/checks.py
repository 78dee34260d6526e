"""What learners can check while they work. The contract itself is in the notebook."""

from autograder.checks import Assignment, Outcome, failed, partly, passed
from autograder.work import Work

from . import bench, policy

assignment = Assignment(
    "orchestrate",
    title="Run the model's service on Kubernetes",
    submits=(bench.FILE, "Dockerfile", "requirements.txt"),
    optional=(".dockerignore", "*.sh"),
    given=(
        "given/model.py",
        "given/model.safetensors",
        "01-serve/submissions/reference/service.py",
    ),
    seconds=480,
)
READS = ("orchestrate/reads",)
RUNS = ("orchestrate/runs",)
LEAST, MOST = 100 << 20, 256 << 20  # bytes of memory


@assignment.check("orchestrate/reads", title="Is what Kubernetes accepts", points=1)
def reads(work: Work) -> Outcome:
    work.shared(bench.stack)
    return passed(
        "Every manifest is of its kind, and the four that are asked for are there."
    )


@assignment.check(
    "orchestrate/policy", title="Keeps to the policy", points=3, needs=READS
)
def keeps(work: Work) -> Outcome:
    broken = policy.broken(work.shared(bench.stack))
    count = len(policy.RULES)
    if not broken:
        return passed(f"All of {count} rules are kept.")
    return partly(
        max(0.0, 1 - len(broken) / 3),
        f"{len(broken)} of {count} rules are broken: {' '.join(broken)}",
        "Each sentence names the field; the contract says why.",
    )


@assignment.check(
    "orchestrate/runs", title="Starts and becomes ready", points=2, needs=READS
)
def runs(work: Work) -> Outcome:
    running = work.shared(bench.normal)
    bench.need(running.pod, "startup", "liveness", "readiness")
    for kind in ("startup", "liveness", "readiness"):
        if not running.says(kind):
            probe = running.pod.probes[kind]
            return failed(
                f"The service is ready, and the {kind} probe fails: GET {probe.path} on port {probe.port}.",
                "Ask on the port that the service listens on, at a path that it has.",
            )
    return passed(
        f"It was ready {running.seconds:.1f} s after its start, and says so to all probes."
    )


@assignment.check(
    "orchestrate/gates",
    title="Gets no traffic, and is not killed, while it loads",
    points=2,
    needs=RUNS,
)
def gates(work: Work) -> Outcome:
    running = work.shared(bench.loading)
    if running.says("readiness"):
        return failed(
            "While the model was being loaded, the readiness probe said that it may have traffic.",
            "Ask the path that knows of the model.",
        )
    for kind in ("startup", "liveness"):
        if not running.says(kind):
            return failed(
                f"While the model was being loaded, the {kind} probe failed: it would be started again.",
                "Ask the path that says whether the process is alive, whatever the model does.",
            )
    return passed("While it loads it is alive, and has no traffic.")


@assignment.check(
    "orchestrate/config",
    title="Takes its settings from the ConfigMap",
    points=2,
    needs=RUNS,
)
def config(work: Work) -> Outcome:
    wanted = {"PREDICT_SECONDS": "0.7"}
    if "PREDICT_SECONDS" not in work.shared(bench.stack).config.get("data", {}):
        return failed(
            "The ConfigMap has no PREDICT_SECONDS.",
            "Put the operator's three variables there.",
        )
    with bench.started(work, bench.planned(work, wanted)) as running:
        answer = running.client.post_json("/predict", {"message": "where is it"})
    if answer.seconds < 0.6:
        return failed(
            "PREDICT_SECONDS was changed in the ConfigMap, and the service of a new pod did not take longer.",
            "Let the container take its variables from the ConfigMap (envFrom), and set none elsewhere.",
        )
    return passed("A changed value arrived in a new pod of the same image.")


@assignment.check(
    "orchestrate/limits",
    title="Has the memory it needs, and an end to it",
    points=2,
    needs=RUNS,
)
def limits(work: Work) -> Outcome:
    running = work.shared(bench.normal)
    resources = work.shared(bench.stack).container.get("resources", {})
    limit = resources.get("limits", {}).get("memory")
    if limit is None or running.pod.memory > MOST:
        return failed(
            f"The memory limit is {limit or 'missing'}; at most {MOST >> 20}Mi are given.",
            "A leak must end this pod, and not its neighbours: set limits.memory.",
        )
    messages = [{"message": f"where is my parcel {n}?"} for n in range(64)]
    answers = running.client.many(
        [bench.Request.post_json("/predict", message) for message in messages], 16
    )
    bad = sum(isinstance(a, bench.Failure) or a.status != 200 for a in answers)
    if bad or not running.container.state().running:
        return failed(
            f"Within {limit}, {bad} of {len(answers)} messages were not answered.",
            f"Measure what the service takes under load; {LEAST >> 20}Mi are too few.",
        )
    return passed(f"64 messages, 16 at once, were answered within {limit}.")
