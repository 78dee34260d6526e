"""Where assignments are, and loading their checks."""

import hashlib
import importlib.util
import os
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from autograder.checks import Assignment
from autograder.errors import UsageError

SHARED = "shared"
COURSE = Path(__file__).resolve().parent.parent / "assignments"


class UnknownAssignment(UsageError):
    """There is no such assignment; the message names those there are."""


def folder_of_all() -> Path:
    """The course's own assignments, or those of the folder that PIVOT_ASSIGNMENTS names."""
    return Path(os.environ.get("PIVOT_ASSIGNMENTS") or COURSE)


def names() -> dict[str, Path]:
    """Every assignment's name and folder, in the course's order. A folder is called `<number>-<name>`."""
    return {
        path.parent.name.split("-", 1)[-1]: path.parent
        for path in sorted(folder_of_all().glob("*/checks.py"))
    }


def find(name: str) -> Path:
    """The folder of an assignment. Raises UnknownAssignment."""
    known = names()
    if name not in known:
        raise UnknownAssignment(
            f"There is no assignment {name!r}. Known are: {', '.join(known) or 'none'}."
        )
    return known[name]


def load(folder: Path) -> Assignment:
    """The assignment in `folder`: its public checks and, where they are present, its hidden ones.

    The folder is imported as a package, so that its modules can share code by relative imports; what several
    assignments need is in the folder `shared` beside it.
    """
    name = f"pivot_assignment_{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]}"
    if name not in sys.modules:
        package = ModuleType(name)
        package.__path__ = [
            str(folder.resolve()),
            str(folder.resolve().parent / SHARED),
        ]
        package.__spec__ = ModuleSpec(name, None, is_package=True)
        sys.modules[name] = package
    checks = _import(f"{name}.checks", folder / "checks.py")
    if (folder / "hidden.py").exists():
        _import(f"{name}.hidden", folder / "hidden.py")
    checks.assignment.folder = folder
    return checks.assignment


def _import(name: str, path: Path) -> ModuleType:
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]


def digest(folder: Path) -> str:
    """SHA-256 over everything that decides points: the assignment's checks and given files, and the judge."""
    given = [folder.parent / path for path in load(folder).given]
    shared = (folder.parent / SHARED).glob("*.py")
    judge = Path(__file__).parent.rglob("*.py")
    judged_by = [*folder.glob("*.py"), *shared, *given, *judge]
    total = hashlib.sha256()
    for path in sorted(judged_by):
        total.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return total.hexdigest()
