"""Books to test with: the checkout's own, built, and a tiny one without a fault, to plant defects in."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]

TOC = """\
format: jb-book
root: intro
parts:
  - caption: Start
    chapters:
      - file: chapters/start/batches
"""

INTRO = """\
# A tiny book

Read [the page about batches](chapters/start/batches.md).
"""

SOURCES = """\
@misc{handbook,
  author = {Doe, Jane},
  title = {The {Batch} Handbook},
  year = {2026},
  url = {https://example.org/handbook},
  note = {Checked 2026-11-22}
}
"""

SOURCE_CODE = """\
# region halve
def halve(items):
    middle = len(items) // 2
    return items[:middle], items[middle:]
# endregion halve


def last(items):
    return items[-1]
"""

PICTURE = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 20 10">
  <defs><marker id="tip"><path d="M0 0"/></marker></defs>
  <path d="M1 5h18" stroke="currentColor" marker-end="url(#tip)"/>
</svg>
"""

PAGE = """\
---
jupytext:
  text_representation: {extension: .md, format_name: myst}
kernelspec: {display_name: Python 3, language: python, name: python3}
you-know: A queue worker takes several jobs at once, as `xargs -n` does
you-will:
  - Split a list into batches
  - Say what an uneven last batch breaks
time: 10
needs: offline
---
# Batches

You know `xargs -n`; here it is called batching {footcite:p}`handbook`.

```{note}
A batch may be [short](#break-it-on-purpose).
```

```{picture} arrow.svg
:alt: An arrow from left to right
Items flow *one* way.
```

```{literalinclude} ../../code.py
:language: python
:start-after: "# region halve"
:end-before: "# endregion halve"
```

```{code-cell} ipython3
items = [3, 1, 2]
print("there are", len(items), "items")
```

The share is {math}`p = n / N`. Back to [the front page](../../intro.md).

## Break it on purpose

```{code-cell} ipython3
:tags: [raises-exception]
items[3]
```

## Exercises

```{exercise} Count the batches
:label: count-batches
Write `batches(n, size)`: how many batches `n` items make.
```

```{code-cell} ipython3
:tags: [hide-input]
from pivot.exercise import Exercise
check_batches = Exercise(cases=[((7, 3), 3), ((6, 3), 2)], hint="Round up.")
```

```{code-cell} ipython3
def batches(n, size):
    ...

check_batches(batches)
```

```{solution-start} count-batches
:class: dropdown
```
Adding `size - 1` first makes the division round up.

```{code-cell} ipython3
def batches_solution(n, size):
    return (n + size - 1) // size

check_batches(batches_solution)
```

```{solution-end}
```

```{exercise} The last one
:label: last-one
Write `last_size(n, size)`: how many items the last batch holds.
```

```{code-cell} ipython3
:tags: [hide-input]
check_last = Exercise(cases=[((7, 3), 1), ((6, 3), 3)], hint="A full last batch is no empty one.")
```

```{code-cell} ipython3
def last_size(n, size):
    ...

check_last(last_size)
```

```{solution-start} last-one
:class: dropdown
```
Only the remainder of zero is special.

```{code-cell} ipython3
def last_size_solution(n, size):
    return n % size or size

check_last(last_size_solution)
```

```{solution-end}
```

## What breaks in production

A batch that waits for company waits for ever when nobody comes.

## Where next

Home, to {doc}`/intro`.

```{footbibliography}
```
"""


@dataclass(frozen=True)
class Built:
    html: Path
    exit_code: int
    output: str


@dataclass(frozen=True)
class TinyBook:
    """One page, with the real configuration and extensions, but no torch: it builds in seconds."""

    root: Path

    @property
    def page(self) -> Path:
        return self.root / "chapters" / "start" / "batches.md"

    @property
    def html(self) -> Path:
        return self.root / "_build" / "html"

    def replace(self, old: str, new: str, path: Path | None = None) -> "TinyBook":
        """Plant a defect: the text `old` (which must be there) becomes `new`, once."""
        path = path or self.page
        text = path.read_text(encoding="utf-8")
        assert old in text, f"nothing to replace in {path}: {old}"
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
        return self

    def add_page(self, name: str, old: str, new: str) -> None:
        """Another page, like the first but for one defect; its labels are its own."""
        text = PAGE.replace("count-batches", f"count-{name}").replace(
            "last-one", f"last-{name}"
        )
        assert old in text, f"nothing to replace: {old}"
        self.page.with_name(f"{name}.md").write_text(
            text.replace(old, new, 1), encoding="utf-8"
        )
        with (self.root / "_toc.yml").open("a", encoding="utf-8") as toc:
            toc.write(f"      - file: chapters/start/{name}\n")

    def build(self) -> subprocess.CompletedProcess[str]:
        return build_book(self.root, self.root)

    def run(self, *module: str) -> subprocess.CompletedProcess[str]:
        """`python -m ...` in the book's folder."""
        return subprocess.run(
            [sys.executable, "-m", *module],
            cwd=self.root,
            env=environment(),
            capture_output=True,
            text=True,
        )


def make_tiny_book(root: Path) -> TinyBook:
    book = TinyBook(root)
    book.page.parent.mkdir(parents=True)
    (root / "assets" / "pictures").mkdir(parents=True)
    shutil.copy(ROOT / "_config.yml", root)
    shutil.copytree(ROOT / "assets" / "css", root / "assets" / "css")
    for name in ("logo.svg", "favicon.svg"):
        shutil.copy(ROOT / "assets" / name, root / "assets")
    (root / "assets" / "pictures" / "arrow.svg").write_text(PICTURE, encoding="utf-8")
    (root / "_toc.yml").write_text(TOC, encoding="utf-8")
    (root / "intro.md").write_text(INTRO, encoding="utf-8")
    (root / "references.bib").write_text(SOURCES, encoding="utf-8")
    (root / "code.py").write_text(SOURCE_CODE, encoding="utf-8")
    wide = SOURCE_CODE.replace("    middle", f"    # {'wide ' * 18}\n    middle")
    (root / "wide.py").write_text(wide, encoding="utf-8")
    book.page.write_text(PAGE, encoding="utf-8")
    return book


def build_book(source: Path, output: Path) -> subprocess.CompletedProcess[str]:
    """Build as `make book` does: every warning is an error, and all of them are shown."""
    command = Path(sys.executable).with_name("jupyter-book")
    return subprocess.run(
        [
            command,
            "build",
            "-W",
            "-n",
            "--keep-going",
            "-q",
            source,
            "--path-output",
            output,
        ],
        cwd=source,
        env=environment(),
        capture_output=True,
        text=True,
    )


def environment() -> dict[str, str]:
    """This process's environment, with the project importable from anywhere."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
