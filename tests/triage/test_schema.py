"""What is wrong with a data set: every check has data that must turn it red, and data that must not."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from triage import data, schema
from triage.data import Dataset
from triage.schema import Finding, validate


def checks(findings: list[Finding]) -> set[tuple[str, str]]:
    return {(finding.check, finding.split) for finding in findings}


def changed(dataset: Dataset, split: str, change: Callable) -> Dataset:
    return replace(dataset, **{split: change(getattr(dataset, split).copy())})


def added(*rows: tuple[str, str]) -> Callable:
    """A change that appends messages, given as (text, category)."""
    more = pd.DataFrame(rows, columns=["text", "category"])
    return lambda table: pd.concat([table, more], ignore_index=True).fillna("plain")


def test_the_embedded_tickets_are_right(tickets: Dataset) -> None:
    assert validate(tickets) == []
    assert validate(tickets, baseline=tickets) == []


def test_banking77_is_right_although_customers_repeat_each_other(
    banking77: Path,
) -> None:
    dataset = data.load(banking77)
    assert validate(dataset) == []
    [row] = schema.lengths(dataset.test, dataset.train).itertuples()
    assert row.chance < schema.CHANCE  # a significance test alone would refuse it
    assert row.distance < schema.SHIFT


@pytest.mark.parametrize("split", data.SPLITS)
@pytest.mark.parametrize("column", ["text", "category"])
def test_a_missing_column_is_the_only_finding(
    tickets: Dataset, split: str, column: str
) -> None:
    broken = changed(tickets, split, lambda table: table.drop(columns=column))
    [finding] = validate(broken)
    assert (finding.check, finding.split) == ("column_in_dataframe", split)
    assert column in str(finding)


def test_a_misspelt_label_is_named_with_its_record(tickets: Dataset) -> None:
    def misspell(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[6, "category"] = "order status"
        return table

    [finding] = validate(changed(tickets, "test", misspell))
    assert finding.check == "unknown label"
    assert "'order status'" in str(finding)
    assert "record 7." in str(finding)
    assert finding.count == 1


def test_a_label_that_the_baseline_lacks_is_unknown_in_both_splits(
    tickets: Dataset,
) -> None:
    def rename(table: pd.DataFrame) -> pd.DataFrame:
        return table.replace({"category": {"order_status": "where_is_it"}})

    renamed = changed(changed(tickets, "train", rename), "test", rename)
    assert validate(renamed) == []
    assert checks(validate(renamed, baseline=tickets)) == {
        (check, split)
        for check in ("unknown label", "class too small")  # and the old one is gone
        for split in data.SPLITS
    }


def test_one_exact_copy_between_the_splits_is_a_leak(tickets: Dataset) -> None:
    text, category = tickets.train.loc[3, ["text", "category"]]
    [finding] = validate(changed(tickets, "test", added((text, category))))
    assert finding.check == "leak"
    assert finding.count == 1
    assert f"record {len(tickets.test) + 1}." in str(finding)
    assert text not in str(finding)  # findings land in logs, customers' words do not


def test_copies_in_other_clothes_are_a_leak_when_there_are_many(
    tickets: Dataset,
) -> None:
    def disguised(count: int) -> list[Finding]:
        rows = tickets.train.head(count)
        texts = rows["text"].str.upper() + " !!"
        more = zip(texts, rows["category"], strict=True)
        return validate(changed(tickets, "test", added(*more)))

    assert disguised(2) == []  # 2 of 297: two customers can write the same
    [finding] = disguised(9)
    assert (finding.check, finding.count) == ("leak", 9)


@pytest.mark.parametrize("split", data.SPLITS)
def test_a_message_twice_in_a_split(tickets: Dataset, split: str) -> None:
    row = getattr(tickets, split).loc[0, ["text", "category"]]
    [finding] = validate(changed(tickets, split, added(tuple(row))))
    assert (finding.check, finding.split, finding.count) == ("duplicate", split, 1)


def test_a_message_with_two_labels(tickets: Dataset) -> None:
    text = tickets.train.loc[0, "text"]
    found = validate(changed(tickets, "train", added((text, "refund_status"))))
    assert checks(found) == {("duplicate", "train"), ("contradiction", "train")}
    contradiction = next(f for f in found if f.check == "contradiction")
    assert contradiction.count == 2  # nobody knows which of the two is wrong


@pytest.mark.parametrize("split", data.SPLITS)
def test_a_class_with_too_few_messages(tickets: Dataset, split: str) -> None:
    def thin(table: pd.DataFrame) -> pd.DataFrame:
        rows = table.index[table["category"] == "warranty_repair"]
        return table.drop(rows[4:]).reset_index(drop=True)

    [finding] = validate(changed(tickets, split, thin))
    assert (finding.check, finding.split) == ("class too small", split)
    assert "warranty_repair (4)" in str(finding)


def test_a_class_that_the_test_split_lacks(tickets: Dataset) -> None:
    without = changed(
        tickets, "test", lambda table: table[table["category"] != "return_item"]
    )
    [finding] = validate(without)
    assert "return_item (0)" in str(finding)


@pytest.mark.parametrize(
    "damage",
    [lambda text: text[:60], lambda text: f"<div class='mail'><p>{text}</p></div>"],
    ids=["cut off", "marked up"],
)
def test_an_export_that_changes_the_lengths(tickets: Dataset, damage: Callable) -> None:
    def apply(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(text=table["text"].map(damage))

    only_test = validate(changed(tickets, "test", apply))
    assert ("length shift", "test") in checks(only_test)
    both = changed(changed(tickets, "train", apply), "test", apply)
    assert "length shift" not in {finding.check for finding in validate(both)}
    lengths = {(c, s) for c, s in checks(validate(both, tickets)) if "length" in c}
    assert lengths == {("length shift", "train"), ("length shift", "test")}


def test_a_few_messages_are_no_shift(tickets: Dataset) -> None:
    def few(table: pd.DataFrame) -> pd.DataFrame:
        return table.groupby("category").sample(5, random_state=0)

    assert validate(changed(tickets, "test", few)) == []


@pytest.mark.parametrize("column", ["text", "category"])
def test_an_empty_field(tickets: Dataset, column: str) -> None:
    def blank(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[9, column] = " " if column == "text" else ""
        return table

    found = validate(changed(tickets, "train", blank), baseline=tickets)
    assert ("blank", "train") in checks(found)
    assert "record 10." in str(next(f for f in found if f.check == "blank"))


def test_a_message_the_service_would_refuse(tickets: Dataset) -> None:
    long = changed(tickets, "train", added(("so " * 1400, "out_of_scope")))
    assert checks(validate(long)) == {("too long", "train")}


def test_many_findings_come_at_once_and_each_is_one_line(tickets: Dataset) -> None:
    def spoil(table: pd.DataFrame) -> pd.DataFrame:
        table = pd.concat([table, tickets.train.head(40)], ignore_index=True)
        table.loc[0, "category"] = "no_such_intent"
        table.loc[1, "text"] = "  "
        return table

    found = validate(changed(tickets, "test", spoil))
    assert checks(found) == {
        (check, "test") for check in ("blank", "unknown label", "leak")
    }
    assert all("\n" not in str(finding) for finding in found)
    assert "and 35 more" in str(next(f for f in found if f.check == "leak"))


def test_an_invented_column_called_as_ours_changes_nothing(tickets: Dataset) -> None:
    named = changed(tickets, "test", lambda table: table.assign(folded="same"))
    assert validate(named) == []
