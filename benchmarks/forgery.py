"""Marks for no work: plain nbgrader and the judge against the same forged submissions.

Each forged submission is handed in between an honest classmate graded before it and one graded after it,
into a course folder of its own, so that what it does to others shows as well. What stands in a row is what
happened in that run. The forged work is worth nothing: if the judge gives a point for it, or a classmate of
it other points than deserved, the benchmark fails.

nbgrader runs learners' code in its own environment, as whoever started it. So do these forgeries: they only
touch files of the temporary folder that the benchmark makes.
"""

import re
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nbformat import NotebookNode
from rich.progress import track
from rich.table import Table

from autograder.verdict import Verdict
from benchmarks import report
from benchmarks.forgeries import ALL, Forgery
from benchmarks.judged import verdicts
from benchmarks.nbgrader_course import PlainCourse, hand_in
from benchmarks.warmup import (
    MAX_POINTS,
    NOTHING_DONE,
    REFERENCE,
    answered,
    judge_notebook,
)

GRADERS = ("nbgrader", "judge")
FORGER = "mallory"
CLASSMATES = {  # graded in the order of their names: anna before the forger, zoe after
    "anna": (
        NOTHING_DONE.replace("raise NotImplementedError", "return sum(values)", 1),
        2,
    ),
    "zoe": (REFERENCE, 5),
}
NO_SCORE = "nbgrader says nothing, and the gradebook has no score for its tests"
SETTLE = 1.5  # seconds in which what was left behind can still do something


def forged(released: NotebookNode, forgery: Forgery) -> NotebookNode:
    notebook = answered(released, forgery.answer)
    forgery.tamper(notebook)
    return notebook


def hand_all_in(folder: Path, released: NotebookNode, forgery: Forgery) -> list[Path]:
    """The folders of the classmates' submissions and of the forged one."""
    honest = {
        name: answered(released, answer) for name, (answer, _) in CLASSMATES.items()
    }
    notebooks = honest | {FORGER: forged(released, forgery)}
    folders = [hand_in(folder, *item) for item in sorted(notebooks.items())]
    for name, text in forgery.files.items():
        (folder / FORGER / folders[0].name / name).write_text(text)
    return folders


def against_nbgrader(course: PlainCourse, forgery: Forgery) -> dict[str, Any]:
    """What plain nbgrader makes of it: the gradebook's points, and what befell the classmates."""
    hand_all_in(course.folder / "submitted", course.released(), forgery)
    completed = course.autograde()
    time.sleep(SETTLE)
    points = {name: course.points(name) for name in (FORGER, *CLASSMATES)}
    what = wronged(points)
    if completed.returncode:
        what.append(f"nbgrader ended with status {completed.returncode}")
    if points[FORGER] is None:
        what.append(reason(completed.stderr))
    return {"points": points[FORGER], "classmates": what_of(points), "what": what}


def against_the_judge(folder: Path, forgery: Forgery) -> dict[str, Any]:
    """The judge's verdict, and what befell the classmates."""
    folders = hand_all_in(folder, judge_notebook(), forgery)
    found = verdicts(folders)
    points = {
        name: verdict.points if verdict.status == "graded" else None
        for name, verdict in found.items()
    }
    return {
        "points": found[FORGER].points,
        "verdict": found[FORGER].status,
        "classmates": what_of(points),
        "what": [*wronged(points), sentence(found[FORGER])],
    }


def what_of(points: dict[str, float | None]) -> dict[str, float | None]:
    return {name: points.get(name) for name in CLASSMATES}


def wronged(points: dict[str, float | None]) -> list[str]:
    """Classmates whose points are not what their work is worth."""
    return [
        f"{name} got {'no grade' if points.get(name) is None else f'{points[name]:g}'} "
        f"instead of {worth}"
        for name, (_, worth) in CLASSMATES.items()
        if points.get(name) != worth
    ]


def reason(log: str) -> str:
    """Why nbgrader graded nothing: the last exception in its log, else the last error it names."""
    lines = [line.strip() for line in log.splitlines()]
    exceptions = [
        line for line in lines if re.match(r"[\w.]+(Error|Exception)\b", line)
    ]
    errors = [line.partition("| ERROR] ")[2] for line in lines if "| ERROR] " in line]
    return [NO_SCORE, *errors, *exceptions][-1]


def sentence(verdict: Verdict) -> str:
    """What the verdict tells the learner first."""
    lost = (check.seen for check in verdict.checks if check.points < check.max_points)
    return verdict.message or next(lost, "")


def measure(forgeries: Sequence[Forgery] = ALL) -> dict[str, Any]:
    """Hand every forgery in to both."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="the-pivot-forgery-") as temporary:
        fresh = PlainCourse.create(Path(temporary) / "course")
        for number, forgery in enumerate(track(forgeries, "Forging", transient=True)):
            folder = Path(temporary) / str(number)
            course = fresh.copied(folder / "nbgrader")
            rows.append(
                {
                    "forgery": forgery.name,
                    "nbgrader": against_nbgrader(course, forgery),
                    "judge": against_the_judge(folder / "judge", forgery),
                }
            )
    return {
        "forgeries": len(rows),
        "max_points": MAX_POINTS,
        "paid": share(rows, lambda found: bool(found["points"])),
        "classmates_wronged": share(
            rows, lambda found: bool(wronged(found["classmates"]))
        ),
        "rows": rows,
        "versions": {"nbgrader": version("nbgrader")},
    }


def share(
    rows: Sequence[dict[str, Any]], happened: Callable[[dict[str, Any]], bool]
) -> dict[str, float]:
    """In which share of the rows it happened, by grader."""
    return {
        grader: round(sum(happened(row[grader]) for row in rows) / len(rows), 3)
        for grader in GRADERS
    }


def table(result: dict[str, Any]) -> Table:
    shown = Table("A learner who does no work and …", "nbgrader", "the judge")
    for row in result["rows"]:
        cells = []
        for grader in GRADERS:
            found = row[grader]
            points = "none" if found["points"] is None else f"{found['points']:g}"
            head = " ".join([points, found.get("verdict", "")]).strip()
            cells.append("\n".join([f"[bold]{head}[/bold]", *found["what"]]))
        shown.add_row(row["forgery"], *cells)
    paid = result["paid"]
    shown.caption = (
        f"Points (of {result['max_points']}) for no work: nbgrader in {paid['nbgrader']:.0%} of cases, "
        f"the judge in {paid['judge']:.0%}."
    )
    return shown


def main(argv: Sequence[str] | None = None) -> None:
    options = report.arguments(__doc__).parse_args(argv)
    result = measure()
    report.publish("forgery", result, table(result), as_json=options.json)
    if result["paid"]["judge"] or result["classmates_wronged"]["judge"]:
        sys.exit("benchmarks.forgery: the judge was talked into a grade")


if __name__ == "__main__":
    main()
