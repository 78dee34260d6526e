"""Pages run against the code as it is now, whatever this shell is set to.

Jupyter Book's cache knows a page's cells but not the code they call, so an edit under triage/ would leave
last week's output beside this week's quotation. Here the cache belongs to one state of that code; another
state has another folder, and Sphinx reads every page again because the setting has changed.
"""

import hashlib
import os
from pathlib import Path

from jupyter_client.manager import KernelManager
from sphinx.application import Sphinx
from sphinx.config import Config

BEHIND_THE_PAGES = ["autograder", "pivot", "triage", "requirements.lock"]


def code_digest(root: Path) -> str:
    """A fingerprint of every file the pages' cells depend on."""
    digest = hashlib.sha256()
    for name in BEHIND_THE_PAGES:
        top = root / name
        for path in [top] if top.is_file() else sorted(top.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(
                    f"{path.relative_to(root)}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode()
                )
    return digest.hexdigest()[:12]


def _configure(app: Sphinx, config: Config) -> None:
    for name in [
        name for name in os.environ if name.startswith(("TRIAGE_", "MLFLOW_"))
    ]:
        del os.environ[name]  # the book shows the embedded data, the default settings
    # A page may import torch before triage, which sets this (see triage/__init__.py).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # A kernel on plain TCP can be overheard on a shared machine, and says so once per page.
    KernelManager.transport_encryption.default_value = "auto"
    caches = Path(app.outdir).parent / ".jupyter_cache"
    config.nb_execution_cache_path = str(caches / code_digest(Path(app.srcdir)))


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("config-inited", _configure)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
