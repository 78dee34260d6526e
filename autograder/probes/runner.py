"""A small part of GitHub Actions: the `run` steps of one job, in a sandbox, as a runner would run them.

What is not understood is refused with a sentence. A runner that skipped what it does not know would say green
where GitHub says red.
"""

import json
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autograder.errors import InfrastructureError, LearnerError
from autograder.sandbox import LIMITS, Completed, Limits, Sandbox

# Sent as text, so that the sandbox needs no file of the judge's.
GUEST = Path(__file__).with_name("runner_guest.py").read_text(encoding="utf-8")
COMMAND = ("python", "-I", "-S", "-B", "-c", GUEST)

SHELLS = {
    None: ["bash", "-e"],  # so GitHub starts a step that names no shell
    "bash": ["bash", "--noprofile", "--norc", "-eo", "pipefail"],
    "sh": ["sh", "-e"],
}
WORKFLOW_KEYS = {"name", "run-name", "on", "permissions", "concurrency", "env", "jobs"}
JOB_KEYS = {
    *("name", "runs-on", "permissions", "concurrency", "env"),
    *("timeout-minutes", "continue-on-error", "environment", "steps"),
}
STEP_KEYS = {
    *("name", "id", "if", "run", "shell", "env"),
    *("working-directory", "continue-on-error", "timeout-minutes"),
}
SIMPLIFY = "The assignment's notebook lists what the judge's runner understands."


@dataclass(frozen=True)
class Step:
    """A `run` step. `when`: which state of the job lets it run; `files`: paths that must be there, or not."""

    name: str
    script: str
    shell: list[str]
    env: dict[str, str]
    folder: str
    tolerated: bool
    when: str
    files: list[tuple[str, bool]]


@dataclass(frozen=True)
class Run:
    """How a job ended, and what is untrusted about it: the summary, and the log's beginning.

    `failed` names the step that turned it red; `stopped` is the limit that ended it, or "".
    """

    green: bool
    summary: str
    log: str
    failed: str
    stopped: str


# region steps
def steps(workflow: dict[str, Any]) -> list[Step]:
    """The `run` steps of the only job of a workflow that the schema accepts. Raises LearnerError.

    Steps that use an action are no part of it: what they would set up is there already.
    """
    _only("the workflow", workflow, WORKFLOW_KEYS)
    if len(workflow["jobs"]) != 1:
        raise LearnerError(
            f"The workflow has {len(workflow['jobs'])} jobs.",
            "Put all steps into one job.",
        )
    [job] = workflow["jobs"].values()
    _only("the job", job, JOB_KEYS)
    if job.get("continue-on-error"):
        raise LearnerError(
            "The job has continue-on-error: the run would be green whatever happens.",
            "Remove it.",
        )
    outer = _env("the workflow", workflow) | _env("the job", job)
    found = [
        _step(number, step, outer)
        for number, step in enumerate(job["steps"], start=1)
        if "uses" not in step
    ]
    if not found:
        raise LearnerError(
            "The job has no `run` step.", "Let a step run your gate: `run: …`."
        )
    return found


def _step(number: int, step: dict[str, Any], outer: dict[str, str]) -> Step:
    name = str(step.get("name") or f"number {number}")[:60]
    what = f"step {name!r}"
    _only(what, step, STEP_KEYS)
    shell = step.get("shell")
    if shell not in SHELLS:
        raise LearnerError(
            f"{what} asks for the shell {shell!r}.", "Use `bash`, `sh` or none."
        )
    when, files = _condition(what, str(step.get("if", "success()")))
    tolerated = step.get("continue-on-error", False)
    if not isinstance(tolerated, bool):
        raise LearnerError(f"{what}: continue-on-error is not true or false.", SIMPLIFY)
    return Step(
        name,
        _plain(what, _text(step["run"])),
        SHELLS[shell],
        outer | _env(what, step),
        _plain(what, step.get("working-directory", ".")),
        tolerated,
        when,
        files,
    )


