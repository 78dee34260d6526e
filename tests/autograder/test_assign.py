"""From an assignment's folder to the notebook and files that learners get."""

import shutil

import nbformat
import pytest
from classrooms import COURSES, SQUARES

from autograder import assignments
from autograder.assign import (
    NotReleasable,
    released_notebook,
    source_notebook,
    write_source,
)


@pytest.fixture
def squares(tmp_path):
    """Loads a copy of the assignment after `edit` changed its files."""

    def load(edit=lambda folder: None):
        shutil.copytree(COURSES, tmp_path / "courses")
        folder = tmp_path / "courses" / SQUARES.name
        edit(folder)
        return assignments.load(folder)

    return load


def rewrite(old, new):
    def edit(folder):
        path = folder / "notebook.md"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return edit


def cell(notebook, grade_id):
    found = [
        cell
        for cell in notebook.cells
        if cell.metadata.get("nbgrader", {}).get("grade_id") == grade_id
    ]
    assert len(found) == 1
    return found[0]


def test_each_check_is_a_locked_grade_cell_worth_its_points(squares):
    notebook = source_notebook(squares())

    for grade_id, points in [("squares-written", 2), ("squares-total", 3)]:
        assert cell(notebook, grade_id).metadata["nbgrader"] == {
            "schema_version": 3,
            "grade": True,
            "locked": True,
            "solution": False,
            "task": False,
            "grade_id": grade_id,
            "points": points,
        }


def test_a_hidden_check_gets_its_cell_at_the_end(squares):
    last = source_notebook(squares()).cells[-1]

    assert last.source == 'check("squares/any")'
    assert last.metadata["nbgrader"]["points"] == 1.5


def test_a_hidden_check_that_the_notebook_places_stays_there(squares):
    both = (
        'check("squares/any")\n```\n\n```{code-cell} ipython3\ncheck("squares/total")'
    )
    notebook = source_notebook(squares(rewrite('check("squares/total")', both)))

    checks = [cell.source for cell in notebook.cells if "check(" in cell.source]
    assert checks == [
        'check("squares/written")',
        'check("squares/any")',
        'check("squares/total")',
    ]


def test_cells_graded_by_hand_keep_their_metadata(squares):
    about = cell(source_notebook(squares()), "why").metadata["nbgrader"]

    assert (about["grade"], about["solution"], about["points"]) == (True, True, 4)


def test_learners_get_no_solution_and_no_output(squares):
    notebook = released_notebook(squares())

    assert "number**2" not in nbformat.writes(notebook)
    assert "explanation" not in nbformat.writes(notebook)
    assert "YOUR CODE HERE" in cell(notebook, "answer-1").source


def test_it_is_the_same_notebook_each_time(squares):
    assignment = squares()

    assert released_notebook(assignment) == released_notebook(assignment)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('check("squares/total")', "total = 1", "has no cell for the check"),
        ("squares/total", "squares/totals", "squares/totals, which is not defined"),
        ("squares/total", "squares/written", "two cells for the check squares/written"),
        (
            'check("squares/total")',
            'total = 1\ncheck("squares/total")',
            "among other things",
        ),
        ('"why"', '"squares-total"', "two cells with the grade_id squares-total"),
        ("### END SOLUTION", "", "no end solution statement"),
        ('"grade_id": "why"', '"grade_id": ""', "grade_id is empty"),
    ],
)
def test_a_notebook_that_does_not_fit_its_checks_is_refused(
    squares, old, new, complaint
):
    with pytest.raises(NotReleasable, match=complaint):
        released_notebook(squares(rewrite(old, new)))


def test_without_a_notebook_it_says_so(squares):
    with pytest.raises(NotReleasable, match="cannot be read"):
        source_notebook(squares(lambda folder: (folder / "notebook.md").unlink()))


@pytest.mark.parametrize(
    ("edit", "complaint"),
    [
        (lambda folder: (folder / "README.md").unlink(), "does not exist"),
        (lambda folder: (folder / "starter/b.ipynb").touch(), "second notebook"),
        (lambda folder: (folder / "starter/numbers.json").touch(), "2 files called"),
    ],
)
def test_files_that_do_not_fit_together_are_refused(squares, tmp_path, edit, complaint):
    with pytest.raises(NotReleasable, match=complaint):
        write_source(squares(edit), tmp_path / "source")
    assert not (tmp_path / "source").exists()


def test_the_source_holds_what_learners_get_and_nothing_else(squares, tmp_path):
    def leave_traces(folder):
        (folder / "starter/__pycache__").mkdir()
        (folder / "starter/data").mkdir()
        (folder / "starter/data/more.csv").touch()

    assignment = squares(leave_traces)
    (tmp_path / "source").mkdir()
    (tmp_path / "source/from-before.txt").touch()
    write_source(assignment, tmp_path / "source")

    found = {
        str(path.relative_to(tmp_path / "source"))
        for path in (tmp_path / "source").rglob("*")
        if path.is_file()
    }
    assert found == {
        "squares.ipynb",
        "squares.json",
        "numbers.json",
        "README.md",
        "data/more.csv",
    }
    assert nbformat.read(tmp_path / "source/squares.ipynb", 4) == source_notebook(
        assignment
    )


def test_a_refusal_leaves_the_source_as_it_was(squares, tmp_path):
    assignment = squares(rewrite("squares/total", "squares/totals"))
    (tmp_path / "source").mkdir()
    (tmp_path / "source/from-before.txt").touch()

    with pytest.raises(NotReleasable):
        write_source(assignment, tmp_path / "source")
    assert [path.name for path in (tmp_path / "source").iterdir()] == [
        "from-before.txt"
    ]
