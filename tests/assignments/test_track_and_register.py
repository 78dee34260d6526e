"""The assignment `track-and-register`: its parts, its submissions, and stores that mean harm."""

import importlib.util
import json
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from types import ModuleType

import pytest

from autograder import assignments, judge, learner
from autograder.checks import Assignment
from autograder.errors import InfrastructureError, LearnerError
from autograder.sandbox import Completed
from autograder.verdict import Verdict

pytestmark = pytest.mark.xdist_group("track-and-register")  # MLflow makes one store

FOLDER = assignments.COURSE / "03-track-and-register"
SUBMISSIONS = sorted(path.name for path in (FOLDER / "submissions").iterdir())
WRONG = [name for name in SUBMISSIONS if name.startswith("wrong-")]
FATAL = "wrong-another-experiment"  # without runs there is nothing to look at
STORE = "track-and-register/store"


@pytest.fixture(scope="module")
def track() -> Assignment:
    return assignments.load(FOLDER)


def module(track: Assignment, name: str) -> ModuleType:
    """One of the assignment's modules; which package they are in is the loader's affair."""
    package = track.checks[STORE].function.__module__.rpartition(".")[0]
    return sys.modules[f"{package}.{name}"]


def expectation(name: str) -> dict:
    return json.loads((FOLDER / "submissions" / name / "expected.json").read_bytes())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Path]]:
    """made("reference") is the folder of that submission, as a learner hands it in."""
    spec = importlib.util.spec_from_file_location(
        "submissions_of_track", FOLDER / "submissions.py"
    )
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    folder = tmp_path_factory.mktemp("made")

    def make(name: str) -> Path:
        if not (folder / name).exists():
            maker.make(FOLDER / "submissions" / name, folder / name, empty)
        return folder / name

    with maker.hurried():
        empty = maker.empty_store(folder)
        yield make
    shutil.rmtree(folder)


@pytest.fixture
def handed_in(made: Callable[[str], Path], tmp_path: Path) -> Path:
    """A copy of the reference, to be spoilt."""
    return shutil.copytree(made("reference"), tmp_path / "handed-in")


def graded(folder: Path, track: Assignment) -> Verdict:
    return judge.grade(folder, track, learner="ada", seed=7)


def lost(verdict: Verdict) -> dict[str, str]:
    """What each check that gave less than full points had to say."""
    assert verdict.status == "graded", verdict.message
    return {
        check.id.split("/")[1]: f"{check.seen} {check.advice}"
        for check in verdict.checks
        if check.points < check.max_points
    }


# --- its parts ---


def test_only_a_store_that_cannot_be_read_costs_other_checks_their_points(
    track: Assignment,
) -> None:
    assert {need for check in track.checks.values() for need in check.needs} == {STORE}


def test_every_check_has_a_submission_that_fails_it_alone(track: Assignment) -> None:
    losses = [expectation(name)["loses"] for name in WRONG if name != FATAL]
    assert all(len(loses) == 1 for loses in losses)
    assert {loses[0] for loses in losses} == track.checks.keys() - {STORE}
    assert STORE in expectation(FATAL)["loses"]


def test_notebook_and_checks_name_the_same_bounds(track: Assignment) -> None:
    contract = (FOLDER / "notebook.md").read_text()
    desk, store = module(track, "desk"), module(track, "store")
    assert "`C` from 0.001 to 100, `ngrams` 1 to 3, `min_df` 1 to 10" in contract
    bounds = {"C": (0.001, 100), "ngrams": (1, 3), "min_df": (1, 10)}
    assert bounds == desk.BOUNDS
    assert f"at most {store.RUNS}" in contract
    assert "`C=0.01`, `ngrams=1`, `min_df=2`, no columns" in contract
    assert desk.Parameters(0.01, 1, 2, ()) == desk.BASELINE


# --- the data and the trainer ---


