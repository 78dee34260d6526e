"""The one exception the command line and the service turn into a sentence for people."""


class TriageError(Exception):
    """Something the caller can mend. The message says what is wrong and what to do next."""
