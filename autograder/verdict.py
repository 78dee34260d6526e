"""The verdict on one submission, as JSON on disk. Exactly one of three things can be said of it."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from triage.files import write_atomically

Status = Literal["graded", "learner-error", "infrastructure-error"]


class CheckResult(BaseModel):
    """`evidence` is for the instructor: it may hold a hidden check's inputs. The rest is for the learner."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    title: str
    hidden: bool
    points: float
    max_points: float
    seen: str
    advice: str = ""
    evidence: dict[str, Any] = {}
    seconds: float = 0.0


class Verdict(BaseModel):
    """What the judge says of a submission.

    graded               every check ran, or was passed over because one it needs failed
    learner-error        the submission could not be taken in: no points, and `message` says why
    infrastructure-error the machine failed: nothing is said about the work; grade it again
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: Status
    assignment: str
    learner: str
    message: str = ""
    points: float
    max_points: float
    checks: list[CheckResult] = []
    notes: list[str] = []
    submission: str = ""  # sha256 of what was graded
    judge: str = ""  # sha256 of the checks that graded it
    seed: int = 0  # the hidden inputs come from it
    image: str = ""
    versions: dict[str, str] = {}
    seconds: float = 0.0

    def write(self, path: Path) -> None:
        """Whole or not at all, whatever kills the judge meanwhile. Raises TriageError if the disk refuses."""
        write_atomically(path, (self.model_dump_json(indent=2) + "\n").encode())

    @classmethod
    def read(cls, path: Path) -> "Verdict":
        """Raises OSError, or ValueError if the file is not a verdict."""
        return cls.model_validate_json(path.read_bytes())