def test_data_are_what_their_script_makes(tmp_path: Path) -> None:
    tickets = tmp_path / "triage"
    shutil.copytree(FOLDER.parents[1] / "triage/tickets", tickets / "tickets")
    given = tmp_path / "assignments/03/given"
    given.mkdir(parents=True)
    shutil.copy(FOLDER / "given/make_data.py", given)
    subprocess.run([sys.executable, given / "make_data.py"], check=True)
    for name in ("train.csv", "test.csv"):
        assert (given / name).read_bytes() == (FOLDER / "given" / name).read_bytes()


@pytest.mark.slow
def test_clean_data_are_the_tickets_and_no_other_cleaning_looks_the_same(
    track: Assignment,
) -> None:
    desk = module(track, "desk")
    tickets = FOLDER.parents[1] / "triage/tickets"
    clean = desk.known()[desk.clean_digest()]
    for rows, name in ((clean.train, "train"), (clean.test, "test")):
        given = desk.trainer().read(tickets / f"{name}.csv")
        assert sorted(row["text"] for row in rows) == sorted(r["text"] for r in given)
        assert "reply" not in rows[0]
    assert len(desk.known()) == 10
    assert sum(not data.left for data in desk.known().values()) == 1


@pytest.mark.slow
def test_digest_names_the_rows_and_not_their_order(track: Assignment) -> None:
    desk = module(track, "desk")
    digest, train, test = desk.trainer().digest, desk.split("train"), desk.split("test")
    assert digest(train[::-1], test) == digest(train, test)
    assert digest(test, train) != digest(train, test)
    assert digest([row | {"topic": ""} for row in train], test) != digest(train, test)
    assert digest(train[1:], test) != digest(train, test)


@pytest.mark.slow
def test_figures_in_the_notebook_are_those_of_the_trainer(track: Assignment) -> None:
    desk = module(track, "desk")
    fit, clean = desk.trainer().fit, desk.known()[desk.clean_digest()]
    leaking = fit(
        desk.split("train"), desk.split("test"), columns=["channel", "topic", "reply"]
    )
    assert leaking.accuracy == pytest.approx(0.98, abs=0.01)
    assert desk.trained(desk.clean_digest(), desk.BASELINE).accuracy == pytest.approx(
        0.72, abs=0.01
    )
    train = desk.cleanings()["gone"].train
    known = fit(train, desk.split("test"), columns=["reply"])
    assert known.accuracy == pytest.approx(0.97, abs=0.01)
    blank = [row | {"reply": ""} for row in desk.split("test")]
    first_day = fit(train, blank, columns=["reply"])
    assert first_day.accuracy == pytest.approx(0.51, abs=0.02)
    honest = fit(clean.train, clean.test)
    assert honest.accuracy == pytest.approx(0.80, abs=0.01)
    again = fit(clean.train[::-1], clean.test)
    assert (again.held_out_accuracy, again.right) == (
        honest.held_out_accuracy,
        honest.right,
    )


# --- what is drawn ---


@pytest.mark.slow
def test_what_is_drawn_is_fresh_and_has_the_answers_it_says(track: Assignment) -> None:
    drawn, desk = module(track, "drawn"), module(track, "desk")
    given = {desk.words(text) for text in desk.messages().train}
    for seed in range(20):
        for make in (drawn.copied, drawn.alike):
            drew = make(Random(seed))
            assert drew == make(Random(seed))
            assert drew != make(Random(seed + 1))
            there = {desk.words(text) for text in drew.test}
            found = [
                at for at, text in enumerate(drew.train) if desk.words(text) in there
            ]
            assert found == drew.copies
            assert not given & {desk.words(text) for text in drew.train}
        copied = drawn.copied(Random(seed))
        respelt = [at for at in copied.copies if copied.train[at] not in copied.test]
        assert len(respelt) >= 2


# --- what it says ---


@pytest.mark.parametrize("name", SUBMISSIONS)
@pytest.mark.slow
@pytest.mark.needs("bubblewrap")
def test_submission_loses_just_the_points_of_its_mistake(
    name: str, made: Callable[[str], Path], track: Assignment
) -> None:
    verdict = graded(made(name), track)
    expected = expectation(name)
    losses = lost(verdict)
    assert sorted(f"track-and-register/{id}" for id in losses) == sorted(
        expected["loses"]
    ), losses
    assert verdict.points == pytest.approx(expected["points"], abs=0.005)
    assert all(check.seen for check in verdict.checks)


