"""Execute the book's pages side by side, and keep what they showed for the build.

    python -m extensions.execute

Jupyter Book executes one page after the other; this runs as many at once as there are cores. A page runs as
the notebook its readers get, in an empty folder. What it showed goes where the build looks first, so that
Sphinx only has to render. A page with a finding is not kept: the build runs it again, and speaks of it.
"""

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import nbformat
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn, JupyterCacheAbstract
from myst_nb.core.read import read_myst_markdown_notebook
from nbformat import NotebookNode
from rich.progress import track

from autograder.notebooks import Finding, Report, code_cells, run_notebook
from extensions import capture
from extensions.execution import cache_folder, settle_environment
from extensions.notebooks import Book, learner_notebook
from extensions.page import Page, PageError
from extensions.page_contract import toc_files

ROOT = Path(__file__).parents[1]


def execute(root: Path, cache_path: Path) -> Iterator[tuple[Path, Report]]:
    """Run every page that the cache lacks, one a core; yields each with its report when it has ended."""
    cache = get_cache(cache_path)
    chapters = [path for path in toc_files(root) if path.parent != root]
    missing = [path for path in chapters if not is_kept(cache, path)]
    with ProcessPoolExecutor(cores(), get_context("spawn")) as pool:
        running = {pool.submit(run_page, path, root): path for path in missing}
        for future in as_completed(running):
            report, seconds = future.result()
            if report.ok:
                keep(cache, running[future], report, seconds)
            yield running[future], report


def cores() -> int:
    """Those this process may use; as many as a pool takes on any system."""
    usable = getattr(os, "sched_getaffinity", None)
    return min(61, len(usable(0)) if usable else os.cpu_count() or 1)


def run_page(path: Path, root: Path) -> tuple[Report, float]:
    """What one page shows, or has shown where there was an engine; and how many seconds it took."""
    start = time.monotonic()
    page = Page.read(path)
    if not capture.is_needed(page):
        report = executed(path, root)
        if report.ok and page.front_matter.get("needs") == "engine":
            report.findings.extend(capture.differences(path, report))
        return report, time.monotonic() - start
    learners = translated(path, root)
    return capture.restore(path, learners.notebook) if learners.ok else learners, 0.0


def executed(path: Path, root: Path) -> Report:
    """Run one page in an empty folder."""
    settle_environment()
    learners = translated(path, root)
    if not learners.ok:
        return learners
    with tempfile.TemporaryDirectory(prefix="page-") as folder:
        notebook = Path(folder) / f"{path.stem}.ipynb"
        nbformat.write(learners.notebook, notebook)
        work = Path(folder) / "work"
        work.mkdir()
        return run_notebook(notebook, work)


def translated(path: Path, root: Path) -> Report:
    """The page as the notebook its readers get, not yet run; a finding if it has no such form."""
    book = Book.read(root, root / "chapters")
    try:
        return Report(path, learner_notebook(book.pages[path.resolve()], book))
    except PageError as error:  # which does not survive the way back to the parent
        findings = [Finding(0, f"line {error.line}: {error}")]
        return Report(path, nbformat.v4.new_notebook(), findings)


def as_the_build_reads_it(path: Path) -> NotebookNode:
    """The page as a notebook without outputs: the cache compares code cells and their metadata."""
    return read_myst_markdown_notebook(path.read_text("utf-8"))


def is_kept(cache: JupyterCacheAbstract, path: Path) -> bool:
    try:
        cache.match_cache_notebook(as_the_build_reads_it(path))
    except KeyError:
        return False
    return True


def keep(
    cache: JupyterCacheAbstract, path: Path, report: Report, seconds: float
) -> None:
    """Put what an executed page showed where the build of the book finds it."""
    notebook = as_the_build_reads_it(path)
    pairs = zip(code_cells(notebook), code_cells(report.notebook), strict=True)
    for cell, executed in pairs:
        cell.outputs = executed.outputs
        cell.execution_count = executed.execution_count
    record = CacheBundleIn(notebook, str(path), data={"execution_seconds": seconds})
    cache.cache_notebook_bundle(record, check_validity=False, overwrite=True)


def main() -> int:
    """Fill the cache of the checkout's own book; whether a page fails is for the build to say.

    It cannot say that a capture is outdated, so that is said here, with status 1.
    """
    pages = execute(ROOT, cache_folder(ROOT, ROOT / "_build" / "html"))
    outdated = [
        report
        for path, report in track(pages, "Executing pages", transient=True)
        if not report.ok and Page.read(path).front_matter.get("needs") == "engine"
    ]
    for report in outdated:
        print(report, file=sys.stderr)
    return 1 if outdated else 0


if __name__ == "__main__":
    sys.exit(main())
