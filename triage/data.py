"""Labelled messages: the embedded tickets, BANKING77, a snapshot, or any folder with the same two files.

A data set is a folder with `train.csv` and `test.csv`, UTF-8, with the columns `text` and `category`.
What else is in the files is kept (the tickets also carry `style`). Nothing enters training before it has
passed `check_split`.
"""

import csv
import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import httpx
import pandas as pd
import platformdirs

from triage.errors import TriageError
from triage.files import write_atomically
from triage.settings import Settings

TICKETS = Path(__file__).parent / "tickets"
SPLITS = ("train", "test")
SNAPSHOT = "sha256:"
"""What a source begins with if it names its content (see `triage.snapshots`)."""
FOLDS = 5
"""Each intent needs this many training messages, because calibration cuts them into as many folds."""

# Casanueva et al. 2020, "Efficient Intent Detection with Dual Sentence Encoders",
# arXiv:2003.04807, CC BY 4.0.
BANKING77_URL = (
    "https://raw.githubusercontent.com/PolyAI-LDN/task-specific-datasets/"
    "57ec275d8078af65b7731c2a98be812d844a6d6b/banking_data"
)
BANKING77_SHA256 = {
    "train": "b06e26ac675513959a63135f11b94ea7786ed02da65db93a5650d8838cbc664b",
    "test": "d12d6e3bc4c3103966ae786dc435913c0c563dfa328f5a3646d0e62cfeeb474d",
}


@dataclass(frozen=True)
class Dataset:
    """Two splits that never mix."""

    name: str
    train: pd.DataFrame
    test: pd.DataFrame
    digest: str
    """SHA-256 over both files: the same digest means the same data, whatever the folder is called."""
    folder: Path | None = None
    """Where the files are; None for what was never read from files."""

    @property
    def intents(self) -> list[str]:
        """Every intent, sorted; a model's output k stands for the k-th of them."""
        return sorted(self.train["category"].unique())


def load(source: str | Path | None = None) -> Dataset:
    """Load a data set: a folder, `banking77`, a snapshot `sha256:DIGEST`, or the embedded tickets.

    The tickets are what None means where there is no `TRIAGE_DATA`. Raises TriageError, naming file and
    row, for anything that is missing or malformed.
    """
    return check(parse(source))


def parse(source: str | Path | None = None) -> Dataset:
    """The two tables as they are: what `load` would refuse for its content is read, and can be reported."""
    source = source or Settings().data
    if source is None:
        return parse_folder(TICKETS, name="tickets")
    if str(source).startswith(SNAPSHOT):
        from triage import snapshots  # which reads data with this module

        return snapshots.read(str(source))
    if str(source) == "banking77" and not Path(source).is_dir():
        return parse_folder(banking77_folder(), name="banking77")
    return parse_folder(Path(source), name=Path(source).resolve().name)


def read_folder(folder: Path, name: str) -> Dataset:
    """Read and check both splits of a folder."""
    return check(parse_folder(folder, name))


def check(dataset: Dataset) -> Dataset:
    """The same data set, or TriageError if a classifier could not be trained and judged on it."""
    for split in SPLITS:
        check_split(getattr(dataset, split), f"{dataset.folder}/{split}.csv")
    check_intents(dataset)
    return dataset


def parse_folder(folder: Path, name: str) -> Dataset:
    """Both splits of a folder, as tables of which nothing is known yet."""
    if not folder.is_dir():
        raise TriageError(
            f"No data folder at {folder}. Set TRIAGE_DATA to a folder with train.csv and test.csv."
        )
    contents = {split: read_bytes(folder / f"{split}.csv") for split in SPLITS}
    train, test = (
        parse_split(contents[split], folder / f"{split}.csv") for split in SPLITS
    )
    digest = digest_of(hashlib.sha256(contents[split]).hexdigest() for split in SPLITS)
    return Dataset(name, train, test, digest, folder)


def digest_of(split_digests: Iterable[str]) -> str:
    """One SHA-256 for a data set, from those of its files."""
    return hashlib.sha256(b"".join(map(bytes.fromhex, split_digests))).hexdigest()