@pytest.mark.slow
@pytest.mark.needs("bubblewrap")
def test_script_of_the_reference_makes_what_its_store_is_said_to_be(
    made: Callable[[str], Path], track: Assignment, tmp_path: Path
) -> None:
    """MLflow as a learner uses it, from an empty folder to the champion."""
    for path in (*(FOLDER / "submissions/reference").glob("*.py"), *given(track)):
        shutil.copy(path, tmp_path)
    subprocess.run(
        [sys.executable, "track.py"], cwd=tmp_path, check=True, capture_output=True
    )
    assert graded(tmp_path, track).points == 20
    recorded = [runs(folder) for folder in (tmp_path, made("reference"))]
    assert recorded[0] == recorded[1]


def given(track: Assignment) -> list[Path]:
    return [assignments.COURSE / path for path in track.given]


def runs(folder: Path) -> list[tuple]:
    """What every run of a store records, without its id."""
    with sqlite3.connect(folder / "mlflow.db") as store:
        found = store.execute(
            "SELECT (SELECT group_concat(key || '=' || value) FROM "
            "(SELECT * FROM params WHERE run_uuid = r.run_uuid ORDER BY key)), "
            "(SELECT group_concat(key || '=' || round(value, 2)) FROM "
            "(SELECT * FROM latest_metrics WHERE run_uuid = r.run_uuid ORDER BY key)) "
            "FROM runs r"
        ).fetchall()
    store.close()
    return sorted(found)


@pytest.mark.slow
@pytest.mark.needs("bubblewrap")
def test_functions_can_be_checked_before_there_is_a_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(FOLDER / "starter/evidence.py", tmp_path)
    assert learner.check("track-and-register/copies").mark == "Not yet"
    shutil.copy(FOLDER / "submissions/reference/evidence.py", tmp_path)
    assert learner.check("track-and-register/copies").mark == "Right"
    assert learner.check("track-and-register/odd-runs").mark == "Later"
    store = learner.check(STORE)
    assert (store.mark, store.seen) == ("Not yet", "There is no mlflow.db yet.")


@pytest.mark.slow
@pytest.mark.needs("bubblewrap")
def test_starter_earns_nothing(track: Assignment, tmp_path: Path) -> None:
    shutil.copy(FOLDER / "starter/evidence.py", tmp_path)
    verdict = graded(tmp_path, track)
    assert (verdict.status, verdict.points) == ("graded", 0)
    assert all(check.seen and check.advice for check in verdict.checks)


@pytest.mark.slow
@pytest.mark.needs("bubblewrap")
def test_hidden_inputs_reach_the_instructor_and_not_the_learner(
    made: Callable[[str], Path], track: Assignment
) -> None:
    for name, id in (
        ("wrong-greetings-do-not-count", "no-false-alarm"),
        ("wrong-knows-the-column", "other-columns"),
    ):
        verdict = graded(made(name), track)
        check = next(c for c in verdict.checks if c.id == f"track-and-register/{id}")
        hidden = [*check.evidence.get("named", []), *check.evidence.get("right", [])]
        assert hidden
        assert not [text for text in hidden if text in check.seen + check.advice]


@pytest.mark.slow
def test_leaking_column_is_for_the_learner_to_find(track: Assignment) -> None:
    for name in ("checks", "functions", "store", "package"):
        source = (FOLDER / f"{name}.py").read_text()
        assert "reply" not in source
    desk = module(track, "desk")
    assert not [
        left for data in desk.known().values() for left in data.left if "reply" in left
    ]


# --- functions that forge ---


