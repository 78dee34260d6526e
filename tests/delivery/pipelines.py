"""What a GitHub workflow and a Jenkinsfile run, read without GitHub and without Jenkins.

Of Jenkins' declarative syntax only what the project uses is understood, and everything else is refused: a
reader that skips what it does not know would find the same steps in files that differ.
"""

from dataclasses import dataclass
from pathlib import Path

import yaml
from lark import Lark, Token, Transformer, v_args
from lark.exceptions import UnexpectedInput

OWN = ("make ", ".venv/bin/python -m triage ")
"""How a step that is the project's own command begins."""


class PipelineError(ValueError):
    """The file has something that is not understood here."""


@dataclass(frozen=True)
class Step:
    name: str
    command: str


def shared(steps: list[Step]) -> list[Step]:
    """The steps that are the project's own commands, each once: a job on a new machine is set up again."""
    own = [step for step in steps if step.command.startswith(OWN)]
    return list(dict.fromkeys(own))


# GitHub


def workflow_steps(path: Path) -> list[Step]:
    """The `run` steps of all jobs, in the order in which `needs` makes the jobs run.

    Jobs must form one chain, and the project's own commands run unconditionally in the shell of the runner.
    Raises PipelineError.
    """
    jobs = yaml.safe_load(path.read_text())["jobs"]
    return [
        _step(step)
        for name in _chain(jobs)
        for step in jobs[name]["steps"]
        if "run" in step
    ]


def _step(step: dict) -> Step:
    found = Step(step.get("name", ""), step["run"])
    more = sorted(step.keys() - {"name", "run", "env"})
    if found.command.startswith(OWN) and more:
        raise PipelineError(f"step {found.name!r}: {', '.join(more)} is not read here")
    return found


def _chain(jobs: dict[str, dict]) -> list[str]:
    """The jobs' names, each after the one it needs."""
    order: list[str] = []
    while len(order) < len(jobs):
        last = order[-1] if order else None
        following = [name for name, job in jobs.items() if job.get("needs") == last]
        if len(following) != 1:
            raise PipelineError(f"jobs {following} follow {last}; expected one")
        order += following
    return order


# Jenkins

GRAMMAR = r"""
start: _NL? block _NL?
block: NAME [arguments] "{" _NL (_statement _NL)+ "}"
_statement: block | call | assignment
call: NAME (arguments | bare)
bare: STRING
assignment: NAME "=" (STRING | EXPANDED | call)
arguments: "(" [argument ("," argument)*] ")"
argument: [NAME ":"] (STRING | NUMBER)

NAME: /[A-Za-z_]\w*/
NUMBER: /\d+/
STRING: /'[^'\\\n]*'/
EXPANDED: /"[^"\\\n]*"/
_NL: /(\s*(\/\/[^\n]*)?\n)+\s*/
%ignore /[ \t]+/
"""

PARSER = Lark(GRAMMAR, parser="lalr")

# What may stand in which block. A name that is a key here is itself a block, any other a call.
KNOWN = {
    "pipeline": {
        "agent",
        "options",
        "triggers",
        "parameters",
        "environment",
        "stages",
    },
    "agent": {"label"},
    "options": {"disableConcurrentBuilds", "timeout"},
    "triggers": {"cron", "pollSCM", "upstream"},
    "parameters": {"string"},
    "environment": set(),
    "stages": {"stage"},
    "stage": {"environment", "steps", "post"},
    "steps": {"sh"},
    "post": {"always"},
    "always": {"archiveArtifacts"},
}
NEEDED = {"pipeline": {"agent", "stages"}, "stage": {"steps"}}


@dataclass(frozen=True)
class Node:
    """A block, call or assignment, the line where it begins, and its arguments as (name or None, value)."""

    kind: str
    name: str
    line: int
    arguments: tuple[tuple[str | None, str], ...] = ()
    children: tuple["Node", ...] = ()

    def only(self, name: str) -> "Node":
        """The one child of that name."""
        found = [child for child in self.children if child.name == name]
        if len(found) != 1:
            raise PipelineError(
                f"line {self.line}: {self.name} has {len(found)} {name}; expected one"
            )
        return found[0]

    def text(self) -> str:
        """The single argument without a name."""
        if len(self.arguments) != 1 or self.arguments[0][0] is not None:
            raise PipelineError(f"line {self.line}: {self.name} takes one text")
        return self.arguments[0][1]


@v_args(inline=True)
class _Nodes(Transformer):
    def start(self, node: Node) -> Node:
        return node

    def block(self, name: Token, arguments: tuple | None, *children: Node) -> Node:
        return Node("block", str(name), name.line, arguments or (), children)

    def call(self, name: Token, arguments: tuple) -> Node:
        return Node("call", str(name), name.line, arguments)

    def assignment(self, name: Token, _: object) -> Node:
        return Node("assignment", str(name), name.line)

    def arguments(self, *arguments: tuple | None) -> tuple:
        return tuple(argument for argument in arguments if argument)

    def argument(self, name: Token | None, value: Token) -> tuple[str | None, str]:
        return (str(name) if name else None, value.strip("'"))

    def bare(self, value: Token) -> tuple:
        return ((None, value.strip("'")),)


def jenkins_steps(path: Path) -> list[Step]:
    """The `sh` steps of all stages, in order. Raises PipelineError."""
    try:
        root = _Nodes().transform(PARSER.parse(path.read_text()))
    except UnexpectedInput as error:
        raise PipelineError(
            f"line {error.line}: this syntax is not read here"
        ) from error
    if root.name != "pipeline":
        raise PipelineError(f"line {root.line}: begins with {root.name}, no pipeline")
    _check(root)
    return [
        Step(stage.text(), command.text())
        for stage in root.only("stages").children
        for command in stage.only("steps").children
    ]


def _check(block: Node) -> None:
    """Refuse what is unknown, out of place, or there twice."""
    for child in block.children:
        if child.kind == "assignment":
            known = block.name == "environment"
        else:
            is_block = child.name in KNOWN
            known = child.name in KNOWN[block.name]
            known = known and is_block == (child.kind == "block")
        if not known:
            raise PipelineError(
                f"line {child.line}: {child.name} in {block.name} is not read here"
            )
        if child.kind == "block":
            _check(child)
    sections = {child.name for child in block.children if child.name != "stage"}
    for name in (sections & KNOWN.keys()) | NEEDED.get(block.name, set()):
        block.only(name)
