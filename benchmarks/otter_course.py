"""otter-grader, pinned, in an environment of its own: it and the project need not agree on versions."""

import json
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

import nbformat

from benchmarks.report import environment
from benchmarks.warmup import POINTS, Submission, otter_notebook, otter_test

VERSION = "7.0.0"
CACHE = Path(__file__).parents[1] / "_build" / "benchmarks"
LOOP = Path(__file__).with_name("otter_loop.py")
SECONDS = 1_200


class Otter:
    """An otter-grader assignment in `folder`, graded on this machine without containers."""

    def __init__(self, folder: Path):
        self.programs = installed() / "bin"
        self.folder = folder
        self.submitted: list[Path] = []
        (folder / "tests").mkdir(parents=True)
        for name in POINTS:
            (folder / "tests" / f"{name}.py").write_text(otter_test(name))
        self.autograder = folder / "autograder.zip"
        self._run("otter", "generate", "-t", "tests", "-o", str(self.autograder))

    def submit(self, submissions: Iterable[Submission]) -> None:
        for submission in submissions:
            path = self.folder / f"{submission.learner}.ipynb"
            nbformat.write(otter_notebook(submission.answer), path)
            self.submitted.append(path)

    def run_each(self) -> dict[str, float]:
        """`otter run` for each notebook, as its documentation says; points by learner."""
        points = {}
        for path in self.submitted:
            command = ("-a", str(self.autograder), "--no-logo", str(path))
            self._run("otter", "run", *command)
            results = json.loads((self.folder / "results.json").read_text())
            # The first entry is a summary without a score.
            scores = (test.get("score", 0) for test in results["tests"])
            points[path.stem] = sum(scores)
        return points

    def loop(self) -> dict[str, float]:
        """Its Python interface in one process, which spares the imports; points by learner."""
        command = (str(LOOP), str(self.autograder), *map(str, self.submitted))
        return json.loads(self._run("python", *command).splitlines()[-1])

    def _run(self, program: str, *arguments: str) -> str:
        completed = subprocess.run(
            [str(self.programs / program), *arguments],
            cwd=self.folder,
            env=environment(self.programs) | {"HOME": str(self.folder)},
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        if completed.returncode:
            raise RuntimeError(f"{program} {arguments[0]} failed:\n{completed.stderr}")
        return completed.stdout


def installed() -> Path:
    """The environment with otter-grader, made at the first call and kept."""
    environment = CACHE / f"otter-{VERSION}"
    ready = environment / ".ready"
    if not ready.exists():
        uv = str(Path(sys.executable).with_name("uv"))
        subprocess.run(
            [uv, "venv", "--clear", "--python", sys.executable, str(environment)],
            check=True,
        )
        python = str(environment / "bin" / "python")
        # otter-grader leaves the kernel to the user: here it is the one that nbgrader gets.
        packages = (f"otter-grader=={VERSION}", f"ipykernel=={version('ipykernel')}")
        subprocess.run(
            [uv, "pip", "install", "--compile-bytecode", "--python", python, *packages],
            check=True,
        )
        ready.touch()
    return environment
