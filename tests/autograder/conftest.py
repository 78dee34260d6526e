"""Fixtures of the judge's tests."""

from small_assignment import hand_in, notes

__all__ = ["hand_in", "notes"]
