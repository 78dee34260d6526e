"""The part of `probes.runner` that runs in the sandbox: a job's steps, one after the other.

It is sent there as source and needs the standard library alone. It reads one request (JSON) from stdin and
writes one line for each thing that happens: the request's nonce, a space, a JSON list. Nothing here is a
defence: a step can change all of it, and what comes out is judged as data.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable

SUMMARY_BYTES = 64_000


def main() -> None:
    request = json.load(sys.stdin)
    answers = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # what steps print is the log

    def say(*message: object) -> None:
        line = f"{request['nonce']} {json.dumps(message)}\n".encode()
        while line:
            line = line[os.write(answers, line) :]

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        run(request["steps"], place, say)


def run(steps: list, place: str, say: Callable[..., None]) -> None:
    workspace, script, summary = (
        os.path.join(place, name) for name in ("workspace", "step.sh", "summary.md")
    )
    subprocess.run(["cp", "-r", os.getcwd(), workspace], check=True)
    open(summary, "w").close()
    # `python` is the course's own, also where nobody has activated its environment.
    programs = [os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)]
    given = {
        "PATH": os.pathsep.join(programs),
        "CI": "true",
        "GITHUB_ACTIONS": "true",
        "GITHUB_WORKSPACE": workspace,
        "GITHUB_STEP_SUMMARY": summary,
        "RUNNER_TEMP": place,
    }
    say("begun")
    red = False
    for number, step in enumerate(steps):
        if not wanted(step, red, workspace):
            continue
        with open(script, "w", encoding="utf-8") as file:
            file.write(step["script"])
        try:
            done = subprocess.run(
                [*step["shell"], script],
                cwd=os.path.join(workspace, step["folder"]),
                env={**os.environ, **given, **step["env"]},
            )
            status = done.returncode
        except (OSError, ValueError) as error:  # such as a variable called "A=B"
            print(f"The step could not be started: {error}", file=sys.stderr)
            status = 127
        say("ran", number, status)
        red = red or (status != 0 and not step["tolerated"])
    with open(summary, "rb") as written:
        said = written.read(SUMMARY_BYTES).decode("utf-8", "replace")
    say("ended", red, said)


def wanted(step: dict, red: bool, workspace: str) -> bool:
    """Whether the step's `if` lets it run."""
    if step["when"] not in ("always", "failure" if red else "success"):
        return False
    return all(
        os.path.isfile(os.path.join(workspace, path)) == there
        for path, there in step["files"]
    )


main()
