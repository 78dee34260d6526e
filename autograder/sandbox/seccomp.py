"""System calls that a learner's program is refused, as a filter the kernel runs.

Each of them either escapes a limit (memory that belongs to no process, namespaces with file systems of
one's own, sockets that no network namespace holds) or reaches deep into the kernel, and ordinary
programs do without. A refused call fails with an error code; the program goes on.
"""

import errno
import platform
import socket
import struct

from autograder.errors import InfrastructureError

# Number of the call on x86_64 and on arm64.
REFUSED = {
    "add_key": (248, 217),
    "bpf": (321, 280),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "io_uring_setup": (425, 425),
    "keyctl": (250, 219),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "msgget": (68, 186),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "pivot_root": (155, 41),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "request_key": (249, 218),
    "semget": (64, 190),
    "setns": (308, 268),
    "shmget": (29, 194),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
}
CLONE = (56, 220)
CLONE3 = (435, 435)  # its flags are out of a filter's sight; libc falls back to clone
SOCKET = (41, 198)
SOCKETS = (1, 2, 10, 16)  # Unix, IPv4, IPv6, netlink
SETSOCKOPT = (54, 208)
BUFFERS = (
    7,
    8,
)  # SO_SNDBUF and SO_RCVBUF: hints, which are not taken: buffers belong to no process
NAMESPACES = 0x7E020000  # the CLONE_NEW* flags

ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
X32 = 0x40000000  # x86_64's second table of calls begins here

LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
NUMBER, ARCHITECTURE, FIRST, SECOND, THIRD = (
    0,
    4,
    16,
    24,
    32,
)  # where the kernel puts what is looked at
ALLOW, KILL, ERROR = 0x7FFF0000, 0x80000000, 0x00050000


def program() -> bytes:
    """The filter for this machine's processor, in the kernel's format. Raises InfrastructureError."""
    machine = platform.machine()
    if machine not in ARCHITECTURES:
        raise InfrastructureError(
            f"The bubblewrap sandbox does not know the processor {machine}. "
            "Use the container sandbox: `--sandbox container`."
        )
    column, architecture = ARCHITECTURES[machine]
    refuse = _step(RETURN, ERROR | errno.EPERM)
    steps = [
        _step(LOAD, ARCHITECTURE),
        _step(EQUAL, architecture, 1, 0),
        _step(RETURN, KILL),
        _step(LOAD, NUMBER),
        _step(AT_LEAST, X32, 0, 1),
        refuse,
        _step(EQUAL, CLONE3[column], 0, 1),
        _step(RETURN, ERROR | errno.ENOSYS),
    ]
    for numbers in REFUSED.values():
        steps += [_step(EQUAL, numbers[column], 0, 1), refuse]
    steps += [
        _step(EQUAL, CLONE[column], 0, 4),
        _step(LOAD, FIRST),
        _step(ANY_BIT, NAMESPACES, 0, 1),
        refuse,
        _step(RETURN, ALLOW),
        _step(EQUAL, SOCKET[column], 0, len(SOCKETS) + 3),
        _step(LOAD, FIRST),
    ]
    for place, family in enumerate(SOCKETS):
        steps.append(_step(EQUAL, family, len(SOCKETS) - place, 0))
    steps += [
        _step(RETURN, ERROR | errno.EAFNOSUPPORT),
        _step(RETURN, ALLOW),
        _step(EQUAL, SETSOCKOPT[column], 0, 6),
        _step(LOAD, SECOND),
        _step(EQUAL, socket.SOL_SOCKET, 0, 4),
        _step(LOAD, THIRD),
        _step(EQUAL, BUFFERS[0], 1, 0),
        _step(EQUAL, BUFFERS[1], 0, 1),
        _step(RETURN, ERROR),  # with no error: as if it were done
        _step(RETURN, ALLOW),
    ]
    return b"".join(steps)


def _step(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    """One instruction; `yes` and `no` say how many of the next ones to leave out."""
    return struct.pack("=HBBI", code, yes, no, value)
