"""A learner's GitHub Actions workflow, read as data: what GitHub would accept, what an auditor objects to.

The schema is SchemaStore's, of which zizmor carries a copy; zizmor itself is the auditor. Both work offline,
and neither runs anything that the file says.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft7Validator
from jsonschema.exceptions import ValidationError, best_match

from autograder.errors import InfrastructureError, LearnerError

SCHEMA_ID = "https://json.schemastore.org/github-workflow.json"
MOST_BYTES = (
    16_000  # the schema has expressions whose time grows with the square of this
)
DEEPEST = 20
AUDIT_SECONDS = 60.0


# region yaml
class _Loader(yaml.SafeLoader):
    """YAML as GitHub reads it: `on` is a word, a key stands once. Nothing in it refers to anything else."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent) or event.anchor:
            raise _refused(event, "an anchor or alias", "Write the value out.")
        if event.tag:
            raise _refused(event, f"the tag {_brief(event.tag, 40)}", "Remove it.")
        self.depth += 1
        if self.depth > DEEPEST:
            raise _refused(
                event,
                f"something nested more than {DEEPEST} deep",
                "No workflow needs it.",
            )
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict:
        seen = set()
        for key, _ in node.value:
            if key.tag != "tag:yaml.org,2002:str":
                raise _refused(key, "a key that is not a word", "Put it in quotes.")
            if key.value in seen:
                what = f"the key {_brief(key.value, 40)!r} a second time"
                raise _refused(key, what, "Keep one of the two.")
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _refused(place: Any, what: str, advice: str) -> LearnerError:
    """`place`: an event or a node of the file."""
    line = place.start_mark.line + 1
    return LearnerError(f"Line {line} of the workflow has {what}.", advice)


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?(?:0|[1-9][0-9]{0,17})", "-+0123456789"),
    ("float", r"[-+]?[0-9]{1,18}\.[0-9]{1,18}", "-+0123456789"),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first)
    )


def read(path: Path) -> dict[str, Any]:
    """The workflow as JSON values. Raises LearnerError where it cannot be read."""
    content = path.read_bytes()
    name = path.name
    if len(content) > MOST_BYTES:
        raise LearnerError(
            f"{name} has {len(content):,} bytes.",
            f"A workflow is thin: keep it under {MOST_BYTES:,} bytes, and its logic in Python files.",
        )
    try:
        document = yaml.load(content.decode(), _Loader)
        json.dumps(document, ensure_ascii=False).encode()  # "\\ud800" is no character
    except UnicodeError as error:
        raise LearnerError(f"{name} is not UTF-8.", "Save it as UTF-8.") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}" if mark else ""
        raise LearnerError(
            f"{name}{where}: {_brief(str(error.problem))}.",
            "Look at indentation and quotes there; a value with a colon and a space in it needs quotes.",
        ) from error
    except yaml.YAMLError as error:
        reason = _brief(str(error).splitlines()[0])
        raise LearnerError(
            f"{name} is not YAML: {reason}.", "Look for odd characters."
        ) from error
    if not isinstance(document, dict):
        raise LearnerError(
            f"{name} holds no workflow.", "It begins with keys such as `on` and `jobs`."
        )
    return document


# endregion yaml


# region schema
@cache
def schema() -> Draft7Validator:
    """GitHub's workflow schema as SchemaStore publishes it. Raises InfrastructureError if it is not there."""
    program = Path(zizmor()).read_bytes()
    named = program.find(f'"$id": "{SCHEMA_ID}"'.encode())
    if named < 0:
        raise InfrastructureError(
            "This version of zizmor does not carry the workflow schema."
        )
    text = program[program.rindex(b"{", 0, named) : named + 1_000_000]
    found, _ = json.JSONDecoder().raw_decode(text.decode(errors="replace"))
    return Draft7Validator(found)


def complaint(document: dict[str, Any]) -> str:
    """The most telling thing that the schema has against a workflow; "" if there is nothing.

    Raises LearnerError for a job that calls another workflow.
    """
    jobs = document.get("jobs")
    for job in jobs.values() if isinstance(jobs, dict) else ():
        # The schema's expression for such a path takes exponential time to say no.
        if isinstance(job, dict) and "uses" in job:
            raise LearnerError(
                "A job calls another workflow, which is not read here.",
                "Write its steps into this one.",
            )
    error = _telling(list(schema().iter_errors(document)))
    if error is None:
        return ""
    where = ".".join(str(part) for part in error.absolute_path) or "the workflow"
    return f"{where}: {_brief(error.message)}"


def _telling(errors: list[ValidationError]) -> ValidationError | None:
    """The error nearest to the mistake: of the forms a part may have, that of the one it misses the least."""
    error = best_match(errors)
    while error is not None and error.context:
        forms: dict[Any, list[ValidationError]] = {}
        for inner in error.context:
            forms.setdefault(inner.schema_path[0], []).append(inner)
        error = best_match(min(forms.values(), key=len))
    return error


# endregion schema


# region audit
@dataclass(frozen=True)
class Finding:
    """What zizmor objects to: its rule, what that is about, and the line."""

    rule: str
    about: str
    line: int


def audit(path: Path, *, persona: str = "regular") -> list[Finding]:
    """zizmor's findings, by line; comments in the file that tell it to look away are not heeded.

    Raises LearnerError if it cannot read the file as a workflow, InfrastructureError if it does not run.
    """
    with tempfile.TemporaryDirectory(prefix="audit-") as folder:
        # Alone, and where GitHub looks: neither a configuration nor a name can change the rules.
        place = Path(folder) / ".github" / "workflows" / "workflow.yml"
        place.parent.mkdir(parents=True)
        shutil.copyfile(path, place)
        options = "--offline --quiet --no-config --no-ignores --strict-collection --format=json"
        command = [zizmor(), *options.split(), f"--persona={persona}", str(place)]
        try:
            run = subprocess.run(command, capture_output=True, timeout=AUDIT_SECONDS)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise InfrastructureError(f"zizmor did not finish: {error}") from error
    if b"failed to load" in run.stderr:
        raise LearnerError(
            f"zizmor cannot make sense of {path.name}.",
            f"Run `zizmor --offline {path.name}`: it says what it expected.",
        )
    try:
        found = json.loads(run.stdout)
    except ValueError as error:
        raise InfrastructureError(f"zizmor failed: {run.stderr[-500:]!r}") from error
    findings = {
        Finding(
            one["ident"],
            one["desc"],
            one["locations"][0]["concrete"]["location"]["start_point"]["row"] + 1,
        )
        for one in found
    }
    return sorted(findings, key=lambda one: (one.line, one.rule))


@cache
def zizmor() -> str:
    """The program. Raises InfrastructureError where it is missing."""
    path = shutil.which("zizmor", path=str(Path(sys.executable).parent))
    if path := path or shutil.which("zizmor"):
        return path
    raise InfrastructureError("zizmor is missing. `make setup` installs it.")


# endregion audit


def _brief(text: str, limit: int = 160) -> str:
    """A stranger's text as part of a sentence."""
    text = " ".join(text.encode(errors="replace").decode().split()).rstrip(".")
    return text if len(text) <= limit else f"{text[:limit]}…"
