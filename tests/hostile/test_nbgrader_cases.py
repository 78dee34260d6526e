"""Hostile submissions on nbgrader's way: its commands, gradebook, feedback, export and exchange."""

import csv
import multiprocessing
import os
import shutil
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from classrooms import COURSES, formgrader, hand_in, nbgrader, submitted_notebook
from nbgrader.api import Gradebook

from autograder import autograde, classroom
from autograder.errors import LearnerError
from autograder.gradebook import record, verdict_path
from autograder.intake import take_in
from autograder.verdict import Verdict

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("nbgrader_cases")]
FULL = {"squares-written": 2, "squares-total": 3, "squares-any": 1.5, "why": 0}
WANTED = ("squares.json", "total.txt", "squares.ipynb")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def shared_course(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIVOT_ASSIGNMENTS", str(COURSES))
        course = tmp_path_factory.mktemp("course")
        classroom.make(course)
    return course


@pytest.fixture
def course(shared_course, monkeypatch):
    monkeypatch.setenv("PIVOT_ASSIGNMENTS", str(COURSES))
    shutil.rmtree(shared_course / "submitted")
    (shared_course / "submitted").mkdir()
    return shared_course


@pytest.fixture
def notebook(course, tmp_path):
    """Writes the released notebook after `edit` changed it."""

    def write(edit):
        changed = nbformat.read(course / "release/squares/squares.ipynb", as_version=4)
        edit(changed)
        path = tmp_path / "squares.ipynb"
        nbformat.write(changed, path)
        return path

    return write


def book(course):
    return Gradebook(f"sqlite:///{course}/gradebook.db", "the-pivot")


def scores(course, learner):
    with book(course) as gradebook:
        found = gradebook.find_submission_notebook("squares", "squares", learner)
        return {grade.name: grade.auto_score for grade in found.grades}


def total(course, learner):
    with book(course) as gradebook:
        submission = gradebook.find_submission("squares", learner)
        return submission.score, submission.max_score


def cell(notebook, grade_id):
    [found] = [
        cell
        for cell in notebook.cells
        if cell.metadata.get("nbgrader", {}).get("grade_id") == grade_id
    ]
    return found


def code(source):
    return nbformat.v4.new_code_cell(source)


# -- notebooks


def test_case_7_a_deleted_check_cell_is_put_back(course, notebook):
    def delete(changed):
        changed.cells.remove(cell(changed, "squares-total"))

    hand_in(course, "ada", notebook=notebook(delete), total="0")
    record(course, "squares", "ada")

    assert scores(course, "ada") == FULL | {"squares-total": 0}
    assert total(course, "ada") == (3.5, 10.5)


def test_case_8_a_duplicated_check_cell_counts_once(course, notebook):
    def duplicate(changed):
        changed.cells += [cell(changed, "squares-written")] * 3

    hand_in(course, "bob", notebook=notebook(duplicate))
    record(course, "squares", "bob")

    assert scores(course, "bob") == FULL
    assert total(course, "bob") == (6.5, 10.5)


def test_case_9_ids_points_and_marks_are_those_released(course, notebook):
    def forge(changed):
        right, wrong = cell(changed, "squares-written"), cell(changed, "squares-total")
        right.metadata["nbgrader"]["grade_id"] = "squares-total"
        wrong.metadata["nbgrader"]["grade_id"] = "squares-written"
        right.metadata["nbgrader"]["points"] = 1000
        cell(changed, "squares-any").metadata["nbgrader"]["grade"] = False
        cell(changed, "why").metadata["nbgrader"]["points"] = 0
        right.outputs = [
            nbformat.v4.new_output("execute_result", {"text/plain": "1000.0"})
        ]

    hand_in(course, "cid", notebook=notebook(forge), total="0")
    record(course, "squares", "cid")

    assert scores(course, "cid") == FULL | {"squares-total": 0}
    assert total(course, "cid") == (3.5, 10.5)


def test_case_28_a_cell_that_writes_to_the_gradebook_never_runs(
    course, notebook, home, tmp_path
):
    attack = f"""
import pathlib, sqlite3
pathlib.Path({str(tmp_path / "ran")!r}).touch()
with sqlite3.connect({str(course / "gradebook.db")!r}) as database:
    database.execute("UPDATE grade SET auto_score = 100, manual_score = 100")
"""

    def insert(changed):
        changed.cells.insert(0, code(attack))
        cell(changed, "answer-1").source = attack

    hand_in(course, "honest", total="0")
    hand_in(course, "mallory", notebook=notebook(insert), total="0")
    nbgrader("autograde", "squares", cwd=course, home=home)

    assert scores(course, "honest") == FULL | {"squares-total": 0}
    assert scores(course, "mallory") == FULL | {"squares-total": 0}
    assert not (tmp_path / "ran").exists()


# -- files


@pytest.mark.timeout(60)
def test_case_6_what_was_not_asked_for_is_not_copied(course):
    folder = hand_in(course, "dan")
    with open(folder / "huge.bin", "wb") as file:
        file.truncate(1 << 40)
    (folder / "endless").symlink_to("/dev/zero")
    (folder / "squares_files").mkdir()
    (folder / "squares_files/1.png").touch()
    record(course, "squares", "dan")

    kept = {path.name for path in (course / "autograded/dan/squares").iterdir()}
    assert kept == {*WANTED, "timestamp.txt", "submission_secret.txt"}
    assert scores(course, "dan") == FULL


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ["squares.json", "timestamp.txt", "squares.ipynb"])
@pytest.mark.parametrize("target", ["/dev/zero", "/etc/passwd", "pipe"])
def test_cases_17_and_21_a_link_or_a_pipe_ends_nothing_and_shows_nothing(
    course, name, target
):
    path = hand_in(course, "eve") / name
    path.unlink(missing_ok=True)
    if target == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(target)
    record(course, "squares", "eve")

    verdict = Verdict.read(verdict_path(course, "squares", "eve"))
    refused = name != "timestamp.txt"
    assert verdict.status == ("learner-error" if refused else "graded")
    assert set(scores(course, "eve").values()) == (
        {0} if refused else set(FULL.values())
    )
    kept = course / "autograded/eve/squares"
    assert all("root:" not in path.read_text() for path in kept.iterdir())


