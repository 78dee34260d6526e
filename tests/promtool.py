"""Prometheus' own tool, which checks rules and tests them."""

import subprocess
from pathlib import Path


def promtool(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["promtool", *arguments], cwd=folder, capture_output=True, text=True, timeout=60
    )
