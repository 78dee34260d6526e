"""The record of a model, against a real MLflow server."""

import shutil
from pathlib import Path

import httpx
import mlflow
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

from triage import data, registry, revision, snapshots
from triage.data import Dataset
from triage.encoder import Encoder
from triage.errors import TriageError
from triage.evaluate import Report, evaluate
from triage.files import sha256
from triage.model import TriageModel
from triage.registry import Move

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def report(model: TriageModel, small: Dataset) -> Report:
    return evaluate(model, small.test)


@pytest.fixture(scope="module")
def version(model_file: Path, report: Report, tracking_uri: str) -> int:
    return registry.register(model_file, report, "champion", tracking_uri)


def test_a_run_records_what_was_trained_on_what_and_how_good_it_is(
    version: int,
    tracking_uri: str,
    model: TriageModel,
    model_file: Path,
    report: Report,
) -> None:
    client = mlflow.MlflowClient(tracking_uri)
    run = client.get_run(client.get_model_version(registry.NAME, str(version)).run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["data_digest"] == model.card.data_digest
    assert run.data.params["model_sha256"] == sha256(model_file)
    assert run.data.metrics["accuracy"] == report.accuracy
    assert {file.path for file in client.list_artifacts(run.info.run_id)} >= {
        "report.json",
        "confusion.svg",
    }


def test_the_registered_model_is_the_trained_one(
    version: int, tracking_uri: str, model_file: Path, tmp_path: Path, encoder: Encoder
) -> None:
    path = registry.fetch("models:/triage@champion", tmp_path, tracking_uri)
    assert path.read_bytes() == model_file.read_bytes()
    assert (
        TriageModel.load(path, encoder).predict(["no parcel yet"])[0].intent
        == "delivery_late"
    )


def test_moving_an_alias_is_a_release_and_moving_it_back_a_rollback(
    version: int, tracking_uri: str, model_file: Path, report: Report
) -> None:
    client = mlflow.MlflowClient(tracking_uri)
    newer = registry.register(model_file, report, "candidate", tracking_uri)
    assert newer > version
    assert (
        int(client.get_model_version_by_alias(registry.NAME, "champion").version)
        == version
    )
    client.set_registered_model_alias(registry.NAME, "champion", str(newer))
    client.set_registered_model_alias(registry.NAME, "champion", str(version))
    assert (
        int(client.get_model_version_by_alias(registry.NAME, "champion").version)
        == version
    )


def test_nothing_in_the_package_is_pickled(
    version: int, tracking_uri: str, tmp_path: Path
) -> None:
    registry.fetch(f"models:/triage/{version}", tmp_path, tracking_uri)
    suffixes = {path.suffix for path in tmp_path.rglob("*") if path.is_file()}
    assert ".safetensors" in suffixes
    assert not suffixes & {".pkl", ".pickle", ".pt", ".joblib"}


def test_mlflow_serves_it_too_and_keeps_to_the_signature(
    version: int, tracking_uri: str
) -> None:
    registry.connect(tracking_uri)
    packaged = mlflow.pyfunc.load_model("models:/triage@champion")
    answer = packaged.predict(pd.DataFrame({"message": ["please send me the invoice"]}))
    assert answer["intent"].tolist() == ["invoice_request"]
    with pytest.raises(MlflowException, match="message"):
        packaged.predict(pd.DataFrame({"text": ["please send me the invoice"]}))


@pytest.mark.parametrize(
    "uri",
    [
        "models:/triage@nobody",
        "models:/triage/99999",
        "models:/unknown/1",
        "models:/triage",
        "triage",
    ],
)
def test_an_unknown_model_is_one_sentence(
    version: int, tracking_uri: str, tmp_path: Path, uri: str
) -> None:
    with pytest.raises(TriageError) as refusal:
        registry.fetch(uri, tmp_path, tracking_uri)
    assert uri in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_an_altered_artefact_is_refused(
    version: int, tracking_uri: str, tmp_path: Path, monkeypatch
) -> None:
    download = mlflow.artifacts.download_artifacts

    def tamper(*args: str, **options: str) -> str:
        folder = Path(download(*args, **options))
        path = folder / "artifacts" / "model.safetensors"
        path.write_bytes(path.read_bytes()[:-1] + b"!")
        return str(folder)

    monkeypatch.setattr(mlflow.artifacts, "download_artifacts", tamper)
    with pytest.raises(TriageError, match="was altered after it was registered"):
        registry.fetch("models:/triage@champion", tmp_path, tracking_uri)


def test_a_dead_server_is_noticed_at_once(
    model_file: Path, report: Report, tmp_path: Path
) -> None:
    for act in (
        lambda: registry.register(model_file, report, "champion", "http://127.0.0.1:1"),
        lambda: registry.fetch(
            "models:/triage@champion", tmp_path, "http://127.0.0.1:1"
        ),
    ):
        with pytest.raises(TriageError, match="python -m triage tracking"):
            act()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("alias", ["a b/c", "", "v1", "latest", "x:y", "a" * 300])
def test_a_bad_alias_is_refused_before_anything_is_recorded(
    tracking_uri: str, model_file: Path, report: Report, version: int, alias: str
) -> None:
    client = mlflow.MlflowClient(tracking_uri)
    before = len(client.search_model_versions(f"name='{registry.NAME}'"))
    with pytest.raises(TriageError, match="cannot be an alias"):
        registry.register(model_file, report, alias, tracking_uri)
    assert len(client.search_model_versions(f"name='{registry.NAME}'")) == before


@pytest.mark.parametrize("uri", ["garbage:/x", "ftp://x", "databricks", "file:/tmp/x"])
def test_an_address_that_is_no_server_is_one_sentence(uri: str) -> None:
    with pytest.raises(TriageError, match="is no MLflow server"):
        registry.connect(uri)


@pytest.mark.parametrize(
    ("status", "body", "complaint"),
    [
        (200, "<html>hello</html>", "is no MLflow server"),
        (404, "", "No MLflow server answers"),
    ],
)
def test_another_kind_of_server_is_noticed(
    monkeypatch: pytest.MonkeyPatch, status: int, body: str, complaint: str
) -> None:
    request = httpx.Request("GET", "http://127.0.0.1:1/health")
    answer = httpx.Response(status, text=body, request=request)
    monkeypatch.setattr(httpx, "get", lambda url, **_: answer)
    with pytest.raises(TriageError, match=complaint) as refusal:
        registry.connect("http://127.0.0.1:1")
    assert "\n" not in str(refusal.value)


def test_a_damaged_model_is_refused_before_anything_is_recorded(
    tracking_uri: str, tmp_path: Path, report: Report
) -> None:
    damaged = tmp_path / "model.safetensors"
    damaged.write_bytes(b"not a model")
    client = mlflow.MlflowClient(tracking_uri)
    before = len(client.search_model_versions(f"name='{registry.NAME}'"))
    with pytest.raises(TriageError, match="not a model"):
        registry.register(damaged, report, "champion", tracking_uri)
    assert len(client.search_model_versions(f"name='{registry.NAME}'")) == before


def test_an_upload_that_dies_is_a_failed_run_and_no_version(
    version: int, tracking_uri: str, model_file: Path, report: Report, monkeypatch
) -> None:
    client = mlflow.MlflowClient(tracking_uri)
    before = len(client.search_model_versions(f"name='{registry.NAME}'"))

    def broken(*_: object, **__: object) -> None:
        raise MlflowException("the disk is full")

    monkeypatch.setattr(mlflow.pyfunc, "log_model", broken)
    with pytest.raises(MlflowException):
        registry.register(model_file, report, "champion", tracking_uri)
    experiment = client.get_experiment_by_name(registry.NAME)
    assert experiment is not None
    latest = client.search_runs([experiment.experiment_id], max_results=1)[0]
    assert latest.info.status == "FAILED"
    assert len(client.search_model_versions(f"name='{registry.NAME}'")) == before


def test_the_checksum_is_stored_with_the_version(
    version: int, tracking_uri: str, model_file: Path
) -> None:
    registry.connect(tracking_uri)
    info = mlflow.models.get_model_info(f"models:/triage/{version}")
    assert info.metadata == {"sha256": sha256(model_file)}


@pytest.fixture
def empty_registry(blank_database: Path, tmp_path: Path) -> str:
    """A registry of this test's own, where nobody is champion yet."""
    return f"sqlite:///{shutil.copy(blank_database, tmp_path)}"


def add_versions(uri: str, count: int) -> mlflow.MlflowClient:
    client = mlflow.MlflowClient(uri)
    client.create_registered_model(registry.NAME)
    for _ in range(count):
        client.create_model_version(registry.NAME, "file:/nowhere")
    client.set_registered_model_alias(registry.NAME, "candidate", str(count))
    return client


def test_a_run_names_the_code_and_the_kept_data(
    tracking_uri: str,
    tickets: Dataset,
    encoder: Encoder,
    report: Report,
    tmp_path: Path,
) -> None:
    folder = tmp_path / "desk"
    folder.mkdir()
    for name in ("train", "test"):
        rows = getattr(tickets, name)
        rows = rows[rows["category"].isin(["delivery_late", "invoice_request"])]
        rows.to_csv(folder / f"{name}.csv", index=False)
    desk = data.load(folder)
    model = TriageModel.fit(desk, encoder)
    model.save(tmp_path / "model.safetensors")

    def params() -> dict[str, str]:
        number = registry.register(
            tmp_path / "model.safetensors", report, "candidate", tracking_uri
        )
        client = mlflow.MlflowClient(tracking_uri)
        version = client.get_model_version(registry.NAME, str(number))
        return client.get_run(version.run_id).data.params

    assert params()["snapshot"] == "none"
    kept = snapshots.take(desk)
    written = params()
    assert written["snapshot"] == str(kept) == f"sha256:{desk.digest}"
    assert written["git_commit"] == revision.git_commit()
    assert written["code_digest"] == revision.code_digest()


def test_promotions_are_undone_one_by_one(empty_registry: str) -> None:
    client = add_versions(empty_registry, 3)
    assert registry.promote(1, "the first", empty_registry) == Move(1, None)
    assert registry.promote("2", "better", empty_registry) == Move(2, 1)
    assert registry.promote("candidate", "better still", empty_registry) == Move(3, 2)
    assert registry.rollback("slow", empty_registry) == Move(2, 3)
    assert registry.rollback("also slow", empty_registry) == Move(1, 2)
    with pytest.raises(TriageError, match="replaced no other"):
        registry.rollback("and this?", empty_registry)
    assert registry.champion(client) == 1
    tags = client.get_model_version(registry.NAME, "3").tags
    assert tags["promoted_from"] == "2"
    assert tags["promoted_reason"] == "better still"
    assert tags["rolled_back_reason"] == "slow"
    assert tags["promoted_at"] <= tags["rolled_back_at"]


def test_promoting_the_champion_again_keeps_the_way_back(empty_registry: str) -> None:
    client = add_versions(empty_registry, 2)
    registry.promote(1, "the first", empty_registry)
    registry.promote(2, "better", empty_registry)
    before = client.get_model_version(registry.NAME, "2").tags
    assert registry.promote(2, "a job ran twice", empty_registry) == Move(2, 2)
    assert client.get_model_version(registry.NAME, "2").tags == before
    assert registry.rollback("slow", empty_registry) == Move(1, 2)


def test_after_a_rollback_the_way_back_is_not_forward(empty_registry: str) -> None:
    client = add_versions(empty_registry, 2)
    registry.promote(1, "the first", empty_registry)
    registry.promote(2, "better", empty_registry)
    registry.rollback("slow", empty_registry)
    with pytest.raises(TriageError, match="replaced no other"):
        registry.rollback("the page came up again", empty_registry)
    assert registry.champion(client) == 1


@pytest.mark.parametrize("which", ["99", "nobody", "a b", "0"])
def test_promoting_what_is_not_there_moves_nothing(
    empty_registry: str, which: str
) -> None:
    client = add_versions(empty_registry, 1)
    registry.promote(1, "the first", empty_registry)
    with pytest.raises(TriageError) as refusal:
        registry.promote(which, "better", empty_registry)
    assert "\n" not in str(refusal.value)
    assert registry.champion(client) == 1


def test_a_champion_changes_for_a_reason(empty_registry: str) -> None:
    client = add_versions(empty_registry, 1)
    for move in (registry.rollback, lambda *rest: registry.promote(1, *rest)):
        with pytest.raises(TriageError, match="reason is empty"):
            move("  ", empty_registry)
    assert registry.champion(client) is None


def test_without_a_champion_there_is_nothing_to_roll_back(empty_registry: str) -> None:
    with pytest.raises(TriageError, match="no champion"):
        registry.rollback("slow", empty_registry)


def test_a_promotion_that_fails_half_way_leaves_the_champion(
    empty_registry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = add_versions(empty_registry, 2)
    registry.promote(1, "the first", empty_registry)

    def broken(*_: object) -> None:
        raise MlflowException("the server went away")

    monkeypatch.setattr(mlflow.MlflowClient, "set_registered_model_alias", broken)
    with pytest.raises(MlflowException):
        registry.promote(2, "better", empty_registry)
    assert registry.champion(client) == 1


def test_without_a_server_the_files_lie_beside_the_database(
    model_file: Path,
    report: Report,
    blank_database: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    uri = f"sqlite:///{shutil.copy(blank_database, tmp_path)}"
    registry.register(model_file, report, "candidate", uri)
    assert not list((tmp_path / "elsewhere").iterdir())
    found = registry.fetch("models:/triage@candidate", tmp_path / "fetched", uri)
    assert sha256(found) == sha256(model_file)
    assert (tmp_path / "mlartifacts").is_dir()
