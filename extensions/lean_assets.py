"""Pages load what they use.

A stock page loads 1.5 MB of FontAwesome script to draw a dozen icons that a stylesheet draws as well, and
every extension's stylesheet and script whether or not they have anything to do there.
"""

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

TEMPLATES = (
    Path(__file__).parent / "templates"
)  # the theme's own head, without the FontAwesome script

# What a page must contain for the file to be of use to it.
USED_FOR = {
    "clipboard": r'class="[^"]*\bhighlight\b',
    "copybutton": r'class="[^"]*\bhighlight\b',
    "design-tabs": r'class="[^"]*\bsd-tab',
    "exercise": r'class="[^"]*\b(exercise|solution)\b',
    "mystnb": r'class="[^"]*\bcell\b',
    "sphinx-design": r'class="[^"]*\bsd-',
    "togglebutton": r'class="[^"]*\b(toggle|dropdown|tag_hide)',
}
NEVER_SERVED = [
    "**/*.map",
    "vendor/fontawesome/*/js",
    "images/logo_*",
    "*.html",
    "plus.png",
    "minus.png",
    "file.png",
]


def _is_used(asset: Any, body: str) -> bool:
    filename = str(getattr(asset, "filename", asset) or "")
    name = re.split(r"[.?]", filename.rsplit("/", 1)[-1])[0]
    return name not in USED_FOR or re.search(USED_FOR[name], body) is not None


def _drop_unused(
    app: Sphinx,
    page: str,
    template: str,
    context: dict[str, Any],
    document: nodes.document | None,
) -> None:
    body = context.get("body", "")
    for kind in ("css_files", "script_files"):
        context[kind] = [
            asset for asset in context.get(kind, []) if _is_used(asset, body)
        ]


def _remove_unserved(app: Sphinx, error: Exception | None) -> None:
    static = Path(app.outdir) / "_static"
    for pattern in NEVER_SERVED:
        for path in sorted(static.glob(pattern), reverse=True):
            if path.is_dir():
                for inner in path.iterdir():
                    inner.unlink()
                path.rmdir()
            else:
                path.unlink()


def _use_templates(app: Sphinx, config: Any) -> None:
    config.templates_path = [str(TEMPLATES), *config.templates_path]


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("config-inited", _use_templates)
    app.connect("html-page-context", _drop_unused, priority=900)
    app.connect("build-finished", _remove_unserved, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
