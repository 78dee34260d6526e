"""Run a notebook and prove that all of it ran.

papermill alone is not proof: a cell that calls `sys.exit(0)` stops it with status 0 and the rest unrun. So
the verdict is read from the executed notebook, cell by cell.
"""

import ast
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode
from traitlets.config import Config

CELL_TIMEOUT = 900  # seconds: a page may build images, on a machine that is busy
# Plain TCP can be overheard on a shared machine, and the kernel warns of it.
ENCRYPTED = Config(KernelManager={"transport_encryption": "auto"})
RIGHT, NOT_YET = "Right:", "Not yet:"


class NotebookUnreadable(ValueError):
    """The file is not a notebook that can be run."""


@dataclass(frozen=True)
class Finding:
    """`cell` counts code cells from 1; 0 means the notebook as a whole."""

    cell: int
    message: str

    def __str__(self) -> str:
        return f"cell {self.cell}: {self.message}" if self.cell else self.message


@dataclass(frozen=True)
class Report:
    """What a run showed. `notebook` is the executed notebook, outputs included."""

    path: Path
    notebook: NotebookNode
    findings: list[Finding] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.findings

    def __str__(self) -> str:
        return "\n".join(f"{self.path}: {finding}" for finding in self.findings)


def read_notebook(path: Path) -> NotebookNode:
    """An .ipynb file, or a text notebook jupytext knows (MyST .md). Raises NotebookUnreadable or OSError."""
    if path.exists() and not path.is_file():
        raise NotebookUnreadable(f"{path} is not a file")
    try:
        notebook = jupytext.read(path)
        notebook.metadata.setdefault(
            "kernelspec", {"name": "python3", "display_name": "Python 3"}
        )
        nbformat.validate(notebook)
    except OSError:
        raise
    except Exception as error:  # jupytext and nbformat raise many kinds
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise NotebookUnreadable(f"{path} is not a notebook: {reason}") from error
    return notebook


def run_notebook(path: Path, cwd: Path) -> Report:
    """Execute every cell in order, with `cwd` as the working directory, and judge the result.

    Raises OSError or NotebookUnreadable if the file cannot be run at all; the rest is findings.
    """
    # Imported late: the judge reads notebooks and executes none.
    import papermill
    from jupyter_client.kernelspec import NoSuchKernel
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    notebook = read_notebook(path)
    died = False
    with tempfile.TemporaryDirectory() as folder:
        executed = Path(folder) / "executed.ipynb"
        try:
            papermill.execute_notebook(
                notebook,
                executed,
                cwd=cwd,
                progress_bar=False,
                execution_timeout=CELL_TIMEOUT,
                shutdown_kernel="immediate",
                config=ENCRYPTED,
            )
        except PapermillExecutionError:
            pass  # judged below; papermill also raises for errors that a tag allows
        except NoSuchKernel as error:
            raise NotebookUnreadable(
                f"{path} asks for the kernel '{error.name}', which is not installed"
            ) from error
        except (DeadKernelError, TimeoutError):
            died = True
        notebook = nbformat.read(executed, as_version=4)
    notebook.cells = [
        cell
        for cell in notebook.cells
        if "papermill-error-cell-tag" not in cell.metadata.get("tags", [])
    ]
    return Report(path, notebook, list(judge(notebook, died)))


def judge(notebook: NotebookNode, died: bool = False) -> Iterator[Finding]:
    """Whether every cell of an executed notebook ran, in order, and ended as tagged."""
    cells = code_cells(notebook)
    if not cells:
        yield Finding(0, "it has no code cell, so running it proves nothing")
        return
    expected = 1
    for number, cell in enumerate(cells, 1):
        if cell.execution_count is None:
            yield Finding(number, f"was never executed ({_first_line(cell)})")
        elif cell.execution_count != expected:
            counts = f"{cell.execution_count}, expected {expected}"
            yield Finding(
                number, f"has execution count {counts}: not run once, in order"
            )
        expected = (cell.execution_count or expected) + 1
        yield from (Finding(number, message) for message in _complaints(cell))
    if died:
        last = max(
            (number for number, cell in enumerate(cells, 1) if _was_started(cell)),
            default=1,
        )
        yield Finding(
            last,
            f"the kernel died or ran out of time here ({_first_line(cells[last - 1])})",
        )
    yield from _judge_checks(cells)


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """Those with something in them; an empty one is not run."""
    return [c for c in notebook.cells if c.cell_type == "code" and c.source.strip()]


def _complaints(cell: NotebookNode) -> Iterator[str]:
    """What is wrong with how one cell ended."""
    errors = [output for output in cell.outputs if output.output_type == "error"]
    tagged = "raises-exception" in cell.metadata.get("tags", [])
    for error in errors:
        if error.ename == "SystemExit":
            status = f"sys.exit({error.evalue})"
            yield f"ends the notebook early with {status}; no later cell runs ({_first_line(cell)})"
        elif not tagged:
            yield f"raises {error.ename}: {error.evalue} ({_first_line(cell)})"
    if tagged and not errors and cell.execution_count is not None:
        yield f"is tagged raises-exception but raises nothing ({_first_line(cell)})"


def _judge_checks(cells: list[NotebookNode]) -> Iterator[Finding]:
    """Each self-check must be seen to fail on the starter and, later, to pass on the solution."""
    verdicts: dict[str, list[str]] = {}
    defined: dict[str, int] = {}
    for number, cell in enumerate(cells, 1):
        tree = _parse(cell.source)
        for name in _made_checks(tree):
            defined[name] = number
            verdicts[name] = []
        called = [name for name in _called(tree) if name in defined]
        if len(called) > 1:
            yield Finding(
                number,
                f"calls {len(called)} checks ({', '.join(called)}); give each its own cell",
            )
        elif called:
            text = _shown(cell)
            verdicts[called[0]].append(
                next((word for word in (NOT_YET, RIGHT) if word in text), "nothing")
            )
    for name, seen in verdicts.items():
        number = defined[name]
        if NOT_YET not in seen:
            yield Finding(
                number,
                f"{name} is never seen failing: no cell that calls it shows '{NOT_YET}'",
            )
        elif RIGHT not in seen[seen.index(NOT_YET) :]:
            yield Finding(
                number,
                f"{name} is never seen passing: no later cell that calls it shows '{RIGHT}'",
            )


def _parse(source: str) -> ast.AST:
    """The cell's syntax tree; lines only IPython understands are left out."""
    plain = "\n".join(
        "" if line.lstrip().startswith(("%", "!")) else line
        for line in source.splitlines()
    )
    try:
        return ast.parse(plain)
    except SyntaxError:
        return ast.Module(body=[], type_ignores=[])


def _made_checks(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Assign(
                targets=[ast.Name(id=name)],
                value=ast.Call(func=ast.Name(id="Exercise")),
            ):
                yield name


def _called(tree: ast.AST) -> list[str]:
    return [
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    ]


def _shown(cell: NotebookNode) -> str:
    shown = (
        output.get("text") or output.get("data", {}).get("text/plain", "")
        for output in cell.outputs
    )
    return "\n".join(shown)


def _was_started(cell: NotebookNode) -> bool:
    return cell.metadata.get("papermill", {}).get("start_time") is not None


def _first_line(cell: NotebookNode) -> str:
    return next(line.strip() for line in cell.source.splitlines() if line.strip())[:80]
