"""What the judge knows of the given model, and messages to ask it; for every assignment that hands it out.

All of it is the judge's own copy, in the judge's own process.
"""

import csv
import hashlib
import importlib.util
import io
import sys
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import ModuleType
from typing import Any

GIVEN = Path(__file__).resolve().parent.parent / "given"
WEIGHTS = GIVEN / "model.safetensors"


@cache
def model_module() -> ModuleType:
    """model.py, imported."""
    spec = importlib.util.spec_from_file_location("given_model", GIVEN / "model.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["given_model"] = module  # dataclasses look their module up by name
    spec.loader.exec_module(module)
    return module


@cache
def model() -> Any:
    return model_module().load(WEIGHTS)


@cache
def model_digest() -> str:
    return hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()


def intents(messages: list[str]) -> list[str]:
    """The right answers: one intent a message."""
    return [prediction.intent for prediction in model().predict(messages)]


@cache
def tickets() -> list[str]:
    """Messages of the embedded data set's test split."""
    table = (files("triage") / "tickets" / "test.csv").read_text("utf-8")
    return [row["text"] for row in csv.DictReader(io.StringIO(table))]