def read_bytes(path: Path) -> bytes:
    if path.exists() and not path.is_file():
        raise TriageError(
            f"{path} is not a file. A data folder holds train.csv and test.csv."
        )
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise TriageError(
            f"{path} is missing. A data folder holds train.csv and test.csv."
        ) from error
    except OSError as error:
        raise TriageError(f"Cannot read {path}: {error.strerror}.") from error


def parse_split(content: bytes, path: Path) -> pd.DataFrame:
    """One CSV file as a table of strings; refuse what is no table, or one without rows."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TriageError(
            f"{path} is not UTF-8 (byte {error.start}). Save it as UTF-8 and try again."
        ) from error
    try:
        # Strings as they are: a customer who writes "null" or "NA" has sent a message, not a missing value.
        frame = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
        header = next(filter(None, csv.reader(io.StringIO(text))))
    except (csv.Error, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise TriageError(
            f"{path} is not a CSV table: {str(error).strip()}."
        ) from error
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:  # pandas would rename the second one and say nothing
        raise TriageError(
            f"{path} has the column {twice!r} more than once. Keep one of them."
        )
    if not isinstance(frame.index, pd.RangeIndex):  # pandas took a column for row names
        raise TriageError(
            f"{path} has more fields in its rows than names in its header. Name each column."
        )
    if frame.empty:
        raise TriageError(f"{path} has a header and no messages.")
    if "category" in frame:
        frame["category"] = frame["category"].str.strip()
    return frame


def check_split(frame: pd.DataFrame, path: str) -> None:
    """Refuse a table unless every row has a text and a category."""
    missing = {"text", "category"} - set(frame.columns)
    if missing:
        raise TriageError(
            f"{path} lacks the column{'s' * (len(missing) > 1)} {', '.join(sorted(missing))}; "
            f"it has {', '.join(map(str, frame.columns))}. The header must name text and category."
        )
    for column in ("text", "category"):
        blank = frame.index[frame[column].str.strip() == ""]
        if len(blank):
            raise TriageError(
                f"{path}, record {blank[0] + 1}: {column} is empty. Fill it or remove the record."
            )


def check_intents(dataset: Dataset) -> None:
    """Refuse data that no classifier could be trained or judged on."""
    counts = dataset.train["category"].value_counts()
    if len(counts) < 2:
        raise TriageError(
            f"{dataset.folder}/train.csv has one category. Triage needs at least two to choose from."
        )
    if counts.min() < FOLDS:
        raise TriageError(
            f"{dataset.folder}/train.csv has {counts.min()} messages for {counts.idxmin()!r}. "
            f"Calibration needs at least {FOLDS} for each category."
        )
    unknown = sorted(set(dataset.test["category"]) - set(counts.index))
    if unknown:
        raise TriageError(
            f"{dataset.folder}/test.csv has categories that train.csv never shows: {', '.join(unknown[:5])}. "
            "Check the spelling, or add training messages."
        )


def banking77_folder() -> Path:
    """The folder with BANKING77, downloaded on first use and believed only if its checksums are right."""
    folder = Path(platformdirs.user_cache_dir("triage")) / "banking77"
    for split in SPLITS:
        path = folder / f"{split}.csv"
        if (
            not path.exists()
            or hashlib.sha256(path.read_bytes()).hexdigest() != BANKING77_SHA256[split]
        ):
            write_atomically(
                path, download(f"{BANKING77_URL}/{split}.csv", BANKING77_SHA256[split])
            )
    return folder


def download(url: str, sha256: str) -> bytes:
    """Fetch `url`; raise TriageError if it cannot be reached or is not the file that was pinned."""
    try:
        response = httpx.get(url, follow_redirects=True, timeout=30).raise_for_status()
    except httpx.HTTPError as error:
        raise TriageError(
            f"Cannot download {url}: {error}. "
            "Check the network, or set TRIAGE_DATA to a folder that has the files."
        ) from error
    found = hashlib.sha256(response.content).hexdigest()
    if found != sha256:
        raise TriageError(
            f"{url} has changed: expected sha256 {sha256}, got {found}. Nothing was kept."
        )
    return response.content
