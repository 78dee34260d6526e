"""A page of the book as data: its front matter, headings and directives, each with its line.

Sphinx is not needed to read one, so the page contract and the learner notebooks work in milliseconds.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.colon_fence import colon_fence_plugin
from mdit_py_plugins.front_matter import front_matter_plugin
from myst_parser.parsers.options import TokenizeError, options_to_items
from sphinx.directives.code import LiteralIncludeReader

_markdown = MarkdownIt("commonmark").use(front_matter_plugin).use(colon_fence_plugin)


class PageError(ValueError):
    """Something on a page that cannot be read; `line` says where, counting from 1."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True)
class Heading:
    level: int
    text: str
    line: int


@dataclass(frozen=True)
class Directive:
    """A fenced directive. `name` is empty for a plain code block; `end` is the line after the fence."""

    name: str
    argument: str
    options: dict[str, str]
    body: str
    line: int
    end: int


@dataclass(frozen=True)
class Page:
    """A MyST page. Reading raises OSError or ValueError; asking for its parts, PageError."""

    path: Path
    text: str

    @classmethod
    def read(cls, path: Path) -> "Page":
        try:
            return cls(path, path.read_text(encoding="utf-8"))
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is not UTF-8 text; save it as such") from error

    @cached_property
    def _tokens(self) -> list[Token]:
        return _markdown.parse(self.text)

    @cached_property
    def front_matter(self) -> dict[str, Any]:
        """The YAML block at the top; empty if there is none."""
        if not self._tokens or self._tokens[0].type != "front_matter":
            return {}
        try:
            found = yaml.safe_load(self._tokens[0].content)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = mark.line + 2 if mark else 1
            raise PageError(
                line,
                f"the front matter is not valid YAML: {str(error).splitlines()[0]}",
            ) from error
        if not isinstance(found, dict):
            raise PageError(1, "the front matter must be a list of `key: value` lines")
        return found

    @cached_property
    def headings(self) -> list[Heading]:
        """Top-level headings; one inside a list or quotation does not structure a page."""
        return [
            Heading(
                int(token.tag[1]), self._tokens[index + 1].content, _first_line(token)
            )
            for index, token in enumerate(self._tokens)
            if token.type == "heading_open" and token.level == 0
        ]

    @property
    def title(self) -> str:
        return next(
            (heading.text for heading in self.headings if heading.level == 1),
            self.path.stem,
        )

    @cached_property
    def directives(self) -> list[Directive]:
        """All fences of the page that are not inside another fence."""
        return directives_in(self.text)


def directives_in(text: str, first_line: int = 1) -> list[Directive]:
    """The fences of a piece of MyST that starts on `first_line` of its page."""
    tokens = _markdown.parse(text)
    return [
        _directive(token, first_line - 1)
        for token in tokens
        if token.type in {"fence", "colon_fence"}
    ]


def quoted_region(page: Path, quote: Directive, root: Path) -> str:
    """The code a `literalinclude` quotes, cut out as Sphinx cuts it.

    Raises PageError if the file or the region is not there, or if a marker fits only part of a line: a quote
    from `region fit` must not begin at `region fit_head`.
    """
    named = quote.argument
    source = root / named.lstrip("/") if named.startswith("/") else page.parent / named
    options: dict[str, Any] = dict(quote.options)
    if "dedent" in options:
        options["dedent"] = int(options["dedent"]) if options["dedent"] else None
    try:
        code, _ = LiteralIncludeReader(
            str(source.resolve()),
            options,
            SimpleNamespace(source_encoding="utf-8"),  # type: ignore[arg-type]
        ).read()
    except (OSError, ValueError) as error:
        raise PageError(
            quote.line,
            f"cannot quote {named}: {error}; name a file and region that exist",
        ) from error
    lines = {
        line.strip().lstrip("# ")
        for line in source.read_text(encoding="utf-8").splitlines()
    }
    for option in ("start-after", "end-before"):
        if option in options and options[option].lstrip("# ") not in lines:
            raise PageError(
                quote.line,
                f"cannot quote {named}: no line says exactly '{options[option]}'; name a region that exists",
            )
    return code


def _first_line(token: Token) -> int:
    return token.map[0] + 1 if token.map else 1


def _directive(token: Token, offset: int) -> Directive:
    line = _first_line(token) + offset
    end = (token.map[1] if token.map else 0) + 1 + offset
    match = re.fullmatch(r"\{([^}\s]+)\}\s*(.*)", token.info.strip())
    if not match:
        return Directive("", token.info.strip(), {}, token.content, line, end)
    options, body = _split_options(token.content, line)
    return Directive(match[1], match[2], options, body, line, end)


def _split_options(content: str, line: int) -> tuple[dict[str, str], str]:
    """Options from `:key: value` lines or a `---` block at the top of a directive, and what follows them."""
    lines = content.splitlines()
    if lines and lines[0].startswith("---"):
        closing = next(
            (n for n, text in enumerate(lines[1:], 1) if text.startswith("---")),
            len(lines),
        )
        block, rest = lines[1:closing], lines[closing + 1 :]
    else:
        count = next(
            (n for n, text in enumerate(lines) if not text.lstrip().startswith(":")),
            len(lines),
        )
        block, rest = [text.lstrip()[1:] for text in lines[:count]], lines[count:]
    try:
        items, _ = options_to_items("\n".join(block))
    except TokenizeError as error:
        raise PageError(
            line, f"the directive's options cannot be read: {error.problem}"
        ) from error
    return dict(items), "\n".join(rest)
