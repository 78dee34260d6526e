"""Verdicts in nbgrader's gradebook: right, once, and without anybody else's trouble."""

import multiprocessing
import shutil
import sqlite3

import nbformat
import pytest
from classrooms import COURSES, SQUARES, hand_in, nbgrader
from nbgrader.api import Gradebook, MissingEntry

from autograder import autograde, classroom
from autograder.errors import InfrastructureError
from autograder.gradebook import NotACourse, record, verdict_path
from autograder.verdict import Verdict

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("gradebook")]


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
    return shared_course


@pytest.fixture
def course_of(tmp_path, monkeypatch):
    """Makes a course of the assignment after `edit` changed its files."""

    def make(edit):
        shutil.copytree(COURSES, tmp_path / "courses")
        edit(tmp_path / "courses" / SQUARES.name)
        monkeypatch.setenv("PIVOT_ASSIGNMENTS", str(tmp_path / "courses"))
        classroom.make(tmp_path / "course")
        return tmp_path / "course"

    return make


def book(course):
    return Gradebook(f"sqlite:///{course}/gradebook.db", "the-pivot")


def scores(course, learner):
    with book(course) as gradebook:
        notebook = gradebook.find_submission_notebook("squares", "squares", learner)
        return {grade.name: grade.auto_score for grade in notebook.grades}


def autograded(course, learner):
    return course / "autograded" / learner / "squares" / "squares.ipynb"


def outputs(course, learner):
    notebook = nbformat.read(autograded(course, learner), as_version=4)
    return [cell.outputs for cell in notebook.cells if cell.get("outputs")]


def stamp(path):
    status = path.stat()
    return status.st_ino, status.st_mtime_ns


def content(course):
    with sqlite3.connect(course / "gradebook.db") as database:
        return list(database.iterdump())


def not_again(jobs, workers):
    pytest.fail("it was graded again")


FULL = {"squares-written": 2, "squares-total": 3, "squares-any": 1.5, "why": 0}


def test_the_points_of_each_check_arrive(course):
    hand_in(course, "ada")
    record(course, "squares", "ada")

    assert scores(course, "ada") == FULL
    with book(course) as gradebook:
        submission = gradebook.find_submission("squares", "ada")
        assert (submission.score, submission.max_score) == (6.5, 10.5)


def test_part_of_the_points_arrives_and_so_does_none(course):
    hand_in(course, "bob", total="-14", squares="{}")
    record(course, "squares", "bob")

    assert scores(course, "bob") == {
        "squares-written": 0,
        "squares-total": 1,
        "squares-any": 0,
        "why": 0,
    }


def test_the_learner_reads_what_was_seen_and_what_to_try(course):
    hand_in(course, "cid", total="-14")
    record(course, "squares", "cid")

    shown = autograded(course, "cid").read_text()
    assert "You wrote -14." in shown
    assert "Look at the sign." in shown
    assert "The square of a number drawn is right." in shown
    verdict = Verdict.read(verdict_path(course, "squares", "cid"))
    assert verdict.checks[-1].evidence["drawn"]
    assert "drawn&quot;" not in shown
    assert str(verdict.seed) not in shown


def test_recording_twice_changes_nothing(course):
    hand_in(course, "dan")
    record(course, "squares", "dan")
    with book(course) as gradebook:  # an instructor reads and grades the explanation
        grade = gradebook.find_grade("why", "squares", "squares", "dan")
        grade.manual_score, grade.needs_manual_grade = 3, False
        gradebook.db.commit()
    before = content(course), stamp(autograded(course, "dan"))

    record(course, "squares", "dan")

    assert (content(course), stamp(autograded(course, "dan"))) == before


def test_a_new_submission_is_graded_anew_and_keeps_what_was_graded_by_hand(course):
    hand_in(course, "eve", total="-14")
    record(course, "squares", "eve")
    before = Verdict.read(verdict_path(course, "squares", "eve"))
    with book(course) as gradebook:
        grade = gradebook.find_grade("why", "squares", "squares", "eve")
        grade.manual_score, grade.needs_manual_grade = 3, False
        gradebook.db.commit()

    hand_in(course, "eve")
    record(course, "squares", "eve")

    assert scores(course, "eve") == FULL
    after = Verdict.read(verdict_path(course, "squares", "eve"))
    assert after.submission != before.submission
    with book(course) as gradebook:
        grade = gradebook.find_grade("why", "squares", "squares", "eve")
        assert (grade.score, grade.needs_manual_grade) == (3, True)


def test_a_verdict_at_hand_is_used_as_it_stands(course, monkeypatch):
    hand_in(course, "flo")
    record(course, "squares", "flo")
    verdict = verdict_path(course, "squares", "flo")
    written = stamp(verdict)
    shutil.rmtree(autograded(course, "flo").parent)

    monkeypatch.setattr(autograde, "grade_all", not_again)
    record(course, "squares", "flo")

    assert stamp(verdict) == written
    assert scores(course, "flo") == FULL


