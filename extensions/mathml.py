"""Formulas as MathML, which browsers draw themselves: no script, no font, no request to a CDN."""

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

log = logging.getLogger(__name__)


def _visit(self: HTML5Translator, node: nodes.math | nodes.math_block) -> None:
    block = isinstance(node, nodes.math_block)
    try:
        formula = tex2mathml(node.astext(), as_block=block)
    except MathError as error:
        log.warning(
            "the formula cannot be drawn: %s", error, location=node, type="mathml"
        )
        formula = f"<code>{self.encode(node.astext())}</code>"
    self.body.append(f'<div class="math">{formula}</div>\n' if block else formula)
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_html_math_renderer(
        "mathml", inline_renderers=(_visit, None), block_renderers=(_visit, None)
    )
    return {"parallel_read_safe": True, "parallel_write_safe": True}
