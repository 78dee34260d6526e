"""The `{picture}` directive: an SVG from assets/pictures/ drawn into the page.

    ```{picture} pipeline.svg
    :alt: A message passes through the encoder and the head
    An optional caption.
    ```

Inline, the drawing follows the reader's theme through `currentColor` and CSS variables, and costs no request.
Builders other than HTML get an ordinary image.
"""

import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

SVG = "http://www.w3.org/2000/svg"
ET.register_namespace("", SVG)
ET.register_namespace("xlink", "http://www.w3.org/1999/xlink")

log = logging.getLogger(__name__)


def picture_path(root: Path, name: str) -> Path:
    return root / "assets" / "pictures" / name


def inline_svg(path: Path, alt: str) -> str:
    """The drawing as an `<svg>` element that screen readers announce as `alt`.

    Its ids get the file's name as a prefix, so two pictures on one page cannot point at each other's parts.
    Raises OSError if it cannot be read, ValueError if it is not an SVG or would load or run something.
    """
    try:
        svg = ET.fromstring(path.read_bytes())
    except ET.ParseError as error:
        raise ValueError(f"not well-formed: {error}") from error
    if svg.tag != f"{{{SVG}}}svg":
        raise ValueError("its root is not <svg xmlns='http://www.w3.org/2000/svg'>")
    prefix = path.stem + "-"
    ids = {element.attrib["id"] for element in svg.iter() if "id" in element.attrib}
    for element in svg.iter():
        if element.tag == f"{{{SVG}}}script":
            raise ValueError("it contains a script")
        for name, value in element.attrib.items():
            if name.endswith("href") and not value.startswith("#"):
                raise ValueError(
                    f"it refers to {value}; a picture brings everything it shows"
                )
            if name == "id":
                element.set(name, prefix + value)
            elif name.endswith("href") and value[1:] in ids:
                element.set(name, f"#{prefix}{value[1:]}")
            else:
                element.set(
                    name, re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}\1)", value)
                )
    svg.set("role", "img")
    svg.set("aria-label", alt)
    return ET.tostring(svg, encoding="unicode")


class Picture(SphinxDirective):
    required_arguments = 1
    has_content = True
    option_spec: ClassVar = {"alt": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        name, alt = self.arguments[0], self.options.get("alt", "")
        path = picture_path(Path(self.env.srcdir), name)
        problem = ""
        if not alt:
            problem = "has no :alt:; say in one sentence what it shows"
        else:
            try:
                inline_svg(path, alt)
            except FileNotFoundError:
                problem = (
                    "does not exist in assets/pictures/; draw it or correct the name"
                )
            except (OSError, ValueError) as error:
                problem = f"cannot be drawn: {error}"
        if problem:
            return [
                self.state.document.reporter.warning(
                    f"picture {name} {problem}", line=self.lineno
                )
            ]
        self.env.note_dependency(str(path))
        figure = nodes.figure(
            "",
            nodes.image(uri=f"/assets/pictures/{name}", alt=alt, classes=["picture"]),
        )
        if self.content:
            caption = nodes.caption()
            text, messages = self.parse_inline(
                " ".join(self.content), lineno=self.content_offset + 1
            )
            caption += text
            figure += [caption, *messages]
        self.set_source_info(figure)
        return [figure]


class InlinePictures(SphinxPostTransform):
    """In HTML the drawing itself stands in place of the image."""

    default_priority = 400
    formats = ("html",)

    def run(self, **kwargs: object) -> None:
        for image in list(self.document.findall(nodes.image)):
            if "picture" in image["classes"]:
                path = Path(self.env.srcdir) / image["uri"].lstrip("/")
                image.replace_self(
                    nodes.raw("", inline_svg(path, image["alt"]), format="html")
                )


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("picture", Picture)
    app.add_post_transform(InlinePictures)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
