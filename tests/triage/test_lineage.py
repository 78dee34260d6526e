"""From an answer of the service back to data, code and run, against a real MLflow server."""

import subprocess
from pathlib import Path

import mlflow
import numpy as np
import pytest
from fastapi.testclient import TestClient

from triage import data, lineage, registry, revision, snapshots
from triage.data import Dataset
from triage.encoder import Encoder
from triage.errors import TriageError
from triage.evaluate import evaluate
from triage.files import sha256
from triage.lineage import Lineage
from triage.model import TriageModel
from triage.service.app import create_app


@pytest.fixture(scope="module")
def desk(tickets: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Two intents of the tickets as files: what a desk exports."""
    folder = tmp_path_factory.mktemp("lineage") / "desk"
    folder.mkdir()
    for name in data.SPLITS:
        rows = getattr(tickets, name)
        rows = rows[rows["category"].isin(["delivery_late", "invoice_request"])]
        rows.to_csv(folder / f"{name}.csv", index=False)
    return data.load(folder)


@pytest.fixture(scope="module")
def model_file(desk: Dataset, encoder: Encoder) -> Path:
    assert desk.folder is not None
    path = desk.folder / "model.safetensors"
    TriageModel.fit(desk, encoder).save(path)
    return path


@pytest.fixture(scope="module")
def version(
    desk: Dataset, model_file: Path, encoder: Encoder, tracking_uri: str
) -> int:
    report = evaluate(TriageModel.load(model_file, encoder), desk.test)
    return registry.register(model_file, report, "traced", tracking_uri)


@pytest.mark.slow
def test_an_answer_leads_to_everything_and_that_makes_the_model_again(
    version: int,
    tracking_uri: str,
    desk: Dataset,
    model_file: Path,
    encoder: Encoder,
) -> None:
    kept = snapshots.take(desk)
    app = create_app(TriageModel.load(model_file, encoder), sha256(model_file))
    with TestClient(app) as http:
        answer = http.post("/predict", json={"message": "the invoice, please"}).json()
    found = lineage.trace(answer["model"]["sha256"], tracking_uri)
    assert found.version == version
    assert found.aliases == ["traced"]
    assert found.snapshot == kept.path
    assert found.git_commit == revision.git_commit()
    assert found.code_digest == revision.code_digest()
    again = TriageModel.fit(data.load(f"sha256:{found.data_digest}"), encoder)
    first = TriageModel.load(model_file, encoder)
    texts = desk.test["text"].tolist()
    assert again.card.data == first.card.data == "desk"
    # Not the same bytes: the sum of many floats depends on the order the machine takes them in.
    assert np.allclose(
        again.probabilities(texts), first.probabilities(texts), atol=1e-3
    )


@pytest.mark.slow
def test_version_alias_and_digest_lead_to_the_same(
    version: int, tracking_uri: str, model_file: Path
) -> None:
    digest = sha256(model_file)
    ways = [version, str(version), "traced", digest, digest[:8]]
    found: list[Lineage] = [lineage.trace(way, tracking_uri) for way in ways]
    assert all(one == found[0] for one in found)
    assert found[0].snapshot is None  # this test's TRIAGE_HOME kept nothing
    assert found[0].as_dict()["snapshot"] is None


@pytest.mark.slow
@pytest.mark.parametrize("which", ["0" * 64, "99999", "nobody", "'; --", "abc%"])
def test_what_nobody_registered_is_one_sentence(
    version: int, tracking_uri: str, which: str
) -> None:
    with pytest.raises(TriageError) as refusal:
        lineage.trace(which, tracking_uri)
    assert which in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.slow
def test_the_same_file_registered_twice_is_traced_to_the_newer(
    version: int, tracking_uri: str, desk: Dataset, model_file: Path, encoder: Encoder
) -> None:
    report = evaluate(TriageModel.load(model_file, encoder), desk.test)
    newer = registry.register(model_file, report, "traced-again", tracking_uri)
    assert lineage.trace(sha256(model_file), tracking_uri).version == newer


@pytest.mark.slow
def test_a_version_that_register_did_not_make(version: int, tracking_uri: str) -> None:
    client = registry.connect(tracking_uri)
    mlflow.set_experiment(registry.NAME)
    with mlflow.start_run() as run:
        mlflow.log_param("penalty", 1)
    foreign = client.create_model_version(
        registry.NAME, f"runs:/{run.info.run_id}/model", run_id=run.info.run_id
    )
    with pytest.raises(TriageError, match="was not made by"):
        lineage.trace(foreign.version, tracking_uri)
    bare = client.create_model_version(registry.NAME, "s3://elsewhere/model")
    with pytest.raises(TriageError, match="was not registered by"):
        lineage.trace(bare.version, tracking_uri)


def commit(folder: Path) -> str:
    who = ("-c", "user.name=Ilse", "-c", "user.email=ilse@example.org")
    for command in (("init", "-q"), ("add", "."), (*who, "commit", "-qm", "First")):
        subprocess.run(["git", "-C", folder, *command], check=True)
    head = ["git", "-C", str(folder), "rev-parse", "HEAD"]
    return subprocess.check_output(head, text=True).strip()


def test_a_commit_is_named_and_called_dirty_when_the_code_is(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "code.py").write_text("answer = 41\n")
    assert revision.git_commit(package) == "unknown"
    head = commit(tmp_path)
    assert revision.git_commit(package) == head
    (tmp_path / "notes.txt").write_text("not code")
    assert revision.git_commit(package) == head
    (package / "code.py").write_text("answer = 42\n")
    assert revision.git_commit(package) == f"{head}-dirty"


def test_an_environment_inside_a_repository_is_not_its_code(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("")
    commit(tmp_path)
    installed = tmp_path / ".venv"
    installed.mkdir()
    (installed / "code.py").write_text("")
    assert revision.git_commit(installed) == "unknown"


def test_without_git_the_code_digest_remains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "code.py").write_text("answer = 41\n")
    commit(tmp_path)
    monkeypatch.setenv("PATH", "")
    assert revision.git_commit(tmp_path) == "unknown"
    before = revision.code_digest(tmp_path)
    (tmp_path / "notes.txt").write_text("not code")
    assert revision.code_digest(tmp_path) == before
    (tmp_path / "code.py").rename(tmp_path / "other.py")
    renamed = revision.code_digest(tmp_path)
    (tmp_path / "other.py").write_text("answer = 42\n")
    assert len({before, renamed, revision.code_digest(tmp_path)}) == 3
