"""Signed models: what is loaded when a key is trusted, and what is not."""

import shutil
from pathlib import Path

import mlflow
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from triage import registry, signing
from triage.data import Dataset
from triage.errors import TriageError
from triage.evaluate import evaluate
from triage.files import sha256
from triage.model import TriageModel

pytestmark = pytest.mark.slow

CHAMPION = "models:/triage@champion"


def make_keys(folder: Path, name: str) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    private, public = folder / f"{name}.key", folder / f"{name}.pub"
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    public.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return private, public


@pytest.fixture(scope="module")
def registered(
    blank_database: Path,
    model: TriageModel,
    model_file: Path,
    small: Dataset,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A folder with a registry that has one version, as champion."""
    folder = tmp_path_factory.mktemp("registered")
    shutil.copy(blank_database, folder / "mlflow.db")
    report = evaluate(model, small.test)
    registry.register(
        model_file, report, "champion", f"sqlite:///{folder / 'mlflow.db'}"
    )
    return folder


@pytest.fixture
def store(
    registered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> mlflow.MlflowClient:
    """That registry, signed afresh with ours.key and trusting ours.pub."""
    uri = f"sqlite:///{registered / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    private, public = make_keys(tmp_path, "ours")
    signing.sign("champion", private)
    monkeypatch.setenv("TRIAGE_TRUST", str(public))
    return mlflow.MlflowClient(uri)


@pytest.fixture
def files(store: mlflow.MlflowClient) -> Path:
    """The registered model's files, where the registry keeps them."""
    version = store.get_model_version_by_alias(registry.NAME, "champion")
    where = store.get_model_version_download_uri(registry.NAME, str(version.version))
    return Path(where.removeprefix("file://"))


def test_what_was_signed_is_loaded(
    store: mlflow.MlflowClient, model_file: Path, tmp_path: Path
) -> None:
    fetched = registry.fetch(CHAMPION, tmp_path / "fetched")
    assert sha256(fetched) == sha256(model_file)
    registry.fetch("models:/triage/1", tmp_path / "again")


def test_code_beside_the_model_is_signed_too(
    store: mlflow.MlflowClient, files: Path, tmp_path: Path
) -> None:
    """mlflow models serve would run it, and the model's own digest does not cover it."""
    code = files / "code/triage/errors.py"
    before = code.read_text()
    try:
        code.write_text(before + "\nprint('owned')\n")
        with pytest.raises(TriageError) as refusal:
            registry.fetch(CHAMPION, tmp_path / "fetched")
        assert str(refusal.value).endswith("Hash mismatch for 'code/triage/errors.py'.")
    finally:
        code.write_text(before)


def test_a_file_more_is_refused(
    store: mlflow.MlflowClient, files: Path, tmp_path: Path
) -> None:
    extra = files / "code/sitecustomize.py"
    try:
        extra.write_text("print('owned')\n")
        with pytest.raises(TriageError, match="Extra files"):
            registry.fetch(CHAMPION, tmp_path / "fetched")
    finally:
        extra.unlink()


def test_files_for_git_are_files(
    store: mlflow.MlflowClient, files: Path, tmp_path: Path
) -> None:
    extra = files / ".gitattributes"
    try:
        extra.write_text("* filter=evil\n")
        with pytest.raises(TriageError, match="Extra files"):
            registry.fetch(CHAMPION, tmp_path / "fetched")
    finally:
        extra.unlink()


def test_what_was_altered_before_signing_is_not_signed(
    store: mlflow.MlflowClient, files: Path, tmp_path: Path
) -> None:
    private, _ = make_keys(tmp_path, "late")
    code = files / "code/triage/errors.py"
    before = code.read_text()
    try:
        code.write_text(before + "\nprint('owned')\n")
        with pytest.raises(TriageError, match="not those that were registered"):
            signing.sign("champion", private)
    finally:
        code.write_text(before)


def test_what_is_not_signed_is_not_promoted(
    store: mlflow.MlflowClient, model_file: Path, model: TriageModel, small: Dataset
) -> None:
    report = evaluate(model, small.test)
    number = registry.register(model_file, report, "candidate")
    with pytest.raises(TriageError, match="has no signature"):
        registry.promote(number, "better")
    assert registry.champion(store) == 1


def test_a_key_that_is_not_there_is_named(
    store: mlflow.MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIAGE_TRUST", str(tmp_path / "absent.pub"))
    with pytest.raises(TriageError, match=r"There is no key at .*absent\.pub"):
        registry.fetch(CHAMPION, tmp_path / "fetched")


def test_somebody_elses_signature_is_refused(
    store: mlflow.MlflowClient, tmp_path: Path
) -> None:
    private, _ = make_keys(tmp_path, "theirs")
    signing.sign("champion", private)
    with pytest.raises(TriageError, match=r"is not what the holder of .*ours.pub"):
        registry.fetch(CHAMPION, tmp_path / "fetched")


def test_no_signature_is_refused_only_where_a_key_is_trusted(
    store: mlflow.MlflowClient,
    model_file: Path,
    model: TriageModel,
    small: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    report = evaluate(model, small.test)
    number = registry.register(model_file, report, "candidate")
    with pytest.raises(TriageError, match="has no signature"):
        registry.fetch(f"models:/triage/{number}", tmp_path / "fetched")
    monkeypatch.delenv("TRIAGE_TRUST")
    registry.fetch(f"models:/triage/{number}", tmp_path / "again")


def test_what_is_no_key_or_no_signature_is_one_sentence(
    store: mlflow.MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for content in ("", "-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\n"):
        (tmp_path / "no.key").write_text(content)
        with pytest.raises(TriageError, match="Cannot sign with") as refusal:
            signing.sign("champion", tmp_path / "no.key")
        assert "\n" not in str(refusal.value)
    with pytest.raises(TriageError, match="Cannot sign with"):
        signing.sign("champion", tmp_path / "absent.key")

    run = store.get_model_version_by_alias(registry.NAME, "champion").run_id
    for content in ("", "{}", "[]", '{"verificationMaterial": 1}', "\x00"):
        (tmp_path / signing.SIGNATURE).write_text(content)
        store.log_artifact(run, str(tmp_path / signing.SIGNATURE))
        with pytest.raises(TriageError, match="is not what the holder") as refusal:
            registry.fetch(CHAMPION, tmp_path / "fetched")
        assert "\n" not in str(refusal.value)
