"""Learner notebooks: each page of the book as an .ipynb that plain Jupyter renders and runs.

    python -m extensions.notebooks chapters _build/notebooks

The code cells are the page's own, in the same order; what Sphinx would have rendered around them becomes
ordinary Markdown. A directive or role with no such form stops the run with its page and line, and nothing is
written.
Exit status 0 when all are written, 1 when a page cannot be translated, 2 when a file cannot be read.
"""

import base64
import html
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from jupytext.myst import MystMetadataParsingError, myst_to_notebook
from nbformat import NotebookNode

from extensions.page import Directive, Page, PageError, directives_in, quoted_region
from extensions.page_contract import contract_items, pages_in
from extensions.picture import picture_path
from extensions.sources import Source, cited_keys, read_sources

ADMONITIONS = {
    "note",
    "tip",
    "hint",
    "important",
    "warning",
    "caution",
    "danger",
    "attention",
    "error",
    "seealso",
}
FOLDED = {"hide-input", "hide-cell", "remove-input"}
MARGIN_NOTES = {"margin", "dropdown"}
CONTINUED = "<details><summary>The solution, continued</summary>"


@dataclass(frozen=True)
class Book:
    """What translating one page needs to know about the others."""

    root: Path
    pages: dict[Path, Page]
    sources: dict[str, Source]

    @classmethod
    def read(cls, root: Path, chapters: Path) -> "Book":
        """Raises OSError or ValueError for a file that cannot be read."""
        bibliography = root / "references.bib"
        return cls(
            root=root.resolve(),
            pages={path.resolve(): Page.read(path) for path in pages_in(chapters)},
            sources=read_sources(bibliography) if bibliography.exists() else {},
        )


def learner_notebook(page: Page, book: Book) -> NotebookNode:
    """The page as a notebook without outputs. Raises PageError for what has no form in a notebook."""
    try:
        notebook = myst_to_notebook(page.text, add_source_map=True)
    except MystMetadataParsingError as error:
        raise PageError(1, str(error)) from error
    first_lines = notebook.metadata.pop("source_map")
    translate = _Translation(page, book)
    for number, (cell, first_line) in enumerate(
        zip(notebook.cells, first_lines, strict=True)
    ):
        cell.id = f"cell-{number}"
        if cell.cell_type == "markdown":
            cell.source = translate.cell(
                cell.source, _skip_blank(page.text, first_line) + 1
            )
            if translate.attachments:
                cell.attachments = translate.attachments
                translate.attachments = {}
        elif translate.in_solution or FOLDED & set(cell.metadata.get("tags", [])):
            cell.metadata["jupyter"] = {"source_hidden": True}
    notebook.cells = [cell for cell in notebook.cells if cell.source.strip()]
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": page.front_matter.get("kernelspec", {}),
            "language_info": {"name": "python"},
        }
    )
    nbformat.validate(notebook)
    return notebook


def write_notebooks(chapters: Path, output: Path, root: Path) -> list[Path]:
    """Write one notebook per page, in the same folders. All are translated before the first is written."""
    book = Book.read(root, chapters)
    if not book.pages:
        raise FileNotFoundError(f"no pages (*.md) under {chapters}")
    made: dict[Path, NotebookNode] = {}
    for page in book.pages.values():
        try:
            made[output / page.path.relative_to(chapters).with_suffix(".ipynb")] = (
                learner_notebook(page, book)
            )
        except PageError as error:
            raise PageError(error.line, f"{page.path}:{error.line}: {error}") from error
    for path, notebook in made.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".unfinished")
        nbformat.write(notebook, unfinished)
        unfinished.replace(path)
    return list(made)


