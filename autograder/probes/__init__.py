"""How the judge reaches a learner's work: from outside, never by running it in its own process."""
