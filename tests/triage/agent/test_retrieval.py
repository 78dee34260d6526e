"""Search in the runbooks: what is found, by whom, how fresh it is, and what no question can do to it."""

import subprocess
import sys
import textwrap
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from pathlib import Path

import apsw
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from triage.agent import chunks as reading
from triage.agent.chunks import AUDIENCES, MOST_WORDS, Chunk, Runbook, pieces, sections
from triage.agent.ranking import MOST_TERMS, STOP, fuse, terms
from triage.agent.relevance import NO_ANSWER, Question, place, questions
from triage.agent.retrieval import MOST_HITS, Changes, Index
from triage.encoder import MAX_TOKENS, Encoder
from triage.errors import TriageError

TEAMS = sorted(AUDIENCES)
quick = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def encode(texts: Sequence[str]) -> np.ndarray:
    """A stand-in for the encoder: every word has a direction, a text is the sum of its words'."""
    rows = []
    for text in texts:
        text.encode()  # raises for half a character, as a tokenizer does
        seeds = [sum(map(ord, word)) for word in text.lower().split()] or [0]
        row = sum(np.random.default_rng(seed).normal(size=8) for seed in seeds)
        rows.append(row / np.linalg.norm(row))
    return np.array(rows, np.float32)


def book(name: str, text: str, *audience: str) -> Runbook:
    readers = frozenset(audience or ["everyone"])
    return Runbook(name, name.title(), readers, date(2026, 11, 1), text)


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return Index(tmp_path / "index.db", encode, "words added up")


RETURNS = book("returns", "## Period\nWithin 28 days.\n\n## Label\nFree for members.")
LIMITS = book("limits", "## Goodwill\nAt most 15 euros under GW-1.", "payments")


# Reading and cutting


def test_every_runbook_is_in_order_and_fits_the_encoder(encoder: Encoder) -> None:
    books = reading.read_folder()
    assert len(books) >= 12
    assert {len(each.audience) for each in books} == {1, 2}
    for each in books:
        for chunk in each.chunks():
            assert len(encoder.tokenizer(chunk.embedded).input_ids) <= MAX_TOKENS


def test_headings_in_code_are_none() -> None:
    text = "intro\n# One\na\n```\n# no heading\n```\n### Two\nb"
    assert list(sections(text, "T")) == [
        ("T", "intro"),
        ("One", "a\n```\n# no heading\n```"),
        ("Two", "b"),
    ]


@quick
@given(st.text("ab .!?\n", max_size=200), st.integers(1, 12))
def test_cutting_loses_no_word_and_keeps_the_bound(text: str, most: int) -> None:
    cut = pieces(text, most)
    assert " ".join(cut).split() == text.split()
    assert all(1 <= len(piece.split()) <= most for piece in cut)


def test_a_sentence_stays_whole_where_it_fits() -> None:
    assert pieces("One two. Three four five. Six.", 4) == [
        "One two.",
        "Three four five. Six.",
    ]
    assert pieces("one two three", 2) == ["one two", "three"]


def test_the_heading_is_part_of_what_is_embedded() -> None:
    one, other = (Chunk("T", heading, "after 14 days") for heading in ("A", "B"))
    assert "A" in one.embedded
    assert one.digest != other.digest


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("# No front matter", "must begin with a block"),
        ("---\ntitle: T\nupdated: 2026-01-01\n---\n", "audience"),
        ("---\ntitle: T\naudience: []\nupdated: 2026-01-01\n---\n", "audience is"),
        ("---\ntitle: T\naudience: leads\nupdated: 2026-01-01\n---\n", "audience is"),
        ("---\ntitle: T\naudience: 5\nupdated: 2026-01-01\n---\n", "audience is 5"),
        ("---\ntitle: T\naudience: [leeds]\nupdated: 2026-01-01\n---\n", "leeds"),
        ("---\ntitle: T\naudience: [leads]\nupdated: soon\n---\n", "Write a day"),
        ("---\n[\n---\n", "must begin with a block"),
    ],
)
def test_what_does_not_say_who_may_read_it_is_refused(
    tmp_path: Path, content: str, complaint: str
) -> None:
    (tmp_path / "a.md").write_text(content)
    with pytest.raises(TriageError, match=complaint):
        reading.read_folder(tmp_path)


