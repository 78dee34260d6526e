"""The judge: it runs a learner's work from outside and says what it saw."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autograder.learner import Shown


def check(id: str) -> "Shown":
    """What a notebook's check cells call: `check("serve/ready")` judges the files in the current folder."""
    from autograder import learner  # imported late: the judge's parts need no learner

    return learner.check(id)
