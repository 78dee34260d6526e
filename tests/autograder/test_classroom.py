"""A whole term with nbgrader, from the course folder to the learner's feedback and the exported grades."""

import csv
import shutil
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from classrooms import (
    COURSES,
    REFERENCE,
    SQUARES,
    formgrader,
    hand_in,
    nbgrader,
    submitted_notebook,
)
from nbgrader.api import Gradebook

from autograder import assignments, classroom
from autograder.assign import released_notebook
from autograder.gradebook import record

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("classroom")]
RELEASED = {"squares.ipynb", "squares.json", "numbers.json", "README.md"}


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
    return shared_course


def book(course):
    return Gradebook(f"sqlite:///{course}/gradebook.db", "the-pivot")


def files(folder):
    return {
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()
    }


def solve(folder, answer="Each square is a sum of odd numbers."):
    """What a learner does: write the files, the function and an explanation."""
    for path in (REFERENCE / "squares.json", REFERENCE / "total.txt"):
        shutil.copy(path, folder)
    notebook = nbformat.read(folder / "squares.ipynb", as_version=4)
    for cell in notebook.cells:
        match cell.metadata.get("nbgrader", {}).get("grade_id"):
            case "answer-1":
                cell.source = "def square(number):\n    return number * number"
            case "why":
                cell.source = answer
    nbformat.write(notebook, folder / "squares.ipynb")


def test_the_release_holds_what_learners_get_and_nothing_else(course):
    assert files(course / "release") == {f"squares/{name}" for name in RELEASED}


def test_nothing_secret_is_released(course):
    released = "\n".join(
        path.read_text() for path in (course / "release").rglob("*") if path.is_file()
    )
    for line in secrets_of(SQUARES):
        assert line not in released


def secrets_of(assignment):
    """Lines of the hidden checks, the solutions and the reference that could only come from there."""
    notebook = (assignment / "notebook.md").read_text()
    solution = notebook.split("### BEGIN SOLUTION")[1].split("### END SOLUTION")[0]
    answer = notebook.split('"grade_id": "why"')[1].split("\n", 1)[1]
    hidden = (assignment / "hidden.py").read_text()
    lines = [
        line.strip()
        for text in (solution, answer, hidden)
        for line in text.splitlines()
        if len(line.strip()) > 12
    ]
    assert any("secretly_drawn" in line for line in lines)
    assert any("number**2" in line for line in lines)
    return lines


def test_nbgrader_releases_exactly_the_notebook_that_the_judge_expects(course):
    released = nbformat.read(course / "release/squares/squares.ipynb", as_version=4)

    assignment = assignments.load(assignments.find("squares"))
    assert released == released_notebook(assignment)


def test_making_it_again_keeps_submissions_grades_and_settings(course):
    hand_in(course, "nia")
    with book(course) as gradebook:
        gradebook.update_or_create_student("nia", first_name="Nia")
    settings = course / "nbgrader_config.py"
    settings.write_text(settings.read_text() + "\n# late work is welcome\n")
    before = files(course / "submitted")

    assert classroom.make(course) == ["squares"]

    assert files(course / "submitted") == before
    assert "late work" in settings.read_text()
    with book(course) as gradebook:
        assert gradebook.find_student("nia").first_name == "Nia"


def test_it_says_what_to_do_next(course, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["classroom", str(course)])
    classroom.main()

    said = capsys.readouterr().out
    for part in (f"autograder grade --course {course}", "jupyter lab", "Formgrader"):
        assert part in said


def test_a_cell_taken_away_after_submissions_came_is_refused(
    course, tmp_path, monkeypatch
):
    shutil.copytree(COURSES, tmp_path / "courses")
    checks = tmp_path / "courses" / SQUARES.name / "hidden.py"
    hand_in(course, "oda")
    with book(course) as gradebook:
        gradebook.update_or_create_student("oda")
        gradebook.update_or_create_submission("squares", "oda")
    checks.unlink()
    monkeypatch.setenv("PIVOT_ASSIGNMENTS", str(tmp_path / "courses"))

    with pytest.raises(classroom.NotReleasable, match="Cannot add or remove cells"):
        classroom.release(course, ["squares"])

    with book(course) as gradebook:
        gradebook.remove_submission("squares", "oda")
    shutil.rmtree(course / "submitted/oda")
    monkeypatch.setenv("PIVOT_ASSIGNMENTS", str(COURSES))
    classroom.release(course, ["squares"])


