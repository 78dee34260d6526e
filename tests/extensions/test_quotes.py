"""A quoted region ends with its code, whatever blank lines stand before the end marker."""

from docutils import nodes
from docutils.frontend import get_default_settings
from docutils.utils import new_document

from extensions.quotes import TrimQuotes


def test_only_quotes_are_trimmed() -> None:
    document = new_document("page", get_default_settings())
    quoted = nodes.literal_block("a = 1\n\n\n", "a = 1\n\n\n", source="code.py")
    written = nodes.literal_block("b = 2\n\n", "b = 2\n\n")
    document += [quoted, written]
    TrimQuotes(document).apply()
    assert quoted.astext() == quoted.rawsource == "a = 1"
    assert written.astext() == "b = 2\n\n"