FORGERIES = {
    "ends the program": "import os\nos._exit(0)\n",
    "answers with nonsense": "copies = telling = choose = difference = lambda *_: float('nan')\n",
    "answers with too much": "copies = telling = choose = difference = lambda *_: 'x' * 5_000_000\n",
    "is equal to everything": (
        "class Any(list):\n    __eq__ = lambda self, other: True\n    __hash__ = lambda self: 0\n"
        "copies = telling = choose = difference = lambda *_: Any()\n"
    ),
    "speaks for the judge": (
        "import sys\n"
        "def copies(*_):\n    sys.__stdout__.write('[\"returned\", [0]]\\n')\n"
        "telling = choose = difference = copies\n"
    ),
}


@pytest.mark.parametrize("how", FORGERIES)
@pytest.mark.slow
@pytest.mark.needs("bubblewrap")
def test_forging_the_functions_earns_nothing(
    how: str, track: Assignment, tmp_path: Path
) -> None:
    (tmp_path / "evidence.py").write_text(FORGERIES[how])
    verdict = graded(tmp_path, track)
    assert (verdict.status, verdict.points) == ("graded", 0)


@pytest.mark.slow
@pytest.mark.needs("bubblewrap")
def test_function_that_ends_the_program_costs_only_what_it_is_asked(
    handed_in: Path, track: Assignment
) -> None:
    with (handed_in / "evidence.py").open("a") as file:
        file.write("\n\ndef choose(*_):\n    import os\n    os._exit(0)\n")
    assert set(lost(graded(handed_in, track))) == {"choose", "odd-runs"}


# --- stores that mean harm ---


def of_the_store(folder: Path, track: Assignment) -> dict[str, str]:
    """What the checks of the store say that give less than full points; the functions are not asked."""
    checks = [c for c in track.checks.values() if c.id == STORE or c.needs]
    with (
        judge.taken_in(folder, track) as (_, copy),
        judge.work_on(copy, track, seed=7) as work,
    ):
        results = list(judge.run_checks(work, checks))
    return {
        result.id.split("/")[1]: f"{result.seen} {result.advice}"
        for result in results
        if result.points < result.max_points
    }


def spoil(folder: Path, *statements: str) -> None:
    store = sqlite3.connect(folder / "mlflow.db", isolation_level=None)
    for statement in statements:
        store.execute(statement)
    store.close()


NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {})"
ONE_RUN = "(SELECT run_uuid AS run FROM runs LIMIT 1)"
HOSTILE = {
    "a view that never ends": (
        [
            "DROP TABLE params",
            "CREATE VIEW params AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n) "
            "SELECT i AS run_uuid, i AS key, i AS value FROM n",
        ],
        "params is not the plain table",
    ),
    "a virtual table": (
        [
            "DROP TABLE params",
            "CREATE VIRTUAL TABLE params USING fts5(run_uuid, key, value)",
        ],
        "params is not the plain table",
    ),
    "a column that is computed": (
        [
            "DROP TABLE params",
            "CREATE TABLE params (run_uuid, key, value AS (hex(zeroblob(900000))))",
        ],
        "The table params of mlflow.db lacks columns",
    ),
    "a missing table": (
        ["DROP TABLE model_version_tags"],
        "no table model_version_tags",
    ),
    "another MLflow's columns": (
        ["ALTER TABLE latest_metrics RENAME COLUMN is_nan TO not_a_number"],
        "The table latest_metrics of mlflow.db lacks columns",
    ),
    "very many rows": (
        [
            f"INSERT INTO params (key, value, run_uuid) {NUMBERS.format(30_000)} "
            f"SELECT i, '1', run FROM n, {ONE_RUN}"
        ],
        "more rows than the judge reads",
    ),
    "a huge value": (
        [
            "UPDATE params SET value = hex(zeroblob(1000000)) "
            f"WHERE key = 'C' AND run_uuid = {ONE_RUN}"
        ],
        "damaged",
    ),
    "more than fits": (
        [
            f"INSERT INTO params (key, value, run_uuid) {NUMBERS.format(6_000)} "
            f"SELECT i, hex(zeroblob(1000)), run FROM n, {ONE_RUN}"
        ],
        "damaged",
    ),
    "very many runs": (
        [
            f"INSERT INTO runs (run_uuid, experiment_id, status, lifecycle_stage) {NUMBERS.format(500)} "
            "SELECT 'r' || i, 1, 'FINISHED', 'active' FROM n"
        ],
        "at most 200 are looked at",
    ),
    "a deleted experiment": (
        ["UPDATE experiments SET lifecycle_stage = 'deleted' WHERE name = 'triage'"],
        "no experiment called triage",
    ),
}