def _only(what: str, mapping: dict[str, Any], known: set[str]) -> None:
    if unknown := sorted(mapping.keys() - known):
        raise LearnerError(
            f"The judge's runner does not understand `{unknown[0]}` in {what}.",
            SIMPLIFY,
        )


def _env(what: str, mapping: dict[str, Any]) -> dict[str, str]:
    values = mapping.get("env") or {}
    if not isinstance(values, dict):
        raise LearnerError(f"`env` of {what} is not a mapping.", SIMPLIFY)
    return {name: _plain(what, _text(value)) for name, value in values.items()}


def _text(value: Any) -> str:
    """A YAML scalar as GitHub hands it to a process."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _plain(what: str, text: str) -> str:
    if "${{" in text or "\0" in text:
        raise LearnerError(
            f"{what} has an expression, `${{{{ … }}}}`, or a NUL character.",
            "The judge's runner evaluates expressions in `if` alone; a step needs none to run your files.",
        )
    return text


TERM = re.compile(
    r"(?P<status>!?\w+)\(\)|hashFiles\('(?P<path>[^'*?\[\]]+)'\) (?P<sign>[!=])= ''"
)
STATES = {"success", "failure", "always", "!cancelled"}


def _condition(what: str, text: str) -> tuple[str, list[tuple[str, bool]]]:
    """`always() && hashFiles('a.txt') != ''` as the state that lets the step run, and its files."""
    inner = re.fullmatch(r"\s*(?:\$\{\{(.*)\}\}|(.*?))\s*", text, re.S)
    terms = (inner[1] or inner[2] or "").split("&&") if inner else [text]
    states, files = [], []
    for term in terms:
        match = TERM.fullmatch(term.strip())
        if match and match["path"]:
            files.append((match["path"], match["sign"] == "!"))
        elif match and match["status"] in STATES:
            states.append(match["status"])
        else:
            raise LearnerError(
                f"{what}: the judge's runner does not understand this `if`.",
                "It knows success(), failure(), always(), !cancelled() and hashFiles('FILE') != '', "
                "joined by &&.",
            )
    if len(states) > 1:
        raise LearnerError(
            f"{what}: its `if` asks for several states of the job.", "Ask for one."
        )
    state = states[0] if states else "success"
    return ("always" if state == "!cancelled" else state), files


# endregion steps


def run(
    job: list[Step], sandbox: Sandbox, folder: Path, limits: Limits = LIMITS
) -> Run:
    """Run the steps in a workspace that is a copy of `folder`.

    Raises InfrastructureError if the first step was not even reached.
    """
    nonce = secrets.token_hex(8)
    request = {"nonce": nonce, "steps": [vars(step) for step in job]}
    completed = sandbox.run(
        COMMAND, folder=folder, stdin=json.dumps(request).encode(), limits=limits
    )
    begun, red, summary, failed = False, True, "", ""
    for message in _messages(completed, nonce):
        match message:
            case ["begun"]:
                begun = True
            case ["ran", int(number), int(status)] if 0 <= number < len(job):
                if status and not failed and not job[number].tolerated:
                    failed = job[number].name
            case ["ended", bool(how), str(text)]:
                # Half a surrogate pair would keep the verdict from being written.
                red, summary = how, text.encode(errors="replace").decode()
    log = completed.stderr.decode(errors="replace")
    if not begun:
        raise InfrastructureError(f"The workflow's job was not begun: {log[-500:]}")
    return Run(not red, summary, log, failed, completed.stopped)


def _messages(completed: Completed, nonce: str) -> Iterator[Any]:
    for line in completed.stdout.split(b"\n")[:-1]:
        mark, _, message = line.partition(b" ")
        if mark == nonce.encode():
            try:
                yield json.loads(message)
            except (ValueError, RecursionError):  # a forger's
                continue
