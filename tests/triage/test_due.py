"""When to train again."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import mlflow
import numpy as np
import pytest

from triage import due, registry, snapshots
from triage.data import Dataset
from triage.encoder import Encoder
from triage.errors import TriageError
from triage.evaluate import evaluate
from triage.model import TriageModel


@pytest.fixture(scope="module")
def desk(
    blank_database: Path,
    small: Dataset,
    encoder: Encoder,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A folder with the data, their snapshot, and a registry whose champion learnt from them."""
    folder = tmp_path_factory.mktemp("desk")
    uri = f"sqlite:///{shutil.copy(blank_database, folder)}"
    (folder / "data").mkdir()
    for split in ("train", "test"):
        getattr(small, split).to_csv(folder / "data" / f"{split}.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRIAGE_HOME", str(folder))
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        kept = snapshots.read(str(snapshots.take(folder / "data")))
        model = TriageModel.fit(kept, encoder)
        model.save(folder / "model.safetensors")
        report = evaluate(model, small.test)
        registry.register(folder / "model.safetensors", report, "champion")
    return folder


@pytest.fixture(autouse=True)
def at_the_desk(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIAGE_HOME", str(desk))
    monkeypatch.setenv("TRIAGE_DATA", str(desk / "data"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{desk}/mlflow.db")


@pytest.mark.slow
def test_nothing_speaks_for_a_retraining_at_first() -> None:
    assert due.reasons_to_retrain() == []


@pytest.mark.slow
def test_age_is_a_reason() -> None:
    later = datetime.now(UTC) + timedelta(days=31)
    assert due.reasons_to_retrain(now=later) == ["age: the champion is 31 days old"]
    assert due.reasons_to_retrain(days=32, now=later) == []


@pytest.mark.slow
def test_other_data_are_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRIAGE_DATA")  # the embedded tickets
    [reason] = due.reasons_to_retrain()
    assert reason.startswith("data: it learnt from ")


@pytest.mark.slow
def test_messages_the_champion_does_not_understand_are_a_reason(
    tickets: Dataset, small: Dataset
) -> None:
    strange = tickets.test[~tickets.test["category"].isin(small.intents)]["text"]
    [reason] = due.reasons_to_retrain(strange.tolist())
    assert reason.startswith("messages: ")
    assert due.reasons_to_retrain(small.test["text"].tolist()) == []


@pytest.mark.slow
def test_without_its_data_nothing_is_said_about_recent_messages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIAGE_HOME", str(tmp_path))
    with pytest.raises(TriageError, match="not kept here"):
        due.reasons_to_retrain(["Where is my tent?"])


@pytest.mark.slow
def test_age_counts_from_the_last_time_it_was_confirmed() -> None:
    client = registry.connect()
    later = datetime.now(UTC) + timedelta(days=31)
    client.set_model_version_tag(registry.NAME, "1", "confirmed_at", later.isoformat())
    try:
        assert due.reasons_to_retrain(now=later) == []
    finally:
        client.delete_model_version_tag(registry.NAME, "1", "confirmed_at")


def test_an_inbox_may_be_empty_and_must_be_one(tmp_path: Path) -> None:
    inbox = tmp_path / "inbox.csv"
    inbox.write_text("id,text\n1,Where is it?\n2,\n")
    assert due.read_messages(inbox) == ["Where is it?"]
    inbox.write_text("id,text\n")
    assert due.read_messages(inbox) == []
    for content in (b"id,message\n1,x\n", b"", b"text\n\xff\n"):
        inbox.write_bytes(content)
        with pytest.raises(TriageError):
            due.read_messages(inbox)
    with pytest.raises(TriageError, match="Cannot read messages"):
        due.read_messages(tmp_path / "absent.csv")


@pytest.mark.slow
def test_no_champion_is_a_reason(
    blank_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"sqlite:///{shutil.copy(blank_database, tmp_path)}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert due.reasons_to_retrain() == ["there is no champion yet"]
    assert mlflow.MlflowClient(uri).search_registered_models() == []


def test_confidences_from_one_source_alarm_as_rarely_as_stated() -> None:
    rng = np.random.default_rng(0)
    alarms = sum(
        bool(due.unlike(rng.beta(5, 2, 300), rng.beta(5, 2, 200))) for _ in range(1000)
    )
    assert alarms <= 5  # one in a thousand is allowed
    assert due.unlike(rng.beta(5, 2, 300), rng.beta(3, 3, 200))
