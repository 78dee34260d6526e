"""Who made a container or an image, and whether that process is still alive.

Everything the judge makes carries two labels. A judge that was killed leaves things behind; whoever comes
next can tell from the labels that nobody needs them any more, without a lock or a list to keep.
"""

import os
import platform
import subprocess
from functools import cache
from pathlib import Path

JOB, OWNER = "the-pivot.job", "the-pivot.owner"


def this_process() -> str:
    """`<pid>:<start time>:<boot id>:<host name>`, the value of the owner label."""
    pid = os.getpid()
    return f"{pid}:{_started(pid)}:{_boot()}:{platform.node()}"


def alive(owner: str) -> bool:
    """Whether that process may still be running. One on another host is left alone, as are foreign labels."""
    fields = owner.split(":")
    if len(fields) != 4 or not fields[0].isdecimal() or fields[3] != platform.node():
        return True
    pid, started, boot, _ = fields
    return boot == _boot() and started == _started(int(pid))


def _started(pid: int) -> str:
    """When a process started, in the machine's own words; empty if there is none."""
    try:
        # Ticks since boot: unlike the time of day, nobody can set them.
        text = Path(f"/proc/{pid}/stat").read_text()
        fields = text.rpartition(")")[2].split()
        return "" if fields[0] in "ZX" else fields[19]  # dead, only not yet reaped
    except OSError:
        if Path("/proc/self").exists():
            return ""
    asked = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True
    )
    return "-".join(asked.stdout.replace(":", ".").split())


@cache
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:  # macOS
        asked = subprocess.run(
            ["sysctl", "-n", "kern.bootsessionuuid"], capture_output=True, text=True
        )
        return asked.stdout.strip()
