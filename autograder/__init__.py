"""The judge: it runs a learner's work from outside and says what it saw."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autograder.learner import Shown

# nbformat imports jsonschema, which would spend a second building a grammar of internationalised addresses
# with this. It does without where the import fails, and no notebook has such addresses checked.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]


def check(id: str) -> "Shown":
    """What a notebook's check cells call: `check("serve/ready")` judges the files in the current folder."""
    from autograder import learner  # imported late: the judge's parts need no learner

    return learner.check(id)
