"""What labelled messages must look like before anything is trained on them.

The schema says which columns there are and what may stand in them; the data tests say what must hold between
rows, between splits, and between this data set and one that was accepted before. pandera evaluates both, and
reports everything that is wrong at once.
"""

import re
from dataclasses import dataclass

import pandas as pd
import pandera.pandas as pa
from scipy.stats import ks_2samp

from triage.data import FOLDS, SPLITS, Dataset
from triage.service.contract import MESSAGE_LIMIT

NEAR_COPIES = 0.01
"""Share of a split that may repeat another message but for case and punctuation: customers do."""
SHIFT = 0.2
"""Largest distance between two distributions of message length that is let pass, 0 to 1."""
CHANCE = 0.001
"""A distance that equal distributions would reach more often than this is no finding."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: which check saw it, in which split, on how many rows."""

    check: str
    split: str
    count: int
    message: str

    def __str__(self) -> str:
        return self.message


def validate(dataset: Dataset, baseline: Dataset | None = None) -> list[Finding]:
    """Everything that is wrong with a data set as `data.parse` reads it; an empty list if nothing is.

    `baseline` is a data set that was accepted before, such as the champion's: its labels are the known ones,
    and its message lengths the usual ones. Without it the training split takes its place.
    """
    tables = {split: getattr(dataset, split) for split in SPLITS}
    findings = [
        finding
        for split, table in tables.items()
        for finding in failures(COLUMNS, table, split)
    ]
    if findings:  # without its columns nothing else can be said about a table
        return findings
    trusted = (baseline or dataset).train
    known = sorted(trusted["category"].unique())
    for split, table in tables.items():
        table = table.assign(folded=table["text"].map(fold))
        others = dataset.train if split == "test" else None
        findings += failures(messages(known, others), table, split)
        findings += failures(COUNTS, counts(table, known), split)
        findings += failures(LENGTHS, lengths(table, trusted), split)
    return findings


def fold(text: str) -> str:
    """The message without case, punctuation and spacing, as two customers may both have written it."""
    return re.sub(r"\W+", " ", text.lower()).strip()


# region schema
COLUMNS = pa.DataFrameSchema({"text": pa.Column(str), "category": pa.Column(str)})


def messages(known: list[str], train: pd.DataFrame | None) -> pa.DataFrameSchema:
    """The schema of one split, a row a message; the test split is given `train` too."""
    blank = pa.Check(lambda field: field.str.strip() != "", name="blank")
    length = pa.Check(lambda text: text.str.len() <= MESSAGE_LIMIT, name="too long")
    label = pa.Check.isin(known, name="unknown label")
    between_rows = [
        pa.Check(unrepeated, name="duplicate"),
        pa.Check(uncontradicted, name="contradiction"),
    ]
    if train is not None:
        between_rows.append(pa.Check(lambda test: unseen(test, train), name="leak"))
    columns = {
        "text": pa.Column(str, [blank, length]),
        "category": pa.Column(str, [blank, label]),
    }
    return pa.DataFrameSchema(columns, checks=between_rows)


# endregion schema


# region between-rows
def unrepeated(table: pd.DataFrame) -> pd.Series:
    """True for each row whose message stands in no row above it."""
    return allowing_near_copies(
        table.duplicated("text"), table.duplicated("folded"), table
    )


def unseen(test: pd.DataFrame, train: pd.DataFrame) -> pd.Series:
    """True for each test row whose message is not among those the model learns from."""
    return allowing_near_copies(
        test["text"].isin(train["text"]),
        test["folded"].isin(train["text"].map(fold)),
        test,
    )


def allowing_near_copies(
    exact: pd.Series, near: pd.Series, table: pd.DataFrame
) -> pd.Series:
    """Exact copies come from an export and never pass; near ones pass while they are few."""
    return ~near if near.mean() > NEAR_COPIES else ~exact


# endregion between-rows


def uncontradicted(table: pd.DataFrame) -> pd.Series:
    """True for each row whose message carries the same label wherever it stands in the split."""
    exact, near = (
        table.groupby(column)["category"].transform("nunique") > 1
        for column in ("text", "folded")
    )
    return allowing_near_copies(exact, near, table)


