"""Watching a model in production: what comes in, what goes out, and what becomes of it."""
