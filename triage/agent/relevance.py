"""Questions whose answers are known, and at which place a search finds them."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from triage.agent.chunks import RUNBOOKS
from triage.agent.retrieval import Hit

QUESTIONS = RUNBOOKS / "questions.jsonl"
NO_ANSWER = "no answer"


@dataclass(frozen=True)
class Question:
    """What somebody asks. `answer` is the runbook's own wording; empty if no runbook has one."""

    set: str
    """first, on which everything was chosen, or second, kept aside to judge the choice."""
    question: str
    kind: str
    """same words, paraphrase, code or no answer."""
    document: str = ""
    section: str = ""
    answer: str = ""


def questions(path: Path = QUESTIONS) -> list[Question]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [Question(**json.loads(line)) for line in lines]


# region place
def place(question: Question, hits: list[Hit]) -> float:
    """Where, from 1, the first passage with the answer stands; infinite if nowhere."""
    for at, hit in enumerate(hits, start=1):
        if question.answer and question.answer in hit.text:
            return at
    return np.inf


# endregion place