def test_a_folder_that_was_not_mounted_empties_no_index(tmp_path: Path) -> None:
    with pytest.raises(TriageError, match="no runbooks"):
        reading.read_folder(tmp_path / "missing")


# Searching


def test_the_passage_is_found_with_its_source(index: Index) -> None:
    index.update([RETURNS, LIMITS])
    hit = index.search("which period, how many days?", [], k=1)[0]
    assert hit.text == "Within 28 days."
    assert hit.source == "Returns, Period (2026-11-01)"
    vectors = encode(
        ["which period, how many days?", "Returns. Period.\nWithin 28 days."]
    )
    assert hit.similarity == pytest.approx(vectors[0] @ vectors[1], abs=1e-5)


@pytest.mark.parametrize("by", ["words", "vectors", "hybrid"])
def test_each_search_orders_by_what_it_measures(index: Index, by: str) -> None:
    books = [book(word, f"{word} {word} {word}") for word in ("pole", "pump", "peg")]
    index.update(books)
    for each in books:
        assert index.search(each.name, [], k=1, by=by)[0].runbook == each.name


def test_a_code_is_found_as_a_whole(index: Index) -> None:
    index.update([book("a", "TP 7 and 118 others"), book("b", "Take TP-118.")])
    hits = index.search("is TP-118 in stock?", [], by="words")
    assert [hit.runbook for hit in hits] == ["b"]


def test_words_alone_need_no_encoder(tmp_path: Path) -> None:
    Index(tmp_path / "i.db", encode, "e").update([RETURNS])

    def broken(texts):
        raise AssertionError("was asked to encode")

    hits = Index(tmp_path / "i.db", broken, "e").search("label", [], by="words")
    assert (hits[0].heading, hits[0].similarity) == ("Label", None)


HOSTILE = [
    '"',
    '""" OR "',
    "AND OR NOT NEAR(a b, 2)",
    "title: returns",
    "text : * ^ + - ( ) { }",
    "days*",
    "\0days\0",
    "'; DROP TABLE chunks; --",
    "_ __ ___",
    "\ud800 half a character",
    "日本語 ﷽ 🏕️",
    "?!",
    "what is it?",
    "days " * 10_000,
    " ".join(f"w{n}" for n in range(10_000)),
]


@pytest.mark.parametrize("question", HOSTILE, ids=range(len(HOSTILE)))
def test_no_question_is_an_expression(index: Index, question: str) -> None:
    index.update([RETURNS, LIMITS])
    for by in ("words", "vectors", "hybrid"):
        index.search(question, TEAMS, by=by)
    assert len(index.search(question, TEAMS)) == 3


@quick
@given(question=st.text(max_size=60))
def test_any_text_is_a_question_or_is_explained(question: str, index: Index) -> None:
    if not index.path.exists():
        index.update([RETURNS])
    if question.replace("\0", " ").strip():
        assert len(index.search(question, [], k=2)) == 2
    else:
        with pytest.raises(TriageError, match="question is empty"):
            index.search(question, [])


def test_operators_are_words_like_any_other(index: Index) -> None:
    index.update([book("a", "cats"), book("b", "dogs")])
    hits = index.search("cats NOT dogs", [], by="words")
    assert {hit.runbook for hit in hits} == {"a", "b"}


def test_terms_are_quoted_telling_and_bounded() -> None:
    assert terms('Where is my TP-118, "now"?') == '"tp-118"'
    assert terms("my pole", stop=frozenset()) == '"my" OR "pole"'
    assert terms("Is it?") == ""
    many = " ".join(f"w{n}" for n in range(1000))
    assert len(terms(many).split(" OR ")) == MOST_TERMS
    assert "not" in STOP