@pytest.mark.timeout(120)
@pytest.mark.parametrize("said", ["pipe", "no time at all", "2026-11-22 10:00:00 UTC"])
def test_case_21_formgrader_lists_submissions_whatever_their_timestamps(
    course, home, said
):
    stamp = hand_in(course, "ole") / "timestamp.txt"
    if said == "pipe":
        os.mkfifo(stamp)
    else:
        stamp.write_text(said)
    with formgrader(course, home) as client:
        [listed] = [
            submission
            for submission in client.get("api/submissions/squares").json()
            if submission["student"] == "ole"
        ]

    expected = "2026-11-22T10:00:00" if said.startswith("2026") else None
    assert listed["timestamp"] == expected


def test_case_17_a_link_in_the_exchange_is_not_followed(course, home):
    nbgrader("release_assignment", "squares", "--force", cwd=course, home=home)
    inbound = course / "exchange/the-pivot/inbound"
    for name in ("fay", "gus"):
        folder = inbound / f"{name}+squares+2026-11-22 10:00:00.000000 UTC+x"
        shutil.copytree(hand_in(course, name), folder)
    (folder / "total.txt").unlink()
    (folder / "total.txt").symlink_to("/etc/passwd")
    os.mkfifo(folder / "timestamp.txt")
    os.mkfifo(folder / "squares_pipe")
    (inbound / "junk+squares+yesterday+x").mkdir()
    shutil.rmtree(course / "submitted")
    nbgrader("collect", "squares", cwd=course, home=home)

    assert {path.name for path in (course / "submitted").iterdir()} == {"fay", "gus"}
    collected = course / "submitted/gus/squares"
    assert (collected / "total.txt").is_symlink()
    assert not (collected / "squares_pipe").exists()
    assert (collected / "timestamp.txt").read_text() == "2026-11-22 10:00:00 UTC"


# -- what people are shown

MARK = "stolen"
SCRIPTS = [
    f"<script>{MARK}()</script>",
    f"<img src=x onerror={MARK}()>",
    f"[click](javascript:{MARK}())",
    f'<a href="javascript:{MARK}()">click</a>',
    f"<svg onload={MARK}()></svg>",
    f'<iframe srcdoc="<script>{MARK}()</script>"></iframe>',
    f'<div style="background: url(javascript:{MARK}())">x</div>',
    f"$x$ <script>{MARK}()</script> $y$",
    f"```\n</code></pre><script>{MARK}()</script>\n```",
]


