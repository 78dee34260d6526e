"""What is in an image, layer by layer, read from the engine's own export: nothing of it is run or unpacked.

A file that a later instruction deletes is still in the layer below, so every layer is read.
"""

import hashlib
import re
import subprocess
import tarfile
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import IO

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
    return image.size - engine.base_image.size


@dataclass(frozen=True)
class Layer:
    """`size`: bytes of its archive; `names`: of its files and folders.

    `found`: the texts that stand in it, each with the first file where it does.
    """

    size: int
    names: list[str]
    secrets: list[Secret]
    found: dict[str, str]


def read(
    engine: Engine, *images: Image, texts: Collection[str] = ()
) -> dict[str, Layer]:
    """The layers above the base of one or several images, by digest: one export, which takes seconds.

    `texts` are exact values to look for. Raises LearnerError if there are too many files.
    """
    base = engine.base_image.digests
    layers, entries = {}, 0
    for digest, size, file in _layers(engine, images, without=base):
        layers[digest] = layer = Layer(size, [], [], {})
        with tarfile.open(fileobj=file, mode="r:") as files:
            for entry in files:
                entries += 1
                if entries > ENTRIES:
                    raise LearnerError(
                        f"The image holds more than {ENTRIES} files.",
                        "Install only what the service needs.",
                    )
                _read_entry(files, entry, texts, layer)
    return layers


def _read_entry(
    files: tarfile.TarFile, entry: tarfile.TarInfo, texts: Collection[str], layer: Layer
) -> None:
    layer.names.append(entry.name)
    if not entry.isfile():
        return
    where = "/" + entry.name.removeprefix("./").lstrip("/")
    if SECRET_FILES.search(where):
        layer.secrets.append(Secret(where, "a file that holds secrets"))
    file = files.extractfile(entry)
    data = file.read(READ) if file else b""
    layer.secrets.extend(Secret(where, kind) for kind in _in_text(data))
    for text in texts:
        if text not in layer.found and text.encode() in data:
            layer.found[text] = where


@dataclass(frozen=True)
class Change:
    """Layers that another image does not have. `size`: their bytes; `found`: whether the mark is in one."""

    size: int
    found: bool


def change(
    before: Image, after: Image, layers: Mapping[str, Layer], mark: str
) -> Change:
    """What a push of `after` uploads where `before` is already, and whether `mark`, a text, is part of it."""
    new = [layers[name] for name in after.digests if name not in before.digests]
    return Change(
        sum(layer.size for layer in new), any(mark in layer.found for layer in new)
    )


@dataclass(frozen=True)
class Contents:
    """What stands above the base. `names`: of all files and folders; one deleted has `.wh.` before it."""

    secrets: list[Secret]
    names: list[str]


def contents(
    image: Image, layers: Mapping[str, Layer], planted: Collection[str] = ()
) -> Contents:
    """The files above the base, and every secret in them, the variables and the history.

    `planted`: exact values that are secrets besides, among the texts that `layers` were read with.
    """
    own = [layers[name] for name in image.digests if name in layers]
    found = _in_config(image, planted)
    for layer in own:
        found += layer.secrets
        found += [
            Secret(layer.found[value], f"the value {value!r}")
            for value in planted
            if value in layer.found
        ]
    names = [name for layer in own for name in layer.names]
    return Contents(list(dict.fromkeys(found)), names)


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
        found += [Secret(where, kind) for kind in _in_text(text.encode())]
        found += [
            Secret(where, f"the value {value!r}") for value in planted if value in text
        ]
    return found


def _in_text(text: bytes) -> Iterator[str]:
    """The kinds of secrets in a text."""
    for kind, (words, pattern) in SECRET_TEXTS.items():
        if any(word in text for word in words) and pattern.search(text):
            yield kind


def _layers(
    engine: Engine, images: Collection[Image], *, without: Collection[str]
) -> Iterator[tuple[str, int, IO[bytes]]]:
    """Digest, bytes and file of the layers that are not in `without`, each until the next is asked for.

    An export names its layers only when all are read, so each is kept in a file until its digest is known.
    Raises InfrastructureError unless exactly the images' layers were seen.
    """
    seen = set()
    with _exported(engine, images) as archive:
        for entry in archive:
            file = archive.extractfile(entry) if entry.isfile() else None
            if file is None or not _is_layer(start := file.read(512)):
                continue
            with tempfile.TemporaryFile() as copy:
                digest = hashlib.sha256(start)
                copy.write(start)
                while data := file.read(CHUNK):
                    digest.update(data)
                    copy.write(data)
                name = f"sha256:{digest.hexdigest()}"
                if name not in seen and name not in without:
                    copy.seek(0)
                    yield name, entry.size, copy
                seen.add(name)
    if missing := {name for image in images for name in image.digests} - seen:
        raise InfrastructureError(
            f"{engine.program} exported an image without {len(missing)} of its layers."
        )


def _is_layer(start: bytes) -> bool:
    """Whether this begins an archive, perhaps an empty one, and none of the export's own files."""
    return start[257:262] == b"ustar" or start == bytes(512)


@contextmanager
def _exported(engine: Engine, images: Collection[Image]) -> Iterator[tarfile.TarFile]:
    several = ["--multi-image-archive"] if engine.program == "podman" else []
    process = engine.cli.start(
        *("save", *several, *dict.fromkeys(image.id for image in images)),
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