@pytest.mark.parametrize(
    ("question", "teams", "k", "complaint"),
    [
        ("  \0 ", [], 5, "question is empty"),
        ("days", "leads", 5, "teams as a list"),
        ("days", [], 0, "ask for 1 to"),
        ("days", [], MOST_HITS + 1, "ask for 1 to"),
    ],
)
def test_what_cannot_be_asked(
    index: Index, question: str, teams: list[str], k: int, complaint: str
) -> None:
    index.update([RETURNS])
    with pytest.raises(TriageError, match=complaint):
        index.search(question, teams, k)


# Fusion


def test_fusion_by_hand() -> None:
    assert fuse([[1, 2], [2, 3]], constant=60) == [2, 1, 3]
    assert fuse([[7, 1], [8, 1]], constant=60) == [1, 7, 8]
    assert fuse([[7, 1], [8, 1]], constant=0) == [1, 7, 8]
    assert fuse([[7, 5, 1], [8, 5, 1]], constant=0)[:3] == [5, 7, 8]
    assert fuse([]) == []


rankings = st.lists(
    st.lists(st.integers(0, 30), unique=True, max_size=10), min_size=1, max_size=3
)


@quick
@given(rankings, st.integers(0, 100))
def test_fusion_keeps_what_is_undisputed(lists: list[list[int]], constant: int) -> None:
    fused = fuse(lists, constant)
    assert sorted(fused) == sorted(set().union(*lists))
    assert fuse(lists[::-1], constant) == fused
    assert fuse([lists[0]], constant) == lists[0]
    for one in fused:
        for other in fused:
            places = [
                (each.index(one), each.index(other))
                for each in lists
                if one in each and other in each
            ]
            if len(places) == len(lists) and all(a < b for a, b in places):
                assert fused.index(one) < fused.index(other)


# Who may read what

audiences = st.sets(st.sampled_from(TEAMS), min_size=1).map(frozenset)