# region totals
COUNTS = pa.DataFrameSchema(
    {"messages": pa.Column(int, pa.Check.ge(FOLDS, name="class too small"))}
)
LENGTHS = pa.DataFrameSchema(
    checks=pa.Check(
        lambda row: (row["distance"] <= SHIFT) | (row["chance"] >= CHANCE),
        name="length shift",
    )
)


def counts(table: pd.DataFrame, known: list[str]) -> pd.DataFrame:
    """A row per known intent: how many messages the split has for it."""
    found = table["category"].value_counts().reindex(known, fill_value=0)
    return found.to_frame("messages")


def lengths(table: pd.DataFrame, trusted: pd.DataFrame) -> pd.DataFrame:
    """One row: how far lengths are from the trusted ones, and how likely by luck."""
    usual, here = (split["text"].str.len() for split in (trusted, table))
    test = ks_2samp(usual, here, method="asymp")
    return pd.DataFrame(
        {
            "distance": [test.statistic],
            "chance": [test.pvalue],
            "usual": [deciles(usual)],
            "here": [deciles(here)],
        }
    )


def deciles(characters: pd.Series) -> str:
    """The lengths that a tenth, half and nine tenths of the messages stay below."""
    return " / ".join(f"{q:.0f}" for q in characters.quantile([0.1, 0.5, 0.9]))


# endregion totals


SENTENCES = {
    "column_in_dataframe": "lacks the column {values}. The header must name text and category.",
    "blank": "has empty fields in {where}. Fill them or remove the records.",
    "too long": f"has messages over {MESSAGE_LIMIT} characters in {{where}}. "
    "The service refuses those, so no model needs them.",
    "unknown label": "has labels that nobody knows ({values}) in {where}. "
    "Correct the spelling, or have the new intent accepted first.",
    "duplicate": "repeats its own messages in {where}. Remove the copies, then split again.",
    "contradiction": "labels one message in two ways in {where}. Ask the desk which is right.",
    "leak": "has messages of train.csv in {where}. "
    "They would test memory: remove the copies, then split again.",
    "class too small": f"has fewer than {FOLDS} messages for {{values}}. "
    "Label more, or take the intent out of both files.",
    "length shift": "has messages of unusual length in characters ({values}). "
    "Find out what the export cut off or added.",
}
SHOWN = 5
"""Records and values named in one sentence; a broken export has thousands."""


def failures(
    schema: pa.DataFrameSchema, table: pd.DataFrame, split: str
) -> list[Finding]:
    """What the schema finds in a table, one finding per check."""
    try:
        schema.validate(table, lazy=True)
    except pa.errors.SchemaErrors as errors:
        return [finding(error, table, split) for error in errors.schema_errors]
    return []


def finding(error: pa.errors.SchemaError, table: pd.DataFrame, split: str) -> Finding:
    """pandera's error, which lists cells, as one sentence about records."""
    if isinstance(error.check, str):  # the column that is missing
        check, rows, values = error.check, table, [f"{error.failure_cases!r}"]
    else:
        check = error.check.name
        rows = table.loc[error.failure_cases["index"].unique()]
        values = describe(check, rows)
    records = brief([str(row + 1) for row in rows.index if isinstance(row, int)])
    where = f"record{'s' * (len(rows) > 1)} {records}"
    sentence = SENTENCES[check].format(where=where, values=brief(values))
    return Finding(check, split, len(rows), f"{split}.csv {sentence}")


def describe(check: str, rows: pd.DataFrame) -> list[str]:
    """What of the failing rows is safe and useful to print: labels and numbers, never a message."""
    if check == "unknown label":
        return [repr(label) for label in rows["category"].unique()]
    if check == "class too small":
        return [f"{intent} ({n})" for intent, n in rows["messages"].items()]
    if check == "length shift":
        [row] = rows.itertuples()
        return [f"a tenth, half, nine tenths below {row.here}, usually {row.usual}"]
    return []


def brief(items: list[str]) -> str:
    """The first few items, and how many more there are."""
    more = len(items) - SHOWN
    return ", ".join(items[:SHOWN]) + (f" and {more} more" if more > 0 else "")
