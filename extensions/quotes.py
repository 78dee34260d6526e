"""Quoted code without the blank lines that the formatter puts before a region's end marker."""

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform


class TrimQuotes(SphinxTransform):
    default_priority = 500

    def apply(self, **kwargs: object) -> None:
        for block in self.document.findall(nodes.literal_block):
            if "source" not in block:  # only literalinclude names a file
                continue
            code = block.astext().rstrip("\n")
            block.rawsource = code  # Sphinx highlights a block whose text is its source
            block.children = [nodes.Text(code)]


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_transform(TrimQuotes)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