@quick
@given(
    shelf=st.lists(
        st.tuples(audiences, st.sampled_from(["pole", "pump", "peg pole", "strap"])),
        min_size=1,
        max_size=12,
    ),
    teams=st.sets(st.sampled_from(TEAMS)),
    k=st.integers(1, 6),
    by=st.sampled_from(["words", "vectors", "hybrid"]),
)
def test_everybody_gets_all_they_may_read_and_nothing_else(
    shelf, teams, k, by, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "access.db"
    books = [
        book(f"b{n}", f"{text} n{n}", *readers)
        for n, (readers, text) in enumerate(shelf)
    ]
    index = Index(path, encode, "e")
    index.update(books)
    allowed = {each.name for each in books if each.audience & {*teams, "everyone"}}
    hits = index.search("pole pump peg strap", teams, k, by)
    assert {hit.runbook for hit in hits} <= allowed
    assert len(hits) == min(k, len(allowed))


def test_the_only_match_is_not_shown_to_whom_it_is_closed(index: Index) -> None:
    index.update([RETURNS, LIMITS])
    asked = "Limits. Goodwill. At most 15 euros under GW-1."
    for by in ("words", "vectors", "hybrid"):
        assert "limits" not in {hit.runbook for hit in index.search(asked, [], by=by)}
        assert index.search(asked, ["payments"], by=by)[0].runbook == "limits"


def test_the_allowed_are_found_behind_many_that_are_not(index: Index) -> None:
    closed = [book(f"c{n}", f"goodwill goodwill n{n}", "leads") for n in range(200)]
    index.update([*closed, book("open", "One passage on goodwill and much else here.")])
    for by in ("words", "vectors", "hybrid"):
        (hit,) = index.search("goodwill", [], k=1, by=by)
        assert hit.runbook == "open"


def test_a_right_that_is_taken_away_ends_with_the_next_update(index: Index) -> None:
    index.update([RETURNS])
    assert index.search("period", [])
    closed = replace(RETURNS, audience=frozenset(["leads"]))
    assert index.update([closed]) == Changes(embedded=0, kept=2, removed=0)
    assert index.search("period", []) == []
    assert index.search("period", ["leads"])


# How fresh it is


def test_only_what_changed_is_embedded_again(tmp_path: Path) -> None:
    embedded: list[str] = []

    def counting(texts: Sequence[str]) -> np.ndarray:
        embedded.extend(texts)
        return encode(texts)

    index = Index(tmp_path / "i.db", counting, "e")
    index.update([RETURNS, LIMITS])
    embedded.clear()
    assert index.update([RETURNS, LIMITS]) == Changes(embedded=0, kept=3, removed=0)
    assert embedded == []
    changed = replace(RETURNS, text=RETURNS.text.replace("28", "45"))
    assert index.update([changed, LIMITS]) == Changes(embedded=1, kept=2, removed=1)
    assert embedded == ["Returns. Period.\nWithin 45 days."]
    texts = {hit.text for hit in index.search("period days", TEAMS)}
    assert "Within 45 days." in texts
    assert "Within 28 days." not in texts


def test_a_deleted_runbook_is_gone_from_every_table(index: Index) -> None:
    index.update([RETURNS, LIMITS])
    index.update([RETURNS])
    for by in ("words", "vectors", "hybrid"):
        found = {hit.runbook for hit in index.search("goodwill GW-1", TEAMS, by=by)}
        assert "limits" not in found
    counts = {
        table: count(index, table)
        for table in ("chunks", "words", "vectors", "readers")
    }
    assert counts == {"chunks": 2, "words": 2, "vectors": 2, "readers": 1}


def count(index: Index, table: str) -> int:
    with index._reading() as db:
        return db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def test_a_new_day_alone_is_shown(index: Index) -> None:
    index.update([RETURNS])
    later = replace(RETURNS, updated=date(2026, 11, 27))
    assert index.update([later]).embedded == 0
    assert index.search("period", [])[0].updated == date(2026, 11, 27)


texts = st.lists(st.sampled_from("abcd"), min_size=1, max_size=4).map(
    lambda words: "\n".join(f"## {word}\n{word} text." for word in words)
)
shelves = st.dictionaries(st.sampled_from(["x", "y", "z"]), texts, max_size=3)


@settings(quick, max_examples=20)
@given(before=shelves, after=shelves)
def test_an_index_that_was_updated_is_one_that_was_made_anew(
    before, after, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("updated")
    updated, anew = (Index(folder / f"{n}.db", encode, "e") for n in (1, 2))
    updated.update(book(*item) for item in before.items())
    updated.update(book(*item) for item in after.items())
    anew.update(book(*item) for item in after.items())
    seen = [
        {(hit.runbook, hit.heading, hit.text) for hit in each.search("a b", [], 50)}
        for each in (updated, anew)
    ]
    assert seen[0] == seen[1]
    assert count(updated, "words") == count(updated, "vectors") == len(seen[0])


def test_a_title_that_changes_changes_what_is_embedded(index: Index) -> None:
    index.update([RETURNS])
    assert index.update([replace(RETURNS, title="Sending back")]).embedded == 2


# What goes wrong


def test_readers_see_the_old_runbooks_until_all_of_the_new_are_there(
    tmp_path: Path,
) -> None:
    reader = Index(tmp_path / "i.db", encode, "e")
    reader.update([RETURNS])
    seen: list[str] = []

    def looking(texts: Sequence[str]) -> np.ndarray:
        seen.append(reader.search("period", [], k=1)[0].text)
        return encode(texts)

    writer = Index(tmp_path / "i.db", looking, "e")
    writer.update([replace(RETURNS, text="## Period\nWithin 45 days.")])
    assert seen == ["Within 28 days."]
    assert reader.search("period", [], k=1)[0].text == "Within 45 days."


def test_a_reader_who_takes_long_stops_no_writer(tmp_path: Path) -> None:
    reader, writer = (Index(tmp_path / "i.db", encode, "e") for _ in range(2))
    writer.update([RETURNS])
    writer._connection().set_busy_timeout(10)
    with reader._reading() as db:
        count = "SELECT count(*) FROM chunks"
        assert db.execute(count).fetchone() == (2,)
        writer.update([RETURNS, LIMITS])
        assert db.execute(count).fetchone() == (2,)
    assert len(reader.search("period", TEAMS)) == 3


def test_an_update_that_fails_changes_nothing(index: Index) -> None:
    index.update([RETURNS])
    before = index.search("period", TEAMS)

    def wrong_width(texts: Sequence[str]) -> np.ndarray:
        return np.ones((len(texts), 5), np.float32)

    other = Index(index.path, wrong_width, index.encoder)
    with pytest.raises(TriageError, match="cannot be used"):
        other.update([LIMITS])
    assert index.search("period", TEAMS) == before
    index._connection().set_busy_timeout(10)
    index.update([RETURNS])  # the one that failed holds no lock


def test_a_crash_in_the_middle_of_an_update_leaves_the_old_index(index: Index) -> None:
    index.update([RETURNS])
    before = index.search("period", TEAMS)
    script = textwrap.dedent(
        f"""
        import os
        import numpy as np
        from datetime import date
        from pathlib import Path
        from triage.agent.chunks import Runbook
        from triage.agent.retrieval import Index

        def encode(texts):
            return np.ones((len(texts), 8), np.float32)

        def insert(db, *rest, written=[], real=Index._insert):
            if written:
                os._exit(9)  # the old chunks are deleted, one new one is written
            written.append(real(db, *rest))

        Index._insert = staticmethod(insert)
        index = Index(Path({str(index.path)!r}), encode, {index.encoder!r})
        text = "# One\\nnew\\n# Two\\nnew"
        index.update([Runbook("n", "N", frozenset(["everyone"]), date.today(), text)])
        """
    )
    done = subprocess.run([sys.executable, "-c", script], timeout=60)
    assert done.returncode == 9
    assert index.search("period", TEAMS) == before
    assert index.update([RETURNS]) == Changes(embedded=0, kept=2, removed=0)


def test_what_is_no_index_is_explained(tmp_path: Path) -> None:
    with pytest.raises(TriageError, match="no index at"):
        Index(tmp_path / "none.db", encode).search("days", [])
    assert not (tmp_path / "none.db").exists()

    (tmp_path / "text.db").write_text("not a database, but long enough to be one" * 50)
    with pytest.raises(TriageError, match="Delete the file"):
        Index(tmp_path / "text.db", encode).search("days", [])

    apsw.Connection(str(tmp_path / "empty.db")).execute("CREATE TABLE other (x)")
    with pytest.raises(TriageError, match="holds no index"):
        Index(tmp_path / "empty.db", encode).search("days", [])


def test_a_place_where_no_file_can_be_is_named(tmp_path: Path) -> None:
    with pytest.raises(TriageError, match="choose a folder"):
        Index(tmp_path / "missing" / "i.db", encode).update([RETURNS])


def test_two_runbooks_of_one_name_are_refused(index: Index) -> None:
    with pytest.raises(TriageError, match="Two runbooks are called returns"):
        index.update([RETURNS, RETURNS])
    assert not index.path.exists()


def test_a_closed_index_opens_again(index: Index) -> None:
    index.update([RETURNS])
    index.close()
    index.close()
    assert index.search("period", [])


def test_an_index_that_was_deleted_is_gone_and_can_be_made_anew(index: Index) -> None:
    index.update([RETURNS])
    index.path.unlink()
    with pytest.raises(TriageError, match="no index at"):
        index.search("period", [])
    assert index.update([RETURNS]).embedded == 2
    assert index.search("period", [])


def test_many_threads_read_while_one_writes(index: Index) -> None:
    versions = [f"## Period\nWithin {days} days." for days in (28, 45)]
    index.update([replace(RETURNS, text=versions[0])])
    allowed = {f"Within {days} days." for days in (28, 45)}

    def ask(_: int) -> set[str]:
        return {hit.text for hit in index.search("period days", [], k=5)}

    with ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(ask, n) for n in range(60)]
        for n in range(10):
            index.update([replace(RETURNS, text=versions[n % 2])])
        seen = [each.result() for each in asked]
    assert all(len(texts) == 1 and texts <= allowed for texts in seen)


def test_vectors_of_another_encoder_are_refused(index: Index) -> None:
    index.update([RETURNS])
    other = Index(index.path, encode, "another")
    for act in (lambda: other.search("days", []), lambda: other.update([RETURNS])):
        with pytest.raises(TriageError, match="made by words added up, not by another"):
            act()


def test_a_second_writer_is_told_to_wait(index: Index) -> None:
    index.update([RETURNS])
    other = Index(index.path, encode, index.encoder)
    other._connection().set_busy_timeout(10)
    with index._writing(), pytest.raises(TriageError, match="Somebody else"):
        other.update([LIMITS])


# The desk's own runbooks, with the desk's own encoder


@pytest.fixture(scope="module")
def desk(encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Index:
    index = Index(tmp_path_factory.mktemp("desk") / "index.db", encoder.encode)
    index.update(reading.read_folder())
    return index


def test_every_answer_stands_in_the_section_that_is_named() -> None:
    books = {each.name: each for each in reading.read_folder()}
    asked = questions()
    assert len({each.question for each in asked}) == len(asked) == 120
    for each in asked:
        if each.kind == NO_ANSWER:
            assert (each.document, each.section, each.answer) == ("", "", "")
            continue
        texts = [
            chunk.text
            for chunk in books[each.document].chunks()
            if chunk.heading == each.section
        ]
        assert sum(each.answer in text for text in texts) == 1, each.question


def test_place_counts_from_one(index: Index) -> None:
    index.update([book("a", "## One\nFirst text.\n## Two\nSecond text.")])
    hits = index.search("A. Two. Second text.", [])
    asked = Question("first", "How many?", "code", "a", "One", "First text.")
    assert place(replace(asked, answer="Second"), hits) == 1
    assert place(asked, hits) == 2
    assert place(asked, hits[:1]) == np.inf
    assert place(replace(asked, answer=""), hits) == np.inf


@pytest.mark.slow
def test_recall_is_not_lost(desk: Index) -> None:
    """A gate: hybrid finds what it found, and codes, which the encoder alone does not."""
    asked = [each for each in questions() if each.answer]
    found = {
        by: [
            place(each, desk.search(each.question, TEAMS, 3, by)) < np.inf
            for each in asked
        ]
        for by in ("vectors", "hybrid")
    }
    codes = [each.kind == "code" for each in asked]
    assert np.mean(found["hybrid"]) >= 0.8
    assert np.mean(np.array(found["hybrid"])[codes]) == 1
    assert np.mean(np.array(found["vectors"])[codes]) < 0.9


def test_a_search_takes_a_moment(index: Index) -> None:
    index.update([book(f"b{n}", f"pole {n} and pump {n % 7}") for n in range(300)])
    began = time.perf_counter()
    for _ in range(10):
        index.search("pole and pump", [])
    assert time.perf_counter() - began < 5


def test_chunks_are_bounded_by_words() -> None:
    long = book("long", "word. " * 1000)
    assert max(len(c.text.split()) for c in long.chunks()) <= MOST_WORDS