class _Translation:
    """MyST to plain Markdown for one page, cell by cell: exercises are numbered and solutions span cells."""

    def __init__(self, page: Page, book: Book) -> None:
        self.page = page
        self.book = book
        self.attachments: dict[str, Any] = {}
        self.in_solution = False
        labels = [item for item in page.directives if item.name == "exercise"]
        self.exercises = {
            item.options.get("label", ""): f"Exercise {number}: {item.argument}".rstrip(
                ": "
            )
            for number, item in enumerate(labels, 1)
        }

    def cell(self, text: str, first_line: int) -> str:
        """A Markdown cell. HTML cannot reach across cells, so a solution is folded in each cell it spans."""
        carried_over = self.in_solution
        body = self.markdown(text, first_line)
        if carried_over:
            body = f"{CONTINUED}\n\n{body}"
        if self.in_solution:
            body = f"{body}\n\n</details>"
        return re.sub(rf"{re.escape(CONTINUED)}\s*</details>", "", body).strip()

    def markdown(self, text: str, first_line: int) -> str:
        """A piece of the page that begins on `first_line`, without directives, roles or MyST marks."""
        lines = text.splitlines()
        parts: list[str] = []
        position = 0
        for item in directives_in(text, first_line):
            begin, end = item.line - first_line, item.end - first_line
            indent = " " * (len(lines[begin]) - len(lines[begin].lstrip()))
            parts.append(
                self._prose("\n".join(lines[position:begin]), first_line + position)
            )
            fence = "\n".join(lines[begin:end])
            block = fence if not item.name else _indented(self._directive(item), indent)
            parts.append(block)
            position = end
        parts.append(self._prose("\n".join(lines[position:]), first_line + position))
        joined = "\n".join(part for part in parts if part.strip() or part == "")
        return re.sub(r"\n{3,}", "\n\n", joined).strip()

    # -- directives

    def _directive(self, item: Directive) -> str:
        name = item.name
        if name in ADMONITIONS:
            return self._quotation(
                name.capitalize() if name != "seealso" else "See also", item
            )
        if name == "admonition" or name in MARGIN_NOTES:
            return self._quotation(item.argument or "Note", item)
        if name == "container":
            return self._body(item)
        method: Callable[[Directive], str] | None = getattr(
            self, "_" + name.replace("-", "_"), None
        )
        if method is None:
            raise PageError(
                item.line,
                f"{{{name}}} has no form in a learner notebook; use plain Markdown",
            )
        return "\n" + method(item) + "\n"

    def _body(self, item: Directive) -> str:
        used = item.end - item.line - 1 - len(item.body.splitlines())
        return self.markdown(item.body, item.line + max(used, 0))

    def _quotation(self, title: str, item: Directive) -> str:
        body = self._body(item)
        lines = [f"**{title}**", "", *body.splitlines()]
        return "\n" + "\n".join(f"> {line}".rstrip() for line in lines) + "\n"

    def _literalinclude(self, item: Directive) -> str:
        code = quoted_region(self.page.path, item, self.book.root).strip("\n")
        language = item.options.get("language") or {
            ".py": "python",
            ".yml": "yaml",
            ".sh": "bash",
        }.get(Path(item.argument).suffix, "")
        caption = item.options.get("caption") or item.argument.lstrip("./")
        return f"`{caption}`\n\n{_fenced(code, language)}"

    def _code_block(self, item: Directive) -> str:
        return _fenced(item.body.strip("\n"), item.argument)

    def _exercise(self, item: Directive) -> str:
        return (
            f"### {self.exercises[item.options.get('label', '')]}\n\n{self._body(item)}"
        )

    def _solution_start(self, item: Directive) -> str:
        self.in_solution = True
        title = self.exercises.get(item.argument)
        if title is None:
            raise PageError(
                item.line,
                f"the solution names '{item.argument}', but no exercise has that label",
            )
        summary = f"<b>Solution to {html.escape(title)}</b> (its code is in the folded cell below)"
        return f"<details><summary>{summary}</summary>\n"

    def _solution_end(self, item: Directive) -> str:
        self.in_solution = False
        return "</details>"

    def _picture(self, item: Directive) -> str:
        svg = picture_path(self.book.root, item.argument)
        try:
            content = svg.read_bytes()
        except OSError as error:
            raise PageError(
                item.line, f"no picture {item.argument} in assets/pictures/"
            ) from error
        self.attachments[svg.name] = {
            "image/svg+xml": base64.b64encode(content).decode()
        }
        caption = self._body(item)
        image = f"![{_bracketed(item.options.get('alt', ''))}](attachment:{svg.name})"
        return f"{image}\n\n{caption}" if caption else image

    def _math(self, item: Directive) -> str:
        return f"$$\n{item.body.strip()}\n$$"

    def _footbibliography(self, item: Directive) -> str:
        keys = dict.fromkeys(key for key, _ in cited_keys(self.page.text))
        return "**Sources**\n\n" + "\n".join(
            f"- {_reference(self.book.sources[key])}" for key in keys
        )

    # -- text between directives

    def _prose(self, text: str, first_line: int) -> str:
        text = re.sub(r"^\([\w.:-]+\)=\s*$", "", text, flags=re.MULTILINE)  # targets
        text = re.sub(r"^%.*$", "", text, flags=re.MULTILINE)  # comments
        text = re.sub(r"^\+\+\+.*$", "", text, flags=re.MULTILINE)  # block breaks

        def role(match: re.Match[str]) -> str:
            line = first_line + text.count("\n", 0, match.start())
            return self._role(match[1], match[2], line)

        text = re.sub(r"\{([a-z][\w:.-]*)\}`([^`]+)`", role, text)
        text = re.sub(
            r"(?<!!)\[([^\]]*)\]\(([^)\s]+\.md)(#[^)\s]*)?\)", self._link, text
        )
        text = re.sub(r"\[([^\]]+)\]\(#([\w-]+)\)", r"\1", text)
        return self._with_contract(text)

    def _role(self, name: str, content: str, line: int) -> str:
        shown, target = _split_target(content)
        if name.startswith("footcite"):
            return (
                "("
                + ", ".join(
                    self._source_link(key.strip(), line) for key in content.split(",")
                )
                + ")"
            )
        if name == "doc":
            return self._page_link(shown, target + ".md")
        if name in {"ref", "numref"}:
            return shown if shown != target else self.exercises.get(target, target)
        if name == "math":
            return f"${content}$"
        if name in {"file", "command", "kbd", "samp", "code"}:
            return f"`{content}`"
        if name in {"abbr", "term"}:
            return shown
        raise PageError(
            line,
            f"the role {{{name}}} has no form in a learner notebook; use plain Markdown",
        )

    def _source_link(self, key: str, line: int) -> str:
        if key not in self.book.sources:
            raise PageError(line, f"cites '{key}', which references.bib does not have")
        source = self.book.sources[key]
        return f'[source]({source.url} "{source.title.replace(chr(34), chr(39))}")'

    def _link(self, match: re.Match[str]) -> str:
        return self._page_link(match[1], match[2] + (match[3] or ""))

    def _page_link(self, shown: str, target: str) -> str:
        """A link to another page leads to its notebook, if it has one; else only its words remain."""
        name, _, anchor = target.partition("#")
        base = (
            self.book.root / name.lstrip("/")
            if name.startswith("/")
            else self.page.path.parent / name
        )
        other = self.book.pages.get(base.resolve())
        if not shown or shown == target.removesuffix(".md"):
            shown = other.title if other else "the book's front page"
        if other is None:
            return shown
        here = self.page.path.resolve().parent
        relative = (
            Path(os.path.relpath(base.resolve(), here)).with_suffix(".ipynb").as_posix()
        )
        return f"[{shown}]({relative}{'#' + anchor if anchor else ''})"

    def _with_contract(self, text: str) -> str:
        """Under the title, what the front matter promises."""
        if not self.page.front_matter or not (
            title := re.search(r"^# .+$", text, flags=re.MULTILINE)
        ):
            return text
        lines = []
        for label, content in contract_items(self.page.front_matter):
            if isinstance(content, list):
                lines += [f"> **{label}**", *(f"> - {entry}" for entry in content), ">"]
            else:
                lines += [f"> **{label}** {content}", ">"]
        return (
            text[: title.end()] + "\n\n" + "\n".join(lines[:-1]) + text[title.end() :]
        )


