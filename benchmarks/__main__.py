"""Run every benchmark and write its result where the book reads it. `--json` prints one object a line."""

import sys

from benchmarks import accuracy, containers, forgery, grading

for benchmark in (accuracy, grading, forgery, containers):
    benchmark.main(sys.argv[1:])
