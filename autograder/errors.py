"""Whose fault it is. A grader that confuses the two takes points for a full disk."""


class LearnerError(Exception):
    """The submission is at fault: one sentence on what was seen, one on what to try next."""

    def __init__(self, seen: str, advice: str):
        super().__init__(f"{seen} {advice}")
        self.seen = seen
        self.advice = advice


class InfrastructureError(Exception):
    """The machine, or the judge itself, is at fault. It never costs the learner points."""


class UsageError(ValueError):
    """The caller asked for something that cannot be done; the message says what to do instead."""