def test_case_31_no_script_of_a_learner_reaches_a_browser(course, notebook, home):
    def inject(changed):
        for script in SCRIPTS:
            changed.cells.insert(1, nbformat.v4.new_markdown_cell(script))
            changed.cells.insert(1, nbformat.v4.new_raw_cell(script))
            changed.cells[1].metadata["raw_mimetype"] = "text/html"
            changed.cells.insert(1, code(script))
            changed.cells[1].outputs = [
                nbformat.v4.new_output("display_data", {"text/html": script}),
                nbformat.v4.new_output("display_data", {"image/svg+xml": script}),
                nbformat.v4.new_output(
                    "display_data", {"application/javascript": f"{MARK}()"}
                ),
            ]
        cell(changed, "why").source = "\n\n".join(["**My answer**", *SCRIPTS])
        cell(changed, "answer-1").source = SCRIPTS[0]

    hand_in(course, "hex", notebook=notebook(inject), total=" ".join(SCRIPTS))
    record(course, "squares", "hex")
    nbgrader("generate_feedback", "squares", "--student=hex", cwd=course, home=home)
    feedback = (course / "feedback/hex/squares/squares.html").read_text()
    with formgrader(course, home) as client:
        shown = submitted_notebook(client, "hex")
        page = client.get(f"submissions/{shown['id']}/").text

    for document in (feedback, page):
        soup = BeautifulSoup(document, "html.parser")
        assert soup.find("strong", string="My answer"), "formatting is kept"
        assert MARK in soup.get_text(), "what they wrote can be read"
        for element in soup.find_all(True):
            assert not (element.name == "script" and MARK in element.text)
            assert element.name != "iframe"
            for name, value in element.attrs.items():
                assert not (MARK in str(value) and name != "class"), element


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t"])
def test_case_32_a_formula_in_a_name_is_exported_as_text(course, home, first):
    formula = f'{first}HYPERLINK("http://x","y"), z'
    with book(course) as gradebook:
        gradebook.update_or_create_student(
            f"{first}ivy", first_name=formula, last_name="Doe, Ivy", email=formula
        )
    nbgrader("export", "--to=grades.csv", cwd=course, home=home)

    with open(course / "grades.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    [row] = [row for row in rows if row["student_id"] == f"'{first}ivy"]
    assert (row["first_name"], row["email"]) == (f"'{formula}", f"'{formula}")
    assert row["last_name"] == "Doe, Ivy"
    assert row["score"] == "0.0"
    with book(course) as gradebook:
        gradebook.remove_student(f"{first}ivy")


def test_case_32_a_submission_not_graded_yet_has_no_score(course, home):
    hand_in(course, "jon")
    with book(course) as gradebook:
        gradebook.update_or_create_student("jon")
    nbgrader("export", "--to=grades.csv", cwd=course, home=home)

    with open(course / "grades.csv", newline="") as file:
        [row] = [row for row in csv.DictReader(file) if row["student_id"] == "jon"]
    assert (row["score"], row["max_score"]) == ("", "10.5")


# -- jobs


def test_case_41_two_workers_deliver_the_same_job(course):
    hand_in(course, "kim")
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=record, args=(course, "squares", "kim"))
        for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)

    assert [worker.exitcode for worker in workers] == [0, 0]
    assert scores(course, "kim") == FULL
    with book(course) as gradebook:
        assert len(gradebook.student_submissions("kim")) == 1


def test_case_42_a_submission_replaced_while_it_is_graded(
    course, monkeypatch, tmp_path
):
    folder = hand_in(course, "leo", total="0")
    first = take_in(folder, tmp_path / "first", wanted=WANTED).digest
    grade_all = autograde.grade_all

    def replaced_meanwhile(jobs, workers):
        hand_in(course, "leo")
        yield from grade_all(jobs, workers=workers)

    with monkeypatch.context() as patch:
        patch.setattr(autograde, "grade_all", replaced_meanwhile)
        record(course, "squares", "leo")

    verdict = Verdict.read(verdict_path(course, "squares", "leo"))
    assert verdict.submission == first
    assert scores(course, "leo") == FULL | {"squares-total": 0}
    kept = course / "autograded/leo/squares/total.txt"
    assert kept.read_text() == "0", "what is shown is what was graded"

    record(course, "squares", "leo")
    assert scores(course, "leo") == FULL
    assert kept.read_text() == "14\n"


def test_case_42_a_refused_submission_replaced_while_it_is_graded(course, monkeypatch):
    folder = hand_in(course, "mia")
    (folder / "total.txt").unlink()
    (folder / "total.txt").symlink_to("/etc/passwd")
    with pytest.raises(LearnerError):
        take_in(folder, course / "never", wanted=WANTED)
    grade_all = autograde.grade_all

    def replaced_meanwhile(jobs, workers):
        hand_in(course, "mia")
        yield from grade_all(jobs, workers=workers)

    monkeypatch.setattr(autograde, "grade_all", replaced_meanwhile)
    record(course, "squares", "mia")

    assert scores(course, "mia") == FULL
    assert (course / "autograded/mia/squares/total.txt").read_text() == "14\n"


def test_case_40_nothing_is_left_of_a_recording_that_failed(course, monkeypatch):
    def full_disk(self, *arguments):
        raise OSError(28, "No space left on device")

    hand_in(course, "ned")
    with monkeypatch.context() as patch:
        patch.setattr(autograde.JudgedAutograde, "set_permissions", full_disk)
        with pytest.raises(autograde.NotAllGraded, match="No space left"):
            record(course, "squares", "ned")
    with book(course) as gradebook:
        assert not gradebook.student_submissions("ned")
    assert not Path(course / "autograded/ned/squares").exists()

    record(course, "squares", "ned")
    assert scores(course, "ned") == FULL
