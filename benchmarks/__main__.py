"""Run every benchmark and write its result where the book reads it."""

from benchmarks import accuracy

accuracy.main()
