"""Fixtures for tests that need a container engine."""

from engines import context, engine

__all__ = ["context", "engine"]
