"""The desk's runbooks, read from Markdown and cut into passages small enough to be embedded and quoted."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import yaml

from triage.errors import TriageError

RUNBOOKS = Path(__file__).parent / "runbooks"
"""Those of Larch's desk."""

EVERYONE = "everyone"
AUDIENCES = frozenset({EVERYONE, "accounts", "payments", "leads"})

MOST_WORDS = 100
"""In a chunk. The encoder ignores what comes after 256 tokens, and a code such as TP-118 is several."""


# region chunk
@dataclass(frozen=True)
class Chunk:
    """A passage of a runbook under one heading."""

    title: str
    heading: str
    text: str

    @property
    def embedded(self) -> str:
        """What the encoder reads: `after 14 days` must also say of what."""
        return f"{self.title}. {self.heading}.\n{self.text}"

    @property
    def digest(self) -> str:
        """The same digest, the same vector: nothing to embed again."""
        return hashlib.sha256(self.embedded.encode()).hexdigest()


# endregion chunk


@dataclass(frozen=True)
class Runbook:
    """One document: who may read it, when somebody last checked it, and its text."""

    name: str
    title: str
    audience: frozenset[str]
    updated: date
    text: str

    def chunks(self, most: int = MOST_WORDS) -> list[Chunk]:
        """In the document's order, each once."""
        cut = (
            Chunk(self.title, heading, piece)
            for heading, text in sections(self.text, self.title)
            for piece in pieces(text, most)
        )
        return list(dict.fromkeys(cut))


def read_folder(folder: Path = RUNBOOKS) -> list[Runbook]:
    """Every runbook of a folder. Raises TriageError if one is not in order, or if there is none at all."""
    books = [read(path) for path in sorted(folder.glob("*.md"))]
    if not books:
        raise TriageError(
            f"There are no runbooks in {folder}. Give the folder with the .md files; "
            "to empty an index on purpose, delete its file."
        )
    return books


def read(path: Path) -> Runbook:
    """One runbook. What does not say who may read it is read by nobody: TriageError."""
    try:
        content = path.read_text(encoding="utf-8")
        _, matter, text = re.split(r"^---$\n?", content, maxsplit=2, flags=re.MULTILINE)
        facts = yaml.safe_load(matter)
        title, audience, updated = (
            facts[key] for key in ("title", "audience", "updated")
        )
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise TriageError(
            f"{path} cannot be used: {error}. It must begin with a block between two "
            "lines --- that says title, audience and updated."
        ) from error
    if not isinstance(audience, list) or not audience or set(audience) - AUDIENCES:
        raise TriageError(
            f"{path}: audience is {audience!r}. Write a list of some of these: "
            f"{', '.join(sorted(AUDIENCES))}."
        )
    if not isinstance(updated, date):
        raise TriageError(f"{path}: updated is {updated!r}. Write a day: 2026-11-27.")
    return Runbook(path.stem, str(title), frozenset(audience), updated, text)


# region cut
def sections(text: str, title: str) -> Iterator[tuple[str, str]]:
    """(heading, text below it); what comes before the first goes by the title."""
    heading, in_code = title, False
    lines: list[str] = []
    for line in text.splitlines():
        in_code ^= line.startswith("```")
        if not in_code and (found := re.match(r"#{1,6} +(.+)", line)):
            yield heading, "\n".join(lines)
            heading, lines = found[1].strip(), []
        else:
            lines.append(line)
    yield heading, "\n".join(lines)


def pieces(text: str, most: int) -> list[str]:
    """Whole sentences, as many as make up to `most` words; only a longer one is cut."""
    packed: list[list[str]] = []
    for sentence in re.split(r"(?<=[.!?])\s+", text):
        words = sentence.split()
        for start in range(0, len(words), most):
            part = words[start : start + most]
            if packed and len(packed[-1]) + len(part) <= most:
                packed[-1] += part
            else:
                packed.append(part)
    return [" ".join(words) for words in packed]


# endregion cut
