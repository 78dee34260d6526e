"""What to take of a submission, decided from names alone, before a byte of a file is read."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches

from autograder.errors import LearnerError
from autograder.intake import names
from autograder.intake.names import Wanted, shown
from autograder.intake.source import FILE, FOLDER, Entry, Limits, Source


@dataclass
class Plan:
    """`paths`: from each path in the source to the one in the copy. `stamps`: what each was when first seen.

    `folders` hold something to take, in the source's paths. `left_out` gives a reason for each path that is
    not taken, in its one spelling. `notes` are sentences for the learner.
    """

    paths: dict[str, str] = field(default_factory=dict)
    stamps: dict[str, tuple[int, ...]] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    left_out: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def take(self, entry: Entry, path: str) -> None:
        self.paths[entry.path] = path
        self.stamps[entry.path] = entry.stamp
        self.folders.update(names.upwards(entry.path.rpartition("/")[0]))


def survey(origin: Source, wanted: Wanted, limits: Limits) -> Plan:
    """Look at every name. Raises LearnerError for one that no honest submission has, and if nothing is
    left."""
    plan = Plan()
    found = _listed(origin, plan, limits)
    top = _top(found, wanted)
    aside: dict[str, Entry] = {}
    for path, entry in found.items():
        inner = path.removeprefix(top)
        if names.TIMESTAMP in (path, inner):
            plan.left_out[path] = "nbgrader's note of when this was handed in"
        elif wanted.takes(inner) or (entry.kind != FILE and wanted.looks_into(inner)):
            _refuse_odd(inner, entry)
            plan.take(entry, inner)
        else:
            plan.left_out[path] = "not asked for"
            aside[inner] = entry
    if len(found) == 1:
        _take_renamed_notebook(plan, wanted, aside)
    _vet_plan(plan, wanted, limits, aside)
    plan.notes.extend(_misnamed(plan, wanted, aside))
    return plan


def _listed(origin: Source, plan: Plan, limits: Limits) -> dict[str, Entry]:
    """Everything but folders and what is never taken, by its path in one spelling."""
    found: dict[str, Entry] = {}
    for count, entry in enumerate(origin.entries(_never_taken), 1):
        if count > limits.entries:
            raise LearnerError(
                f"The submission holds over {limits.entries:,} files and folders.",
                "Hand in only what the assignment asks for.",
            )
        path = names.canonical(entry.path)
        if not path:
            continue
        if out := names.left_out(path):
            plan.left_out[out[0]] = out[1]
            continue
        names.vet(path, limits)
        if entry.kind == FOLDER:
            continue
        if path in found:
            raise LearnerError(
                f"{shown(path)} is in the archive twice.", "Pack your folder again."
            )
        found[path] = entry
    return found


def _never_taken(path: str) -> bool:
    return names.left_out(path) is not None


def _top(paths: Iterable[str], wanted: Wanted) -> str:
    """The folder, with its slash, that is alone in the submission and holds it: "" if there is none.

    What is asked for may itself lie in a folder, so unwrapping ends where a pattern matches.
    """
    top = ""
    left = [path for path in paths if path != names.TIMESTAMP]
    while left:
        inner = [path.removeprefix(top) for path in left]
        first = {path.partition("/")[0] for path in inner}
        if (
            len(first) > 1
            or not all("/" in path for path in inner)
            or (wanted.patterns is not None and any(map(wanted.takes, inner)))
        ):
            break
        top += f"{first.pop()}/"
        left = [path for path in left if path != top + names.TIMESTAMP]
    return top


def _refuse_odd(path: str, entry: Entry) -> None:
    if entry.kind != FILE:
        raise LearnerError(
            f"{shown(path)} is {entry.kind}, not a plain file.",
            "Put a copy of the file itself in its place.",
        )


def _take_renamed_notebook(plan: Plan, wanted: Wanted, aside: dict[str, Entry]) -> None:
    """A learning platform renames what it hands on. One notebook alone cannot be meant for anything else."""
    asked = [path for path in wanted.missing(()) if path.endswith(".ipynb")]
    for path, entry in aside.items():
        if len(asked) == 1 and path.endswith(".ipynb"):
            _refuse_odd(path, entry)
            plan.take(entry, asked[0])
            plan.left_out.clear()
            plan.notes.append(f"{shown(path)} was read as {shown(asked[0])}.")


def _vet_plan(plan: Plan, wanted: Wanted, limits: Limits, aside: Iterable[str]) -> None:
    if len(plan.paths) > limits.files:
        raise LearnerError(
            f"The submission holds {len(plan.paths):,} files; {limits.files:,} are allowed.",
            "Hand in only what the assignment asks for.",
        )
    names.vet_together(plan.paths.values())
    if not plan.paths:
        there = ", ".join(shown(path) for path in sorted(aside)[:3])
        asked = ", ".join(wanted.patterns or ())
        raise LearnerError(
            f"Nothing in the submission is asked for: it holds {there}."
            if there
            else "The submission is empty.",
            f"Hand in {asked}." if asked else "Hand in the files of the assignment.",
        )


def _misnamed(plan: Plan, wanted: Wanted, aside: Iterable[str]) -> Iterable[str]:
    """A hint for each file asked for by name that is not there while one of a similar name is."""
    by_name = {path.rpartition("/")[2].casefold(): path for path in sorted(aside)}
    for missing in wanted.missing(plan.paths.values()):
        name = missing.rpartition("/")[2].casefold()
        close = get_close_matches(name, by_name, n=1, cutoff=0.75)
        if not close and name.endswith(".ipynb"):
            close = [other for other in by_name if other.endswith(".ipynb")][:1]
        if close:
            yield (
                f"{shown(missing)} was not handed in, and {shown(by_name[close[0]])} was not looked at. "
                "If that is the one, rename it."
            )