def test_a_whole_term(course, home, tmp_path):
    shutil.rmtree(course / "submitted")
    (course / "submitted").mkdir()
    exchange = [f"--Exchange.root={course}/exchange", "--course=the-pivot"]
    learner = tmp_path / "pia"
    learner.mkdir()
    mine = {"cwd": learner, "home": tmp_path}
    ours = {"cwd": course, "home": home}

    nbgrader("generate_assignment", "squares", "--force", **ours)
    nbgrader("release_assignment", "squares", **ours)
    nbgrader("fetch_assignment", "squares", *exchange, **mine)
    assert files(learner / "squares") == RELEASED
    solve(learner / "squares")
    nbgrader("submit", "squares", "--student=pia", *exchange, **mine)
    nbgrader("collect", "squares", **ours)
    nbgrader("autograde", "squares", **ours)

    with book(course) as gradebook:
        submission = gradebook.find_submission("squares", "pia")
        assert (submission.score, submission.needs_manual_grade) == (6.5, True)
        assert submission.timestamp
        grade = gradebook.find_grade("why", "squares", "squares", "pia")
        grade.manual_score, grade.needs_manual_grade = 3.5, False
        comment = gradebook.find_comment("why", "squares", "squares", "pia")
        comment.manual_comment = "Now say it in one sentence."
        gradebook.db.commit()

    nbgrader("generate_feedback", "squares", **ours)
    nbgrader("release_feedback", "squares", **ours)
    nbgrader("fetch_feedback", "squares", "--student=pia", *exchange, **mine)
    [feedback] = learner.rglob("feedback/*/squares.html")
    said = BeautifulSoup(feedback.read_text(), "html.parser").get_text()
    for part in (
        "Score: 10.0 / 10.5",
        "The total is 14.",
        "The square of a number drawn is right.",
        "Now say it in one sentence.",
    ):
        assert part in said
    for line in secrets_of(SQUARES):
        assert line not in feedback.read_text()
    nbgrader("export", **ours)
    with open(course / "grades.csv", newline="") as file:
        [row] = [row for row in csv.DictReader(file) if row["student_id"] == "pia"]
    assert (row["score"], row["max_score"]) == ("10.0", "10.5")


def test_one_broken_submission_stops_nobody_elses_grading(course, home):
    shutil.rmtree(course / "submitted")
    broken = hand_in(course, "broken")
    (broken / "squares.ipynb").write_text('{"cells": [')
    doubled = hand_in(course, "doubled")
    notebook = nbformat.read(doubled / "squares.ipynb", as_version=4)
    notebook.cells += notebook.cells
    nbformat.write(notebook, doubled / "squares.ipynb")
    (course / "submitted/empty/squares").mkdir(parents=True)
    (hand_in(course, "renamed") / "squares.ipynb").rename(
        course / "submitted/renamed/squares/my squares.ipynb"
    )
    hand_in(course, "sound")

    nbgrader("autograde", "squares", cwd=course, home=home)

    with book(course) as gradebook:
        scores = {
            name: gradebook.find_submission("squares", name).score
            for name in ("broken", "doubled", "empty", "renamed", "sound")
        }
    assert scores == {
        "broken": 6.5,
        "doubled": 6.5,
        "empty": 0,
        "renamed": 6.5,
        "sound": 6.5,
    }


def test_formgraders_autograde_button(course, home):
    shutil.rmtree(course / "submitted")
    hand_in(course, "quin", total="-14")

    with formgrader(course, home) as client:
        waiting = client.get("api/submission/squares/quin").json()
        pressed = client.post("api/submission/squares/quin/autograde").json()
        graded = client.get("api/submission/squares/quin").json()
        notebook = submitted_notebook(client, "quin")
        page = client.get(f"submissions/{notebook['id']}/").text
        again = client.post("api/submission/squares/quin/autograde").json()

    assert not waiting["autograded"]
    assert pressed["success"], pressed
    assert again["success"], again
    assert (graded["autograded"], graded["code_score"]) == (True, 4.5)
    assert "You wrote -14." in page


@pytest.fixture(scope="module")
def whole_course(tmp_path_factory):
    """The project's own assignments, released."""
    course = tmp_path_factory.mktemp("whole")
    classroom.make(course)
    return course


def test_every_assignment_of_the_project_is_released_with_its_files(whole_course):
    assert assignments.names()
    for name, folder in assignments.names().items():
        assignment = assignments.load(folder)
        starter = files(folder / "starter")
        given = {Path(path).name for path in assignment.given}
        expected = {"README.md", assignment.notebook} | starter | given
        assert files(whole_course / "release" / name) == expected


def test_no_three_lines_of_a_solution_or_a_hidden_check_are_released(whole_course):
    for name, folder in assignments.names().items():
        released = triples(whole_course / "release" / name)
        handed_out = triples(folder / "starter")
        for secret in (folder / "hidden.py", folder / "submissions/reference"):
            leaked = (triples(secret) & released) - handed_out
            assert triples(secret)
            assert not leaked


def triples(path):
    """All runs of three lines in the text files at or under `path`, and in the cells of notebooks."""
    found = set()
    for file in [path] if path.is_file() else path.rglob("*"):
        if file.suffix == ".ipynb":
            cells = nbformat.read(file, as_version=4).cells
            text = "\n".join(cell.source for cell in cells)
        elif file.suffix in (".py", ".md", ".txt", "") and file.is_file():
            text = file.read_text()
        else:
            continue
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        found |= set(zip(lines, lines[1:], lines[2:], strict=False))
    return found


@pytest.mark.needs("bubblewrap")
def test_a_real_submission_gets_its_points(whole_course):
    folder = assignments.find("serve")
    submitted = whole_course / "submitted/rae/serve"
    shutil.copytree(whole_course / "release/serve", submitted)
    shutil.copy(folder / "submissions/reference/service.py", submitted)
    record(whole_course, "serve", "rae")

    with book(whole_course) as gradebook:
        assert gradebook.find_submission("serve", "rae").score == 20
