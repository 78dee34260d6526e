"""What a page that needs a container engine showed when it last ran, for builds on machines without one.

    python -m extensions.capture chapters/containers/docker.md

runs the page and writes what its cells showed beside it. A build without an engine shows that; one with an
engine runs the page, and finds fault with it if the two do not say the same. Figures may differ.
"""

import hashlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nbformat import NotebookNode, from_dict

from autograder.notebooks import Finding, Report, code_cells, judge
from extensions.page import Page
from pivot.capabilities import find

RENEW = "run `python -m extensions.capture {}` where there is a container engine"
# What two runs of one page may differ in: sums of bytes and seconds, ids, and the width of columns.
FIGURE = re.compile(r"\b[0-9a-f]{8,}\b|\d[\d.,:]*")
SPACE = re.compile(r"[\s─━-]+")
PICTURES = ("image/png", "image/svg+xml")


def is_needed(page: Page) -> bool:
    """Whether the page cannot run here: it needs an engine and none answers."""
    needs_engine = page.front_matter.get("needs") == "engine"
    return needs_engine and not any(find(name).ready for name in ("docker", "podman"))


def captured_path(page: Path) -> Path:
    return page.with_suffix(".captured.json")


def write(page: Path, report: Report) -> None:
    """Keep what the cells showed. Pictures are kept too, so that a page without an engine is whole."""
    cells = [
        {"cell": _digest(cell), "outputs": cell.outputs}
        for cell in code_cells(report.notebook)
    ]
    text = json.dumps(cells, indent=1, ensure_ascii=False, sort_keys=True)
    captured_path(page).write_text(text + "\n", encoding="utf-8")


def restore(page: Path, notebook: NotebookNode) -> Report:
    """The page as if it had run, with the outputs of the capture; a finding if that is of another page."""
    captured = _read(page)
    cells = code_cells(notebook)
    if [each["cell"] for each in captured] != [_digest(cell) for cell in cells]:
        return Report(page, notebook, [Finding(0, _outdated(page))])
    for number, (cell, each) in enumerate(zip(cells, captured, strict=True), 1):
        cell.outputs = [from_dict(output) for output in each["outputs"]]
        cell.execution_count = number
    return Report(page, notebook, list(judge(notebook)))


def differences(page: Path, report: Report) -> Iterator[Finding]:
    """Where a run showed something else than the capture has, figures aside."""
    captured = _read(page)
    cells = code_cells(report.notebook)
    if [each["cell"] for each in captured] != [_digest(cell) for cell in cells]:
        yield Finding(0, _outdated(page))
        return
    for number, (cell, each) in enumerate(zip(cells, captured, strict=True), 1):
        now, then = _gist(cell.outputs), _gist(each["outputs"])
        if now != then:
            yield Finding(
                number,
                f"shows '{_first_difference(now, then)}', where the capture has "
                f"'{_first_difference(then, now)}'; {RENEW.format(page.name)}",
            )


def _outdated(page: Path) -> str:
    there = "is of other cells" if captured_path(page).exists() else "is missing"
    return f"{captured_path(page).name} {there}; {RENEW.format(page.name)}"


def _read(page: Path) -> list[dict[str, Any]]:
    path = captured_path(page)
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []


def _digest(cell: NotebookNode) -> str:
    return hashlib.sha256(cell.source.strip().encode()).hexdigest()[:16]


def _gist(outputs: list[Any]) -> list[str]:
    """The words of what a cell showed, and which kinds of picture."""
    words = []
    for output in outputs:
        data = output.get("data", {})
        text = output.get("text") or data.get("text/plain") or output.get("evalue", "")
        pictures = [kind for kind in PICTURES if kind in data]
        # A figure's text gives the address of an object.
        words += pictures or SPACE.sub(" ", FIGURE.sub("#", text)).strip().split(" ")
    return words


def _first_difference(these: list[str], others: list[str]) -> str:
    """A few words of these, from where the others go another way."""
    at = next(
        (n for n, (a, b) in enumerate(zip(these, others, strict=False)) if a != b),
        min(len(these), len(others)),
    )
    return " ".join(these[at : at + 6])


def main(names: list[str]) -> int:
    """Returns 0 when every page was captured, 1 when one did not run as it should, 2 when used wrongly."""
    from extensions.execute import ROOT, executed

    pages = [Path(name).resolve() for name in names]
    if not pages:
        print(
            "Name the pages to run, such as chapters/containers/docker.md",
            file=sys.stderr,
        )
        return 2
    for path in pages:
        page = Page.read(path)
        if page.front_matter.get("needs") != "engine":
            print(f"{path.name} needs no engine: every build runs it.", file=sys.stderr)
            return 2
        if is_needed(page):
            print(
                "No container engine answers; `make system` gets one.", file=sys.stderr
            )
            return 1
        report = executed(path, ROOT)
        if not report.ok:
            print(report, file=sys.stderr)
            return 1
        write(path, report)
        print(f"Wrote {captured_path(path).name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
