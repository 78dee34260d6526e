"""Releasing a model: in shadow, to a few, to everybody, and back."""
