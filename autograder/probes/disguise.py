"""Requests as ordinary clients write them, so that a service cannot behave for the judge alone.

None of them asks for compression: what is not asked for need not be unpacked.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass

BODY = ("Content-Length", "Transfer-Encoding", "Content-Type")


@dataclass(frozen=True)
class _Kind:
    """A client: the headers in the order it writes them; those without a value are filled in.

    `agents` are its User-Agents.
    """

    agents: tuple[str, ...]
    headers: tuple[tuple[str, str], ...]
    sends_bodies: bool = True


_KINDS = (
    _Kind(
        tuple(f"curl/{n}" for n in ("7.81.0", "7.88.1", "8.5.0", "8.14.1")),
        (
            ("Host", ""),
            ("User-Agent", ""),
            ("Accept", "*/*"),
            ("Transfer-Encoding", ""),
            ("Content-Type", ""),
            ("Content-Length", ""),
        ),
    ),
    _Kind(
        tuple(f"kube-probe/1.{n}" for n in range(28, 36)),
        (
            ("Host", ""),
            ("User-Agent", ""),
            ("Accept", "*/*"),
            ("Connection", "close"),
        ),
        sends_bodies=False,
    ),
    _Kind(
        ("Go-http-client/1.1",),
        (
            ("Host", ""),
            ("User-Agent", ""),
            ("Content-Length", ""),
            ("Transfer-Encoding", ""),
            ("Content-Type", ""),
        ),
    ),
    _Kind(
        tuple(f"python-requests/{n}" for n in ("2.31.0", "2.32.3", "2.32.5")),
        (
            ("Host", ""),
            ("User-Agent", ""),
            ("Accept-Encoding", "identity"),
            ("Accept", "*/*"),
            ("Connection", "keep-alive"),
            ("Content-Length", ""),
            ("Transfer-Encoding", ""),
            ("Content-Type", ""),
        ),
    ),
    _Kind(
        tuple(
            f"Mozilla/5.0 ({system}; rv:{n}.0) Gecko/20100101 Firefox/{n}.0"
            for system in ("X11; Linux x86_64", "Windows NT 10.0; Win64; x64")
            for n in (128, 140, 144, 145)
        ),
        (
            ("Host", ""),
            ("User-Agent", ""),
            ("Accept", "*/*"),
            ("Accept-Language", "en-US,en;q=0.5"),
            ("Accept-Encoding", "identity"),
            ("Content-Type", ""),
            ("Content-Length", ""),
            ("Transfer-Encoding", ""),
            ("Connection", "keep-alive"),
        ),
    ),
)


def head(
    chance: random.Random,
    method: str,
    path: str,
    host: str,
    headers: Mapping[str, str],
) -> bytes:
    """Request line and headers, up to and with the empty line.

    `headers` go where the client that was drawn writes them, or after its own.
    """
    given = {name.lower(): value for name, value in headers.items()}
    with_body = any(name.lower() in given for name in BODY)
    kind = chance.choice([k for k in _KINDS if k.sends_bodies or not with_body])
    agent = chance.choice(kind.agents)
    given = {"host": host, "user-agent": agent} | given
    lines = [f"{method} {path} HTTP/1.1"]
    for name, usual in kind.headers:
        value = given.pop(name.lower(), usual)
        if value:
            lines.append(f"{name}: {value}")
    lines += [
        f"{name}: {value}" for name, value in headers.items() if name.lower() in given
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
