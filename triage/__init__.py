"""Message triage for a support desk: a message in, an intent and a confidence out."""

import os

# Read by PyTorch's threads when it is imported. By default they spin while they wait for
# each other, which on shared cores (a container, CI, a busy laptop) costs ten times the time.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Read by ONNX Runtime when it is imported. From 1.29 on it reports to its maker otherwise.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
