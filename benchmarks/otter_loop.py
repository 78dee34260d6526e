"""Runs in otter-grader's environment: grade notebooks one after the other in this process."""

import json
import sys
from pathlib import Path

from otter.api import grade_submission

autograder, *notebooks = sys.argv[1:]
points = {
    Path(path).stem: grade_submission(path, autograder, quiet=True).total
    for path in notebooks
}
print(json.dumps(points))
