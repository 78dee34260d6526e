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


def cache_folder(root: Path, output: Path) -> Path:
    """Where pages executed with the code as it is now are kept; `output` is the folder of the built site."""
    return output.parent / ".jupyter_cache" / code_digest(root)


def settle_environment() -> None:
    """The book shows the embedded data and the default settings, whatever this shell is set to."""
    for name in [n for n in os.environ if n.startswith(("TRIAGE_", "MLFLOW_"))]:
        del os.environ[name]
    # A page may import torch before triage, which sets this (see triage/__init__.py).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _configure(app: Sphinx, config: Config) -> None:
    settle_environment()
    # A kernel on plain TCP can be overheard on a shared machine, and says so once per page.
    KernelManager.transport_encryption.default_value = "auto"
    cache = cache_folder(Path(app.srcdir), Path(app.outdir))
    config.nb_execution_cache_path = str(cache)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("config-inited", _configure)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