def _reference(source: Source) -> str:
    who = ". ".join(
        part for part in (source.authors, f"*{source.title}*", source.year) if part
    )
    return f"{who}. <{source.url}>. {source.note}."


def _split_target(content: str) -> tuple[str, str]:
    """`text <target>` as its two parts; a bare target is its own text."""
    match = re.fullmatch(r"(.+?)\s*<([^>]+)>", content, flags=re.DOTALL)
    return (match[1], match[2]) if match else (content, content)


def _fenced(code: str, language: str) -> str:
    longest = max((len(run) for run in re.findall(r"`{3,}", code)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{code}\n{fence}"


def _bracketed(text: str) -> str:
    return text.replace("[", "(").replace("]", ")").replace("\n", " ")


def _indented(text: str, indent: str) -> str:
    return (
        "\n".join(indent + line if line else line for line in text.splitlines())
        if indent
        else text
    )


def _skip_blank(text: str, first_line: int) -> int:
    """jupytext drops the blank lines a cell begins with; this finds the line (from 0) it then begins on."""
    lines = text.splitlines()
    while first_line < len(lines) and not lines[first_line].strip():
        first_line += 1
    return first_line


def main(arguments: list[str]) -> int:
    if len(arguments) != 2:
        print("usage: python -m extensions.notebooks CHAPTERS OUTPUT", file=sys.stderr)
        return 2
    chapters, output = map(Path, arguments)
    try:
        written = write_notebooks(chapters, output, Path.cwd())
    except PageError as error:
        print(error)
        return 1
    except (OSError, ValueError) as error:
        print(f"notebooks: {error}", file=sys.stderr)
        return 2
    print(f"{len(written)} notebooks in {output}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
