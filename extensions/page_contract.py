"""The page contract: what every page under chapters/ promises its reader, checked and shown.

As a Sphinx extension it turns each broken promise into a warning and shows the front matter under the title.
On its own it prints one line per finding:

    python -m extensions.page_contract                 # the whole book: pages, table of contents, sources
    python -m extensions.page_contract PAGE_OR_FOLDER  # only these pages

Exit status 0 if nothing is wrong, 1 if something is, 2 if a file cannot be read.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx_external_toc.parsing import MalformedError, parse_toc_yaml

from extensions.page import Directive, Page, PageError, quoted_region
from extensions.sources import Source, cited_keys, read_sources

CLOSING = [
    "Break it on purpose",
    "Exercises",
    "What breaks in production",
    "Where next",
]
NEEDS = {
    "offline": "nothing but this course, installed; no network",
    "engine": "a container engine (docker or podman); built without one, it shows the last real run",
    "cluster": "a Kubernetes cluster you may use",
}
COLUMNS = 88  # what fits beside the contents on a desktop


@dataclass(frozen=True)
class Finding:
    path: Path
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


# What is checked


def check_book(root: Path) -> list[Finding]:
    """Everything: each page under chapters/, the table of contents and the sources.

    Raises OSError or ValueError if a file of the book cannot be read.
    """
    sources = _sources(root)
    listed = toc_files(root)
    pages = [Page.read(path) for path in pages_in(root / "chapters")]
    findings = [
        finding for page in pages for finding in check_page(page, root, sources)
    ]
    findings += _check_toc(root, listed)
    everything = pages + [
        Page.read(path) for path in listed if path.exists() and path.parent == root
    ]
    findings += _check_sources(root, sources, everything)
    return findings


def check_page(page: Page, root: Path, sources: dict[str, Source]) -> list[Finding]:
    """What one page fails to keep, in the order of its lines."""
    try:
        found = [
            *((1, message) for message in _check_front_matter(page)),
            *_check_sections(page),
            *_check_exercises(page),
            *_check_citations(page, sources),
            *_check_quotes(page, root),
            *_check_links(page),
        ]
    except PageError as error:
        found = [(error.line, str(error))]
    return [
        Finding(page.path, line, message)
        for line, message in sorted(found, key=lambda item: item[0])
    ]


def pages_in(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.md"))


Problem = tuple[int, str]


def _check_front_matter(page: Page) -> Iterator[str]:
    meta = page.front_matter
    if not meta:
        yield "no front matter; begin the page with the block in CONTRIBUTING.md (you-know, you-will, ...)"
        return
    if "myst" not in str(meta.get("jupytext")) or "kernelspec" not in meta:
        yield "without `jupytext` (format_name: myst) and `kernelspec` no cell runs; copy them from a page"
    if not _is_text(meta.get("you-know")):
        yield "`you-know` is missing; write in one sentence the software-engineering idea it starts from"
    outcomes = meta.get("you-will")
    if not isinstance(outcomes, list) or not all(map(_is_text, outcomes)):
        yield "`you-will` is missing or no list; give 2 to 4 outcomes, each beginning with a verb"
    elif not 2 <= len(outcomes) <= 4:
        yield f"`you-will` has {len(outcomes)} outcomes; give 2 to 4"
    minutes = meta.get("time")
    if type(minutes) is not int or minutes <= 0:
        yield f"`time` is {minutes!r}; give the minutes the page takes as a whole number, such as 35"
    if meta.get("needs") not in NEEDS:
        yield f"`needs` is {meta.get('needs')!r}; choose one of {', '.join(NEEDS)}"


def _check_sections(page: Page) -> Iterator[Problem]:
    titles = [heading for heading in page.headings if heading.level == 1]
    if len(titles) != 1:
        line = titles[1].line if titles else 1
        yield (
            line,
            f"{len(titles)} headings of level 1; a page has exactly one `# Title`",
        )
    sections = [heading for heading in page.headings if heading.level == 2]
    names = [section.text for section in sections]
    missing = [name for name in CLOSING if name not in names]
    for name in missing:
        yield 1, f"no section `## {name}`; a page ends with: {', '.join(CLOSING)}"
    if not missing and names[-len(CLOSING) :] != CLOSING:
        line = sections[-len(CLOSING)].line
        yield (
            line,
            f"the last sections are out of order; end the page with: {', '.join(CLOSING)}",
        )


def _check_exercises(page: Page) -> Iterator[Problem]:
    start = next(
        (heading.line for heading in page.headings if heading.text == "Exercises"), None
    )
    if start is None:
        return  # the missing section is a finding already
    exercises = [item for item in page.directives if item.name == "exercise"]
    if len(exercises) < 2:
        yield (
            start,
            f"{len(exercises)} exercises; give at least two, each with a self-check and a solution",
        )
    for exercise in exercises:
        yield from _check_exercise(page, exercise)


def _check_exercise(page: Page, exercise: Directive) -> Iterator[Problem]:
    label = exercise.options.get("label", "")
    name = f"exercise '{label or exercise.argument}'"
    if not label:
        yield (
            exercise.line,
            f"{name} has no `:label:`; add one so that its solution can name it",
        )
        return
    after = [item for item in page.directives if item.line > exercise.line]
    begin = next(
        (
            item
            for item in after
            if item.name == "solution-start" and item.argument == label
        ),
        None,
    )
    if begin is None:
        yield (
            exercise.line,
            f"{name} has no solution; add a folded {{solution-start}} {label} with a working cell",
        )
        return
    if "dropdown" not in begin.options.get("class", "").split():
        yield (
            begin.line,
            f"the solution of {name} is not folded; give it `:class: dropdown`",
        )
    finish = next(
        (
            item
            for item in after
            if item.name == "solution-end" and item.line > begin.line
        ),
        None,
    )
    if finish is None:
        yield (
            begin.line,
            f"the solution of {name} never ends; close it with {{solution-end}}",
        )
        return
    cells = [item for item in after if item.name == "code-cell"]
    asked = "\n".join(cell.body for cell in cells if cell.line < begin.line)
    solved = "\n".join(
        cell.body for cell in cells if begin.line < cell.line < finish.line
    )
    checks = re.findall(r"^(\w+) *= *Exercise\(", asked, re.MULTILINE)
    tried = [check for check in checks if re.search(rf"\b{check}\(", asked)]
    if not tried:
        yield (
            exercise.line,
            f"{name} has no self-check; make one with `Exercise(...)` and call it in the starter cell",
        )
    elif not any(re.search(rf"\b{check}\(", solved) for check in tried):
        yield (
            begin.line,
            f"the solution of {name} does not call {' or '.join(tried)}; show in its cell that it passes",
        )


def _check_citations(page: Page, sources: dict[str, Source]) -> Iterator[Problem]:
    cited = cited_keys(page.text)
    for key, line in cited:
        if key not in sources:
            yield (
                line,
                f"cites '{key}', which references.bib does not have; add the entry or correct the key",
            )
    if cited and not any(item.name == "footbibliography" for item in page.directives):
        yield (
            cited[-1][1],
            "cites sources but never lists them; end the page with a {footbibliography}",
        )


def _check_quotes(page: Page, root: Path) -> Iterator[Problem]:
    for item in page.directives:
        if item.name == "literalinclude":
            try:
                code = quoted_region(page.path, item, root)
            except PageError as error:
                yield error.line, str(error)
                continue
            width = max(map(len, code.splitlines()), default=0)
            if width > COLUMNS:
                yield (
                    item.line,
                    f"quotes a line of {width} characters; break it, a page shows {COLUMNS}",
                )


def _check_links(page: Page) -> Iterator[Problem]:
    for link in re.finditer(r"\]\((?!\w+:)([^)#\s]+\.md)[)#]", page.text):
        if not (page.path.parent / link[1]).is_file():
            line = page.text.count("\n", 0, link.start()) + 1
            yield line, f"links to {link[1]}, which does not exist; correct the path"


def _check_toc(root: Path, listed: list[Path]) -> Iterator[Finding]:
    toc = root / "_toc.yml"
    for path in listed:
        if not path.exists():
            yield Finding(
                toc,
                1,
                f"lists {path.relative_to(root)}, which does not exist; write it or take it out",
            )
    for path in pages_in(root / "chapters"):
        if path not in listed:
            yield Finding(
                path, 1, "is not in _toc.yml, so no reader would find it; list it there"
            )


def _check_sources(
    root: Path, sources: dict[str, Source], pages: list[Page]
) -> Iterator[Finding]:
    used = {key for page in pages for key, _ in cited_keys(page.text)}
    for source in sources.values():
        problems = {
            "has no url; say where a reader can look it up": not source.url,
            "has no date; add note = {Checked YYYY-MM-DD}, the day somebody looked": source.checked
            is None,
            "is cited nowhere; cite it or take it out": source.key not in used,
        }
        for problem, applies in problems.items():
            if applies:
                yield Finding(
                    root / "references.bib", source.line, f"'{source.key}' {problem}"
                )


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _sources(root: Path) -> dict[str, Source]:
    path = root / "references.bib"
    return read_sources(path) if path.exists() else {}


def toc_files(root: Path) -> list[Path]:
    """Every file the table of contents lists, whether it exists or not."""
    try:
        site_map = parse_toc_yaml(root / "_toc.yml")
    except (MalformedError, yaml.YAMLError) as error:
        raise ValueError(
            f"{root / '_toc.yml'}: not a table of contents: {error}"
        ) from error
    return [
        root / (name if name.endswith(".md") else f"{name}.md") for name in site_map
    ]


# What is shown


def contract_items(meta: dict[str, Any]) -> list[tuple[str, str | list[str]]]:
    """The promises of a page as (label, text or list of texts), for whoever renders them."""
    return [
        ("You know", meta["you-know"]),
        ("You will", meta["you-will"]),
        ("Time", f"{meta['time']} minutes"),
        ("Needs", NEEDS[meta["needs"]]),
    ]


def contract_block(meta: dict[str, Any]) -> nodes.container:
    """The promises as a definition list, for any Sphinx builder."""
    items = nodes.definition_list()
    for label, content in contract_items(meta):
        texts = content if isinstance(content, list) else [content]
        paragraphs = [nodes.paragraph("", "", *_inline(text)) for text in texts]
        body: list[nodes.Node] = list(paragraphs)
        if isinstance(content, list):
            body = [
                nodes.bullet_list(
                    "", *(nodes.list_item("", paragraph) for paragraph in paragraphs)
                )
            ]
        items += nodes.definition_list_item(
            "",
            nodes.term("", label),
            nodes.definition("", *body),
            classes=[label.lower().replace(" ", "-")],
        )
    return nodes.container("", items, classes=["contract"])


def _inline(text: str) -> list[nodes.Node]:
    """Text with `code` in backticks, which is all the markup a promise needs."""
    parts = re.split(r"`([^`]+)`", text)
    return [
        nodes.literal(text=part) if index % 2 else nodes.Text(part)
        for index, part in enumerate(parts)
        if part
    ]


# Who calls


def _warn(app: Sphinx) -> None:
    """Every broken promise is a warning, whether or not Sphinx would read that page again."""
    log = logging.getLogger(__name__)
    try:
        for finding in check_book(Path(app.srcdir)):
            log.warning(
                "%s",
                finding.message,
                location=f"{finding.path}:{finding.line}",
                type="page_contract",
            )
    except (OSError, ValueError) as error:
        log.warning("%s", error, type="page_contract")


def _show(app: Sphinx, document: nodes.document) -> None:
    if not app.env.docname.startswith("chapters/"):
        return
    page = Page.read(Path(app.env.doc2path(app.env.docname)))
    title = next(iter(document.findall(nodes.title)), None)
    if title is None or list(_check_front_matter(page)):
        return  # already a warning
    title.parent.insert(
        title.parent.index(title) + 1, contract_block(page.front_matter)
    )


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", _warn)
    app.connect("doctree-read", _show)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def main(arguments: list[str]) -> int:
    root = Path.cwd()
    try:
        if arguments:
            sources = _sources(root)
            paths = [path for name in arguments for path in _expand(Path(name))]
            findings = [
                finding
                for path in paths
                for finding in check_page(Page.read(path), root, sources)
            ]
        else:
            findings = check_book(root)
    except (OSError, ValueError) as error:
        print(f"page contract: {error}", file=sys.stderr)
        return 2
    for finding in findings:
        print(finding)
    return 1 if findings else 0


def _expand(path: Path) -> list[Path]:
    return pages_in(path) if path.is_dir() else [path]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
