"""Every performance figure the project states, as a command: `make bench`, or `python -m benchmarks.NAME`."""
