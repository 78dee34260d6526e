"""The model behind HTTP: a contract, limits, readiness, metrics, and a clean way to stop."""
