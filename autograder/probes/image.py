"""What is in an image, layer by layer, read from the engine's own export: nothing of it is run or unpacked.

A file that a later instruction deletes is still in the layer below, so every layer is read.
"""

import hashlib
import re
import subprocess
import tarfile
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import IO, cast

from autograder.engine import Engine, Image
from autograder.errors import InfrastructureError, LearnerError

ENTRIES = 200_000  # files in all layers together
READ = 8 << 20  # bytes searched of each file
CHUNK = 1 << 20

SECRET_FILES = re.compile(
    r"(?:^|/)(?:\.env(?:\.(?!example$|sample$|template$)[^/]*)?|id_(?:rsa|dsa|ecdsa|ed25519)|\.netrc|\.pypirc"
    r"|\.git-credentials|\.aws/credentials|\.docker/config\.json|\.kube/config|\.git/config)$"
)
SECRET_NAMES = re.compile(r"(?i)secret|token|passw|api_?key|credential|private_?key")
# What to look for, and the words it always contains: looking for those alone is a hundred times as fast.
SECRET_TEXTS = {
    "a private key": (
        [b"PRIVATE KEY-----"],
        re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\r?\n[A-Za-z0-9+/=]{16}"),
    ),
    "an AWS access key": (
        [b"AKIA", b"ASIA"],
        re.compile(rb"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b(?<!EXAMPLE)"),
    ),
    "a GitHub token": (
        [b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_"],
        re.compile(rb"\bgh[pousr]_[A-Za-z0-9]{36}\b"),
    ),
    "a Hugging Face token": ([b"hf_"], re.compile(rb"\bhf_[A-Za-z0-9]{34}\b")),
}
# ARG values stand at the head of a RUN in the history: |1 TOKEN=value /bin/sh -c …
ASSIGNMENT = re.compile(r"\b([A-Za-z_]\w*)=(\"[^\"]+\"|'[^']+'|[^\s\"']+)")


@dataclass(frozen=True)
class Secret:
    """`where`: a file in a layer, or the variable or step it is in; `what` kind of secret it is."""

    where: str
    what: str


def size_over_base(engine: Engine, image: Image) -> int:
    """Bytes the image adds to the judge's base."""
    return image.size - engine.image(engine.base).size


def shared_layers(first: Image, second: Image) -> int:
    """How many layers from the base up two images have in common."""
    pairs = zip(first.digests, second.digests, strict=False)
    return next(
        (number for number, (one, other) in enumerate(pairs) if one != other),
        min(len(first.digests), len(second.digests)),
    )


def changed_bytes(engine: Engine, before: Image, after: Image) -> int:
    """Bytes of the layers of `after` that `before` does not have: what a push after a change uploads."""
    sizes: dict[str, int] = {}

    def note(layer: "_Layer") -> None:
        digest = layer.finish()
        sizes[digest] = layer.size

    _each_layer(engine, after, note)
    return sum(sizes[digest] for digest in set(after.digests) - set(before.digests))


def secrets(
    engine: Engine, image: Image, planted: Collection[str] = ()
) -> list[Secret]:
    """Every secret in the layers above the base, in the variables and in the history of an image.

    `planted` are exact values to look for besides. Raises LearnerError if there are too many files.
    """
    base = set(engine.image(engine.base).digests)
    found = _in_config(image, planted)
    entries = 0

    def look(layer: "_Layer") -> None:
        nonlocal entries
        inside: list[Secret] = []
        with closing(tarfile.open(fileobj=cast(IO[bytes], layer), mode="r|")) as files:
            for entry in files:
                entries += 1
                if entries > ENTRIES:
                    raise LearnerError(
                        f"The image holds more than {ENTRIES} files.",
                        "Install only what the service needs.",
                    )
                inside += _in_file(files, entry, planted)
        if layer.finish() not in base:
            found.extend(inside)

    _each_layer(engine, image, look)
    return list(dict.fromkeys(found))


def _in_file(
    files: tarfile.TarFile, entry: tarfile.TarInfo, planted: Collection[str]
) -> Iterator[Secret]:
    if not entry.isfile():
        return
    where = "/" + entry.name.removeprefix("./").lstrip("/")
    if SECRET_FILES.search(where):
        yield Secret(where, "a file that holds secrets")
    file = files.extractfile(entry)
    for kind in _in_text(file.read(READ) if file else b"", planted):
        yield Secret(where, kind)


def _in_config(image: Image, planted: Collection[str]) -> list[Secret]:
    """Secrets in ENV, in labels and in the steps of the build, with the values their ARGs had."""
    labels = image.config.get("Labels", {})
    texts = {f"LABEL {key}": value for key, value in labels.items()}
    found = []
    for variable in image.config.get("Env", []):
        name, _, value = variable.partition("=")
        texts[f"ENV {name}"] = value
        if value and SECRET_NAMES.search(name):
            found.append(Secret(f"ENV {name}", "a variable with a secret's name"))
    for step in image.steps:
        where = f"the step {step[:60]}"
        texts[where] = step
        for name, value in ASSIGNMENT.findall(step):
            if SECRET_NAMES.search(name) and not value.startswith("$"):
                found.append(Secret(where, f"a value for {name}"))
    for where, text in texts.items():
        found += [Secret(where, kind) for kind in _in_text(text.encode(), planted)]
    return found


def _in_text(text: bytes, planted: Collection[str]) -> Iterator[str]:
    """The kinds of secrets in a text."""
    for kind, (words, pattern) in SECRET_TEXTS.items():
        if any(word in text for word in words) and pattern.search(text):
            yield kind
    for value in planted:
        if value.encode() in text:
            yield f"the value {value!r}"


class _Layer:
    """One layer's archive while it is read, with the digest of what was read so far."""

    def __init__(self, file: IO[bytes]):
        self.size = 0
        self._start = file.read(512)
        self._file = file
        self._hash = hashlib.sha256()

    @property
    def is_layer(self) -> bool:
        """Whether it is an archive, perhaps an empty one, and none of the export's own files."""
        return self._start[257:262] == b"ustar" or self._start == bytes(512)

    def read(self, size: int) -> bytes:
        data, self._start = self._start or self._file.read(size), b""
        self.size += len(data)
        self._hash.update(data)
        return data

    def finish(self) -> str:
        """Read the rest. Returns the digest, as in Image.digests."""
        while self.read(CHUNK):
            pass
        return f"sha256:{self._hash.hexdigest()}"


def _each_layer(engine: Engine, image: Image, look: Callable[[_Layer], None]) -> None:
    """Call `look` with every layer of an image, in no particular order.

    Raises InfrastructureError unless exactly the image's layers were seen.
    """
    seen = set()
    with _exported(engine, image) as archive:
        for entry in archive:
            file = archive.extractfile(entry) if entry.isfile() else None
            if file and (layer := _Layer(file)).is_layer:
                look(layer)
                seen.add(layer.finish())
    if missing := set(image.digests) - seen:
        raise InfrastructureError(
            f"{engine.program} exported an image without {len(missing)} of its layers."
        )


@contextmanager
def _exported(engine: Engine, image: Image) -> Iterator[tarfile.TarFile]:
    process = engine.cli.start(
        *("save", image.id),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout
    try:
        with (
            process.stdout,
            closing(tarfile.open(fileobj=process.stdout, mode="r|")) as tar,
        ):
            yield tar
    except tarfile.TarError as error:
        raise InfrastructureError(
            f"What {engine.program} exported cannot be read: {error}."
        ) from None
    finally:
        process.kill()
        process.wait()
