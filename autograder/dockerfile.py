"""The learner's Dockerfile: what it may say, and the copy of it that the judge builds.

In the copy the judge's base stands in the place of python:3.11-slim, so no image of that name is needed,
made or touched, and every stage carries the judge's labels.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from autograder.errors import LearnerError

PYTHON = re.compile(
    r"(docker\.io/)?(library/)?python:3\.11(\.\d+)?-slim(-bookworm)?(@sha256:[0-9a-f]{64})?"
)
ADVICE = "Start from python:3.11-slim, or from an earlier stage of the same file."
WITHOUT_EFFECT = {"link"}  # of COPY: only makes BuildKit faster
KNOWN = {
    *(
        "ADD",
        "ARG",
        "CMD",
        "COPY",
        "ENTRYPOINT",
        "ENV",
        "EXPOSE",
        "FROM",
        "HEALTHCHECK",
    ),
    *("LABEL", "MAINTAINER", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"),
}
CONTINUED = re.compile(r"\\[ \t]*$")
# What docker takes for white space is not all that Python does, so only what both agree on is let in.
ODD = re.compile(r"[^\S \t\n]|[\x00-\x08\x0e-\x1f\x7f]")
STAGE = re.compile(r"[a-z][a-z0-9_.-]*")
EXPANSIONS = 12  # uses of variables in ENV and ARG; each can double what the engine has to remember
VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?::([-+])([^}]*))?\})")
HEREDOC = re.compile(r"(?:^|\s)\d*<<-?(?P<quote>[\"']?)[A-Za-z_]\w*(?P=quote)(?=\s|$)")
PLAIN = re.compile(r"[\w./*?@+,=~ -]+")  # a path that no builder takes for an address
# Options that docker's classic builder and podman both know. The others need BuildKit, or reach out of the
# build: to mounts, networks, privileges.
OPTIONS = {
    "FROM": {"platform"},
    "COPY": {"from", "chown"},
    "ADD": {"chown"},
    "HEALTHCHECK": {"interval", "timeout", "start-period", "retries"},
}


@dataclass(frozen=True)
class Instruction:
    """`line` counts from 1; `keyword` is in capitals, `text` all that follows it, in one line."""

    line: int
    keyword: str
    options: dict[str, str]
    text: str


def rewrite(
    source: str, *, base: str, labels: Mapping[str, str], architecture: str
) -> str:
    """The Dockerfile to build instead. Raises LearnerError that names the line the judge does not accept."""
    stages: list[str] = []
    arguments: dict[str, str] = {}
    lines = []
    ours = " ".join(["LABEL", *(f'{key}="{value}"' for key, value in labels.items())])
    for instruction in parse(source):
        _refuse(instruction)
        if instruction.keyword == "FROM":
            stage = _from(instruction, base, stages, arguments, architecture)
            lines += [stage, ours]
        elif not stages:
            if instruction.keyword != "ARG":
                raise _error(
                    instruction, "comes before FROM.", "Begin the file with FROM."
                )
            arguments |= _defaults(instruction, arguments)
            lines.append(_text(instruction))
        elif "from" in instruction.options:
            lines.append(_copy(instruction, base, stages))
        elif instruction.keyword == "ADD":
            # COPY does the same for files, and neither fetches an address nor unpacks an archive.
            lines.append(_text(replace(instruction, keyword="COPY")))
        else:
            lines.append(_text(instruction))
            if instruction.keyword == "LABEL":
                lines.append(ours)  # theirs may have said otherwise
    if not stages:
        raise LearnerError("The Dockerfile has no FROM.", ADVICE)
    if any(line.endswith("\\") for line in lines):
        raise LearnerError(
            "A line of the Dockerfile ends in a backslash and continues nothing.",
            "Remove that backslash.",
        )
    return "\n".join(lines) + "\n"


def parse(source: str) -> list[Instruction]:
    """The instructions of a Dockerfile, continued lines joined and comments left out. Raises LearnerError."""
    lines = source.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    for number, line in enumerate(lines, 1):
        if odd := ODD.search(line):
            raise LearnerError(
                f"Line {number} of the Dockerfile has the invisible character U+{ord(odd[0]):04X}.",
                "Type the line again, with ordinary blanks.",
            )
    _check_directives(lines)
    instructions = []
    start, text = 0, ""
    for number, line in enumerate(lines, 1):
        if line.lstrip().startswith("#") or (text and not line.strip()):
            continue  # inside a continued instruction as well
        if not text:
            start, line = number, line.lstrip()
        joined = CONTINUED.sub("", line)
        text += joined
        if joined == line and text.strip():
            instructions.append(_instruction(start, text))
            text = ""
    if text.strip():
        instructions.append(_instruction(start, text))
    settings = [one.text for one in instructions if one.keyword in ("ENV", "ARG")]
    if "".join(settings).count("$") > EXPANSIONS:
        raise LearnerError(
            f"ENV and ARG use variables more than {EXPANSIONS} times.",
            "Write the values out.",
        )
    return instructions


def _check_directives(lines: list[str]) -> None:
    """Refuse parser directives: comments at the top of the file that change how it is read."""
    for number, line in enumerate(lines, 1):
        found = re.fullmatch(r"#\s*([A-Za-z]+)\s*=.*", line.strip())
        if not found:
            return
        if found[1].lower() in ("syntax", "escape"):
            raise LearnerError(
                f"Line {number} of the Dockerfile changes how the file is read: {line.strip()[:60]}.",
                "Remove that line: the judge reads plain Dockerfiles, and fetches no syntax image.",
            )


def _instruction(line: int, text: str) -> Instruction:
    keyword, _, rest = text.strip().replace("\t", " ").partition(" ")
    rest = rest.strip()
    options = {}
    if keyword.upper() in OPTIONS or keyword.upper() == "RUN":
        while found := re.match(r"--([A-Za-z-]+)(?:=(\S*))?(?:\s+|$)", rest):
            if found[1].lower() not in WITHOUT_EFFECT:
                options[found[1].lower()] = found[2] or ""
            rest = rest[found.end() :]
    return Instruction(line, keyword.upper(), options, rest)


def _refuse(instruction: Instruction) -> None:
    keyword, text = instruction.keyword, instruction.text
    if keyword == "ONBUILD":
        raise _error(
            instruction,
            "leaves an instruction to images built from this one.",
            "Write the instruction itself, without ONBUILD.",
        )
    if keyword not in KNOWN:
        raise _error(instruction, "is not an instruction.", "Look for a typing error.")
    for option in instruction.options:
        if option not in OPTIONS.get(keyword, ()):
            raise _error(
                instruction,
                f"uses --{option}.",
                f"Write the {keyword} without it: the build gives no access to mounts, networks or "
                "privileges, and has to work with docker's classic builder and with podman.",
            )
    if keyword in ("RUN", "COPY", "ADD") and HEREDOC.search(text):
        raise _error(
            instruction,
            "uses a here-document.",
            "Put the text in a file and COPY it, or join commands with && and a line continuation.",
        )
    if keyword == "ADD" and not all(map(PLAIN.fullmatch, _sources(instruction))):
        raise _error(
            instruction,
            "adds from an address, or from what could be one.",
            "There is no network while it builds: keep the file beside the Dockerfile and COPY it.",
        )


def _sources(instruction: Instruction) -> list[str]:
    """What an ADD adds, in either form: ADD one two /to or ADD ["one", "two", "/to"]."""
    try:
        words = json.loads(instruction.text)
    except ValueError:
        words = instruction.text.split()
    return [str(word) for word in words[:-1]] if isinstance(words, list) else [""]


def _from(
    instruction: Instruction,
    base: str,
    stages: list[str],
    arguments: Mapping[str, str],
    architecture: str,
) -> str:
    """The FROM line to build with; its stage is added to `stages`."""
    platform = _expand(instruction.options.get("platform", ""), arguments)
    if platform not in ("", "linux", f"linux/{architecture}") and not re.fullmatch(
        r"\$\{?(BUILD|TARGET)PLATFORM\}?", platform
    ):
        raise _error(
            instruction,
            f"asks for {platform}, and the machine that builds and runs it is linux/{architecture}.",
            "Leave --platform out, so that the image fits the machine it is built on.",
        )
    words = _expand(instruction.text, arguments).split()
    if len(words) not in (1, 3) or (len(words) == 3 and words[1].lower() != "as"):
        raise _error(
            instruction, "cannot be read.", "Write FROM image, or FROM image AS name."
        )
    image = words[0]
    name = words[2].lower() if len(words) == 3 else ""
    if name and not STAGE.fullmatch(name):
        raise _error(
            instruction,
            "names its stage in a way docker does not accept.",
            "Use lower-case letters, digits, dots, hyphens and underscores.",
        )
    if image.lower() in stages:
        image = image.lower()
    elif PYTHON.fullmatch(image):
        image = base
    elif image != "scratch":
        raise _error(instruction, _foreign(image), ADVICE)
    stages.append(name)
    return f"FROM {image} AS {name}" if name else f"FROM {image}"


def _copy(instruction: Instruction, base: str, stages: list[str]) -> str:
    """A COPY with a source that is another stage, or the base under its usual name."""
    source = instruction.options["from"]
    if PYTHON.fullmatch(source):
        source = base
    elif source.lower() not in stages and not (
        source.isdecimal() and int(source) < len(stages) - 1
    ):
        raise _error(
            instruction,
            f"copies from {source!r}, which is no earlier stage of this file.",
            "Copy from the folder of the Dockerfile, or from a stage named with FROM … AS name.",
        )
    options = {**instruction.options, "from": source}
    return _text(Instruction(instruction.line, "COPY", options, instruction.text))


def _foreign(image: str) -> str:
    if "$" in image:
        return "takes its image from a variable without a value."
    return f"builds on {image}, and not on the image the assignment pins."


def _defaults(instruction: Instruction, arguments: Mapping[str, str]) -> dict[str, str]:
    """The values an ARG before the first FROM gives to the FROM lines."""
    values: dict[str, str] = {}
    for word in instruction.text.split():
        name, equals, value = word.partition("=")
        if equals:
            values[name] = _expand(value.strip("\"'"), {**arguments, **values})
    return values


def _expand(text: str, arguments: Mapping[str, str]) -> str:
    """`text` with $name, ${name}, ${name:-default} and ${name:+value} replaced; unknown names stay."""

    def value(found: re.Match[str]) -> str:
        known = arguments.get(found[1] or found[2], "")
        if found[3] == "-":
            return known or found[4]
        if found[3] == "+":
            return found[4] if known else ""
        return known or found[0]

    return VARIABLE.sub(value, text)


def _text(instruction: Instruction) -> str:
    options = [
        f"--{name}={value}" if value else f"--{name}"
        for name, value in instruction.options.items()
    ]
    return " ".join([instruction.keyword, *options, instruction.text])


def _error(instruction: Instruction, seen: str, advice: str) -> LearnerError:
    words = f"{instruction.keyword} {instruction.text}".strip()
    shown = words if len(words) <= 60 else words[:57] + "..."
    return LearnerError(
        f"Line {instruction.line} of the Dockerfile ({shown}) {seen}", advice
    )