@pytest.mark.parametrize("what", HOSTILE)
@pytest.mark.slow
@pytest.mark.needs("bubblewrap")
def test_store_that_is_no_store_says_why(
    what: str, handed_in: Path, track: Assignment
) -> None:
    statements, seen = HOSTILE[what]
    spoil(handed_in, *statements)
    assert seen in of_the_store(handed_in, track)["store"]


DAMAGED = {
    "not sqlite": lambda content: b"PK\3\4" + content[4:],
    "empty": lambda content: b"",
    "cut off": lambda content: content[: len(content) // 3],
    "noise": lambda content: content[:100] + Random(7).randbytes(len(content) - 100),
    "noise within": lambda content: content[:8192] + Random(7).randbytes(len(content) - 8192),
    "write-ahead": lambda content: content[:18] + b"\2\2" + content[20:],
}  # fmt: skip


@pytest.mark.parametrize("how", DAMAGED)
@pytest.mark.slow
@pytest.mark.needs("bubblewrap")
def test_damaged_file_is_the_learners_and_harms_nobody(
    how: str, handed_in: Path, track: Assignment
) -> None:
    path = handed_in / "mlflow.db"
    path.write_bytes(DAMAGED[how](path.read_bytes()))
    assert "mlflow.db" in of_the_store(handed_in, track)["store"]


@pytest.mark.slow
@pytest.mark.needs("bubblewrap")
def test_link_in_the_place_of_the_store_is_not_followed(
    handed_in: Path, made: Callable[[str], Path], track: Assignment
) -> None:
    (handed_in / "mlflow.db").unlink()
    (handed_in / "mlflow.db").symlink_to(made("reference") / "mlflow.db")
    verdict = graded(handed_in, track)
    assert verdict.status == "learner-error"
    assert "symbolic link" in verdict.message


ODD = {
    "metrics that are no numbers": (
        "UPDATE latest_metrics SET value = 'very high' WHERE key = 'held_out_accuracy'",
        {"comparable", "true", "champion", "true-throughout"},
    ),
    "infinite metrics": (
        "UPDATE latest_metrics SET value = 9e999 WHERE key = 'held_out_accuracy'",
        {"comparable", "true", "champion", "true-throughout"},
    ),
    "metrics that are not numbers": (
        "UPDATE latest_metrics SET is_nan = 1 WHERE key = 'accuracy'",
        {"comparable", "true", "reason", "true-throughout"},
    ),
    "parameters out of bounds": (
        "UPDATE params SET value = '1e12' WHERE key = 'C'",
        {"comparable", "true", "package", "compared", "true-throughout"},
    ),
    "parameters between numbers": (
        "UPDATE params SET value = '1.5' WHERE key = 'min_df'",
        {"true", "package", "compared", "true-throughout"},
    ),
    "parameters beyond numbers": (
        "UPDATE params SET value = '9e999' WHERE key = 'min_df'",
        {"true", "package", "compared", "true-throughout"},
    ),
    "blobs for parameters": (
        "UPDATE params SET value = zeroblob(100) WHERE key = 'ngrams'",
        {"comparable", "true", "package", "compared", "true-throughout"},
    ),
    "digests nobody knows": (
        "UPDATE params SET value = 'x' WHERE key = 'data_digest'",
        {"clean", "true", "compared", "true-throughout"},
    ),
    "columns nobody has": (
        "UPDATE params SET value = 'text,category' WHERE key = 'columns'",
        {"comparable", "true", "package", "compared", "true-throughout"},
    ),
    "an alias into nothing": (
        "UPDATE registered_model_aliases SET version = 99",
        {"true", "champion", "package", "compared", "reason"},
    ),
    "a predecessor that is itself": (
        "UPDATE model_version_tags SET value = '2' WHERE key = 'promoted_from'",
        {"true", "compared", "reason"},
    ),
    "tags without end": (
        "UPDATE model_version_tags SET value = hex(zeroblob(400000)) WHERE key = 'gap'",
        {"compared"},
    ),
    "tags that are no numbers": (
        "UPDATE model_version_tags SET value = 'nan' WHERE key LIKE 'gap%'",
        {"compared"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", ODD)
@pytest.mark.slow
@pytest.mark.needs("bubblewrap")
def test_odd_values_cost_what_they_spoil_and_no_more(
    what: str, handed_in: Path, track: Assignment
) -> None:
    statement, losses = ODD[what]
    spoil(handed_in, statement)
    said = of_the_store(handed_in, track)
    assert set(said) == losses
    assert all(text.isprintable() for text in said.values())


@pytest.mark.slow
@pytest.mark.needs("bubblewrap")
def test_names_made_to_confuse_are_cleaned_before_they_are_shown(
    handed_in: Path, track: Assignment
) -> None:
    name = "\u202etriage\n\x1b[31m" + "x" * 400
    store = sqlite3.connect(handed_in / "mlflow.db")
    store.execute("UPDATE experiments SET name = ? WHERE name = 'triage'", (name,))
    store.commit()
    store.close()
    said = of_the_store(handed_in, track)["store"]
    assert said.isprintable()
    assert len(said) < 300


PACKAGES = {
    "nothing": "",
    "no YAML": "\t{[",
    "deep": "[" * 9000,
    "another language": "!!python/object/apply:os.system [true]",
    "one that grows": "a: &a [x,x,x,x]\n"
    + "".join(f"{b}: &{b} [{f'*{a},' * 9}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)),
    "deep signature": "run_id: {run}\nsignature: {{inputs: '" + "[" * 9000 + "'}}",
    "half a character": 'run_id: {run}\nsignature: {{inputs: "[{{\\"name\\": \\"\\\\ud800\\"}}]"}}',
    "no outputs": "run_id: {run}\nsignature: {{inputs: '[{{\"name\": \"text\"}}]'}}",
    "a list": "[1]",
    "large": "run_id: x\n" + "#" * 30_000,
}  # fmt: skip


@pytest.mark.parametrize("what", PACKAGES)
@pytest.mark.slow
@pytest.mark.needs("bubblewrap")
def test_odd_packages_cost_one_point(
    what: str, handed_in: Path, track: Assignment
) -> None:
    found = re.search("run_id: (.+)", (handed_in / "MLmodel").read_text())
    text = PACKAGES[what]
    if "{run}" in text:
        text = text.format(run=found[1])
    (handed_in / "MLmodel").write_text(text)
    said = of_the_store(handed_in, track)
    assert set(said) == {"package"}
    assert said["package"].isprintable()


# --- reading what the reader said ---


@pytest.mark.parametrize(
    "said",
    [
        *(b"", b"{", b"[]", b'{"tables": {}}', b'{"problem": "no such word"}'),
        b'{"tables": {"experiments": [["1", "triage"]]}}',
        b'{"tables": {"experiments": [[{}, "triage", "active"]]}}',
        b'{"tables": {}, "points": 20}',
        b'{"tables": {"experiments": [["1", "triage", NaN]]}}',
        b'{"tables": ' + b"[" * 100_000,
    ],
)
def test_what_the_reader_says_is_believed_as_little_as_the_file(
    said: bytes, track: Assignment
) -> None:
    understood = module(track, "store").understood
    with pytest.raises(LearnerError, match="damaged"):
        understood(Completed(0, b"begun\n" + said, b"", 0.1, ""))


def test_reader_that_never_began_costs_nobody_points(track: Assignment) -> None:
    understood = module(track, "store").understood
    with pytest.raises(InfrastructureError, match="No space left"):
        understood(Completed(1, b"", b"No space left on device", 0.1, ""))
