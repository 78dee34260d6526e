"""Reading labelled messages: what is accepted, and every refusal in one sentence."""

import difflib
import hashlib
import json
import os
import re
from pathlib import Path

import httpx
import pytest

from triage import data
from triage.errors import TriageError

GOOD = "text,category\n" + "".join(
    f"{word} {n},{word}\n" for word in ("late", "broken") for n in range(5)
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for split in data.SPLITS:
        (tmp_path / f"{split}.csv").write_text(GOOD, encoding="utf-8")
    return tmp_path


def test_a_folder_is_read(folder: Path) -> None:
    dataset = data.load(folder)
    assert dataset.name == folder.name
    assert dataset.intents == ["broken", "late"]
    assert list(dataset.train.columns) == ["text", "category"]
    assert len(dataset.train) == len(dataset.test) == 10


def test_settings_choose_the_data(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIAGE_DATA", str(folder))
    assert data.load().digest == data.load(folder).digest
    monkeypatch.setenv("TRIAGE_DATA", "")  # set and empty is unset
    assert data.load().name == "tickets"


def test_the_digest_follows_the_content(folder: Path) -> None:
    before = data.load(folder).digest
    assert data.load(folder).digest == before
    (folder / "test.csv").write_text(GOOD + "one more,late\n", encoding="utf-8")
    assert data.load(folder).digest != before


def test_texts_that_look_like_missing_values_are_messages(folder: Path) -> None:
    (folder / "train.csv").write_text(GOOD + "null,late\nNA,late\n", encoding="utf-8")
    assert data.load(folder).train["text"].tolist()[-2:] == ["null", "NA"]


def test_quotes_newlines_and_a_byte_order_mark_are_read(folder: Path) -> None:
    text = 'Hello,\nit says ""late"".'
    (folder / "train.csv").write_text(
        "\ufeff" + GOOD + f'"{text}",late\n', encoding="utf-8"
    )
    assert data.load(folder).train["text"].iloc[-1] == 'Hello,\nit says "late".'


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is not a CSV table"),
        (b"text,category\n", "has a header and no messages"),
        (b"text,label\na,b\n", "lacks the column category"),
        (b"message,label\na,b\n", "lacks the columns category, text"),
        (b"text,category\nok,late\n\xff\xfe,late\n", "is not UTF-8 (byte 22)"),
        (b'text,category\n"never closed,late\n', "is not a CSV table"),
        (b"text,category\na,late\nb,late,extra\n", "is not a CSV table"),
        (b"text,category\na,b,c\nd,e,f\n", "more fields in its rows than names"),
        (b"text,text,category\na,b,late\n", "has the column 'text' more than once"),
        (b"text,category,category\na,late,x\n", "'category' more than once"),
        (b"text,category\na,late\n  ,late\n", "record 2: text is empty"),
        (b"text,category\na,late\nb,\n", "record 2: category is empty"),
        (b"text,category\n" + b"a,late\n" * 9, "has one category"),
        (GOOD.encode() + b"a,rare\n", "has 1 messages for 'rare'"),
    ],
)
def test_malformed_training_data_is_refused(
    folder: Path, content: bytes, complaint: str
) -> None:
    (folder / "train.csv").write_bytes(content)
    with pytest.raises(TriageError) as refusal:
        data.load(folder)
    assert complaint in str(refusal.value)
    assert "train.csv" in str(refusal.value)


def test_spaces_around_a_category_make_no_second_one(folder: Path) -> None:
    (folder / "train.csv").write_text(GOOD + "again, late \n", encoding="utf-8")
    assert data.load(folder).intents == ["broken", "late"]


def test_a_pipe_is_no_data_and_nobody_waits_for_it(folder: Path) -> None:
    (folder / "train.csv").unlink()
    os.mkfifo(folder / "train.csv")
    with pytest.raises(TriageError, match="is not a file"):
        data.load(folder)


def test_swapping_the_splits_is_other_data(folder: Path) -> None:
    (folder / "test.csv").write_text(GOOD + "one more,late\n", encoding="utf-8")
    before = data.load(folder).digest
    (folder / "test.csv").rename(folder / "other")
    (folder / "train.csv").rename(folder / "test.csv")
    (folder / "other").rename(folder / "train.csv")
    assert data.load(folder).digest != before


def test_a_missing_folder_or_file_is_named(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(TriageError, match=r"No data folder at .*nowhere"):
        data.load(tmp_path / "nowhere")
    (folder / "test.csv").unlink()
    with pytest.raises(TriageError, match=r"test\.csv is missing"):
        data.load(folder)


def test_a_category_only_in_the_test_split_is_refused(folder: Path) -> None:
    (folder / "test.csv").write_text(GOOD + "hm,surprise\n", encoding="utf-8")
    with pytest.raises(TriageError, match="never shows: surprise"):
        data.load(folder)


def answer_with(
    monkeypatch: pytest.MonkeyPatch, content: bytes, status: int = 200
) -> None:
    request = httpx.Request("GET", "https://example.org")
    monkeypatch.setattr(
        httpx,
        "get",
        lambda url, **_: httpx.Response(status, content=content, request=request),
    )


def test_a_download_that_changed_is_refused_and_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data.platformdirs, "user_cache_dir", lambda _: str(tmp_path))
    answer_with(monkeypatch, b"something else")
    with pytest.raises(TriageError, match="has changed"):
        data.load("banking77")
    assert list(tmp_path.rglob("*.csv")) == []


def test_a_failed_download_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data.platformdirs, "user_cache_dir", lambda _: str(tmp_path))
    answer_with(monkeypatch, b"", status=503)
    with pytest.raises(TriageError, match="set TRIAGE_DATA"):
        data.load("banking77")


def test_a_good_download_is_cached_and_a_spoilt_cache_is_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = GOOD.encode()
    monkeypatch.setattr(data.platformdirs, "user_cache_dir", lambda _: str(tmp_path))
    digest = hashlib.sha256(content).hexdigest()
    monkeypatch.setattr(data, "BANKING77_SHA256", dict.fromkeys(data.SPLITS, digest))
    answer_with(monkeypatch, content)
    assert data.load("banking77").name == "banking77"
    answer_with(monkeypatch, b"", status=500)
    assert data.load("banking77").name == "banking77"  # from the cache
    (tmp_path / "banking77" / "train.csv").write_text("spoilt")
    with pytest.raises(TriageError, match="Cannot download"):
        data.load("banking77")


def fold(text: str) -> str:
    return re.sub(r"\W+", " ", text.lower()).strip()


def test_the_tickets_are_balanced_and_hard(tickets: data.Dataset) -> None:
    styles = {"plain", "short", "misspelt", "angry", "ambiguous"}
    assert 900 <= len(tickets.train) + len(tickets.test) <= 1100
    assert 15 <= len(tickets.intents) <= 20
    for split, least in ((tickets.train, 30), (tickets.test, 12)):
        assert split["category"].value_counts().min() >= least
        for _, messages in split.groupby("category"):
            assert set(messages["style"]) == styles


def test_no_ticket_of_the_test_split_resembles_a_training_message(
    tickets: data.Dataset,
) -> None:
    seen = [fold(text) for text in tickets.train["text"]]
    assert len(set(seen)) == len(seen)
    for text in tickets.test["text"]:
        assert difflib.get_close_matches(fold(text), seen, 1, 0.85) == [], text


def test_every_intent_has_a_definition(tickets: data.Dataset) -> None:
    definitions = json.loads(
        (data.TICKETS / "categories.json").read_text(encoding="utf-8")
    )
    assert sorted(definitions) == tickets.intents
    assert all(definitions.values())
