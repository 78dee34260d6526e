"""The learner's command line and the self-checks of the pages."""
