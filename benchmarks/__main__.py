"""Run every benchmark and write its result where the book reads it. `--json` prints one object a line."""

import sys

from benchmarks import accuracy, containers, forgery, grading, serving

for benchmark in (accuracy, grading, forgery, containers, serving):
    benchmark.main(sys.argv[1:])