def test_a_folder_that_cannot_be_taken_in_scores_zero_and_says_why(course, monkeypatch):
    folder = hand_in(course, "gil")
    (folder / "squares.json").unlink()
    (folder / "squares.json").symlink_to("/etc/passwd")
    record(course, "squares", "gil")

    assert set(scores(course, "gil").values()) == {0}
    shown = [output[0].data["text/html"] for output in outputs(course, "gil")]
    assert len(shown) == 3
    database = content(course)
    monkeypatch.setattr(autograde, "grade_all", not_again)
    record(course, "squares", "gil")
    assert content(course) == database
    assert all("is a symbolic link" in html for html in shown)
    kept = autograded(course, "gil").parent
    assert all("root:" not in path.read_text() for path in kept.iterdir())


@pytest.mark.parametrize("content", ["{", '{"cells": 7}', "\0", None])
def test_without_a_readable_notebook_the_files_are_graded_all_the_same(course, content):
    folder = hand_in(course, "hal")
    (folder / "squares.ipynb").unlink()
    if content is not None:
        (folder / "squares.ipynb").write_text(content)
    record(course, "squares", "hal")

    assert scores(course, "hal") == FULL


def test_the_answer_of_a_learner_waits_for_a_person(course, tmp_path):
    notebook = nbformat.read(course / "release/squares/squares.ipynb", as_version=4)
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("grade_id") == "why":
            cell.source = "Because each is the sum of odd numbers."
    nbformat.write(notebook, tmp_path / "squares.ipynb")
    hand_in(course, "ian", notebook=tmp_path / "squares.ipynb")
    record(course, "squares", "ian")

    assert "sum of odd numbers" in autograded(course, "ian").read_text()
    with book(course) as gradebook:
        grade = gradebook.find_grade("why", "squares", "squares", "ian")
        assert grade.auto_score is None
        assert grade.needs_manual_grade


def fill_the_disk(folder):
    """Some submissions meet a machine without space."""
    path = folder / "checks.py"
    text = path.read_text().replace(
        "    if table(work):",
        "    if table(work).get('1') == 'full':\n"
        "        raise InfrastructureError('The disk is full.')\n"
        "    if table(work):",
    )
    path.write_text(
        text.replace("import LearnerError", "import InfrastructureError, LearnerError")
    )


def test_a_failure_of_the_machine_is_not_recorded(course_of):
    course = course_of(fill_the_disk)
    hand_in(course, "jim", squares='{"1": "full"}')
    with pytest.raises(InfrastructureError, match="jim was not graded: The disk is"):
        record(course, "squares", "jim")

    with book(course) as gradebook, pytest.raises(MissingEntry):
        gradebook.find_submission("squares", "jim")
    assert not (course / "autograded/jim/squares").exists()
    assert [path.name for path in course.glob(".taken-in*")] == []


def test_nbgrader_says_who_could_not_be_graded_and_grades_the_others(
    course_of, tmp_path
):
    course = course_of(fill_the_disk)
    hand_in(course, "jan", squares='{"1": "full"}')
    hand_in(course, "kay")
    home = tmp_path / "home"
    done = nbgrader("autograde", "squares", cwd=course, home=home, status=1)

    assert "jan was not graded: The disk is full." in done.stderr
    assert "Traceback" not in done.stderr
    assert scores(course, "kay") == FULL
    assert not (course / "autograded/jan/squares").exists()


def test_checks_that_were_not_released_are_no_grade(course_of):
    course = course_of(lambda folder: None)
    hand_in(course, "kim")
    released = course / "release/squares/squares.ipynb"
    text = released.read_text()
    assert '"points": 3' in text
    released.write_text(text.replace('"points": 3', '"points": 2'))

    with pytest.raises(InfrastructureError, match="autograder release squares"):
        record(course, "squares", "kim")

    with book(course) as gradebook, pytest.raises(MissingEntry):
        gradebook.find_submission("squares", "kim")
    assert not (course / "autograded/kim/squares").exists()


def test_two_processes_record_at_once(course):
    learners = ["lea", "max"]
    for learner in learners:
        hand_in(course, learner)
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=record, args=(course, "squares", learner))
        for learner in learners
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)

    assert [process.exitcode for process in processes] == [0, 0]
    assert [scores(course, learner) for learner in learners] == [FULL, FULL]


def test_who_handed_in_nothing_is_named(course):
    with pytest.raises(InfrastructureError, match=r"no .*submitted/nobody/squares"):
        record(course, "squares", "nobody")


def test_a_folder_that_is_no_course_is_refused(tmp_path):
    with pytest.raises(NotACourse, match="make classroom"):
        record(tmp_path, "squares", "ada")
