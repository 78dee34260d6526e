"""What learners can check while they work. The contract itself is in the notebook."""

from autograder.checks import Assignment, Outcome, failed, passed
from autograder.probes import workflow
from autograder.work import Work

from . import bench
from .bench import WORKFLOW, how_it_ended

assignment = Assignment(
    "gate-the-model",
    title="A gate for candidates",
    submits=(WORKFLOW,),
    optional=("*.py", "*.sh", "*.toml", "*.ini"),
    given=tuple(
        f"04-gate-the-model/{name}.py" for name in ("model", "drawing", "candidates")
    ),
    seconds=600,  # fourteen runs, and some people import pandas
)
READS = ("gate-the-model/reads",)
DECIDES = ("gate-the-model/decides",)
EVENTS = {"repository_dispatch", "workflow_dispatch"}
MOST_MINUTES = 60


@assignment.check(
    "gate-the-model/reads", title="A workflow that GitHub accepts", points=1
)
def reads(work: Work) -> Outcome:
    work.shared(bench.document)
    count = len(work.shared(bench.job))
    steps = "1 step" if count == 1 else f"{count} steps"
    return passed(f"{WORKFLOW} is valid by its schema; {steps} will be run.")


@assignment.check(
    "gate-the-model/audit",
    title="An auditor finds nothing in it",
    points=2,
    needs=READS,
)
def audit(work: Work) -> Outcome:
    document = work.shared(bench.document)
    findings = workflow.audit(work.folder / WORKFLOW)
    if not findings and not rights(document) <= {"contents: read"}:
        return failed(
            "The job's token may do more than read the code.",
            "It runs a stranger's model: `permissions: {}` for the workflow, `contents: read` for the job.",
        )
    if not findings:
        return passed("zizmor finds nothing, and the token can only read the code.")
    first = findings[0]
    more = f", and {len(findings) - 1} more" if findings[1:] else ""
    return failed(
        f"zizmor objects to line {first.line}: {first.about} ({first.rule}){more}.",
        f"Run `zizmor --offline --no-ignores {WORKFLOW}` and mend what it shows; "
        "telling it to look away does not count.",
    )


def rights(document: dict) -> set[str]:
    """What the only job's token may do, where the workflow says it."""
    [job] = document["jobs"].values()
    granted = job.get("permissions", document.get("permissions", "whatever is usual"))
    if isinstance(granted, str):
        return {granted}
    return {f"{what}: {right}" for what, right in granted.items() if right != "none"}


@assignment.check(
    "gate-the-model/frame",
    title="Starts when it should, one run at a time, with an end",
    points=1,
    needs=READS,
)
def frame(work: Work) -> Outcome:
    document = work.shared(bench.document)
    [job] = document["jobs"].values()
    events = document["on"]
    names = {events} if isinstance(events, str) else set(events)
    if names != EVENTS:
        return failed(
            f"It starts on {', '.join(sorted(names))}.",
            "A candidate announces itself by repository_dispatch, a person by workflow_dispatch; "
            "nothing else makes a candidate.",
        )
    group = document.get("concurrency") or job.get("concurrency")
    settings = {"group": group} if isinstance(group, str) else group or {}
    if not settings or "${{" in str(settings):
        return failed(
            "Two runs can go on at once.",
            "Give the workflow a `concurrency` group with a fixed name: there is one champion.",
        )
    if settings.get("cancel-in-progress"):
        return failed(
            "A new run cancels the one that is under way.",
            "Let a run that is judging a candidate come to its end: `cancel-in-progress: false`.",
        )
    minutes = job.get("timeout-minutes")
    if not isinstance(minutes, int) or not 0 < minutes <= MOST_MINUTES:
        return failed(
            "The job may go on for hours: GitHub stops it after six.",
            f"Give the job `timeout-minutes`, at most {MOST_MINUTES}.",
        )
    first = job["steps"][0].get("uses", "")
    if not first.startswith("actions/checkout@"):
        return failed(
            "On GitHub the job would begin in an empty folder.",
            "Let the first step be `uses: actions/checkout@…`; the judge's runner passes over it.",
        )
    return passed("Two events start it, one run at a time, and it has a time limit.")


@assignment.check(
    "gate-the-model/decides",
    title="Lets a better candidate through and stops a worse one",
    points=2,
    needs=READS,
)
def decides(work: Work) -> Outcome:
    better, worse = bench.trial(work, "better"), bench.trial(work, "worse")
    evidence = {"better": better.evidence(), "worse": worse.evidence()}
    if not better.right:
        return failed(
            f"The run for a candidate that is better was red. {how_it_ended(better.run)}",
            "Copy examples/better to candidate/ and type the step's command yourself.",
            **evidence,
        )
    if not worse.right:
        said = bench.DECISION.search(f"{worse.run.summary}\n{worse.run.log}")
        if said and said[1] == "Refuse":
            return failed(
                "The run for a candidate that is 12 points worse says Refuse, and is green.",
                "Something swallows the exit status: `|| true`, continue-on-error, or a pipe in a step "
                "without `shell: bash`, which has no pipefail.",
                **evidence,
            )
        return failed(
            "The run for a candidate that is 12 points worse was green.",
            "Compare both models' answers to data/test.csv with its labels; a status other than 0 refuses.",
            **evidence,
        )
    return passed("Green for the better one, red for the worse one.", **evidence)


@assignment.check(
    "gate-the-model/tells",
    title="Says in the job summary what it decided, and why",
    points=1,
    needs=DECIDES,
)
def tells(work: Work) -> Outcome:
    for kind, word in (("better", "Promote"), ("worse", "Refuse")):
        trial = bench.trial(work, kind)
        found = bench.decision(trial.run.summary)
        if found is None:
            return failed(
                f"The summary of the run for a {kind} candidate has no line that begins with {word}.",
                "Write it to the file that GITHUB_STEP_SUMMARY names. A step after a failed one runs only if "
                "its `if` says so.",
                **trial.evidence(),
            )
        if found.promote != trial.candidate.good:
            return failed(
                f"The run for a {kind} candidate has the right colour, and its summary says the opposite.",
                "Let one decision make both.",
                **trial.evidence(),
            )
        if not found.promote and (wrong := bench.reasons_complaint(trial, found)):
            return failed(
                f"The summary of the run for a worse candidate {wrong}.",
                "Name what was measured and is beyond its limit, and nothing else.",
                **trial.evidence(),
            )
    return passed("The summaries say Promote and Refuse, the latter with its reason.")


@assignment.check(
    "gate-the-model/broken",
    title="Is broken, and does not refuse, when it cannot judge",
    points=2,
    needs=("gate-the-model/tells",),
)
def broken(work: Work) -> Outcome:
    better = bench.trial(work, "better").candidate
    for what, harm in (
        ("the champion's file is cut off", bench.cut_champion),
        ("data/test.csv has no messages", bench.empty_test_split),
    ):
        run = bench.run(work, better, harm)
        found = bench.DECISION.search(run.summary)
        evidence = {"summary": run.summary[:2000], "log": run.log[-2000:]}
        if run.green:
            return failed(
                f"The run is green although {what}.",
                "What cannot be judged must not pass: end with a status other than 0.",
                **evidence,
            )
        if found:
            return failed(
                f"The summary says {found[1]} although {what}.",
                "Nothing is known about the candidate then. Be red without a decision, so that whoever looks "
                "mends the gate instead of the model.",
                **evidence,
            )
    return passed("Without champion or messages it is red and decides nothing.")
