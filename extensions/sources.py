"""The book's sources: `references.bib` as data, so that an undated, unlinked or unused one is noticed."""

import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from pybtex.database import parse_string
from pybtex.exceptions import PybtexError
from pybtex.richtext import Text

CITATION = re.compile(r"\{footcite(?::\w+)?\}`([^`]+)`")


@dataclass(frozen=True)
class Source:
    """An entry of the bibliography; `authors`, `year` and `checked` are empty or None where it names none."""

    key: str
    title: str
    authors: str
    year: str
    url: str
    note: str
    line: int

    @property
    def checked(self) -> date | None:
        """The day somebody last looked, from a note like `Checked 2026-11-22`."""
        match = re.search(r"\bChecked (\d{4}-\d{2}-\d{2})\b", self.note)
        try:
            return date.fromisoformat(match[1]) if match else None
        except ValueError:
            return None


def read_sources(path: Path) -> dict[str, Source]:
    """All entries by key. Raises OSError, or ValueError if the file is not BibTeX."""
    text = path.read_text(encoding="utf-8")
    try:
        entries = parse_string(text, "bibtex").entries
    except PybtexError as error:
        raise ValueError(f"{path} is not BibTeX: {error}") from error
    sources = {}
    for key, entry in entries.items():
        people = [
            " ".join([*person.first_names, *person.prelast_names, *person.last_names])
            for person in entry.persons.get("author", [])
        ]
        plain = {
            name: str(Text.from_latex(value)) for name, value in entry.fields.items()
        }
        start = re.search(rf"@\w+\s*\{{\s*{re.escape(key)}\s*,", text, re.IGNORECASE)
        sources[key] = Source(
            key=key,
            title=plain.get("title", key),
            authors=", ".join(str(Text.from_latex(person)) for person in people),
            year=plain.get("year", ""),
            url=entry.fields.get("url", ""),
            note=plain.get("note", ""),
            line=text.count("\n", 0, start.start()) + 1 if start else 1,
        )
    return sources


def cited_keys(text: str) -> list[tuple[str, int]]:
    """Every key a page cites with `footcite`, with its line."""
    return [
        (key.strip(), text.count("\n", 0, match.start()) + 1)
        for match in CITATION.finditer(text)
        for key in match[1].split(",")
    ]
