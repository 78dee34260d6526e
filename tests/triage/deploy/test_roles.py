"""The roles tried: with what each may do, the trainer can register a model and the service can load it."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import httpx
import pytest
from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import ClientError
from mlflow.store.artifact import s3_artifact_repo

from triage import registry
from triage.data import Dataset
from triage.deploy import deployed, standin
from triage.errors import TriageError
from triage.evaluate import evaluate
from triage.files import sha256
from triage.model import TriageModel

from ..conftest import free_port

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:Tried to parse")]

ROLES = ("trainer_role", "service_role", "execution_role")


@pytest.fixture(scope="module")
def account() -> Iterator[deployed.Account]:
    with standin.account() as session:
        yield standin.deploy(session, f"sha256:{'a' * 64}")


@pytest.fixture
def direct(account: deployed.Account, tmp_path: Path) -> Iterator[str]:
    """A tracking server that hands out addresses in the bucket and touches no file itself."""
    port = free_port()
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--workers", "1"),
        *("--port", str(port), "--no-serve-artifacts"),
        *("--backend-store-uri", f"sqlite:///{tmp_path / 'mlflow.db'}"),
        *("--default-artifact-root", f"s3://{account.known()['models']}"),
    ]
    log = tmp_path / "log"
    with log.open("wb") as file:
        server = subprocess.Popen(command, stdout=file, stderr=file)
    try:
        deadline = time.monotonic() + 120
        while True:
            with contextlib.suppress(httpx.HTTPError):
                httpx.get(f"http://127.0.0.1:{port}/health").raise_for_status()
                break
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)


@contextlib.contextmanager
def taking(role: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process, boto3 and MLflow included, as the role; nobody afterwards."""
    with monkeypatch.context() as patch:
        for name, value in role.items():
            patch.setenv(name, value)
        patch.setattr(boto3, "DEFAULT_SESSION", None)
        s3_artifact_repo._cached_get_s3_client.cache_clear()
        yield
    s3_artifact_repo._cached_get_s3_client.cache_clear()


def test_trainer_registers_and_service_loads(
    account: deployed.Account,
    direct: str,
    model_file: Path,
    model: TriageModel,
    small: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    report = evaluate(model, small.test)
    with standin.as_roles(account, *ROLES) as roles:
        with taking(roles["trainer_role"], monkeypatch):
            assert registry.register(model_file, report, "champion", direct) == 1
        with taking(roles["service_role"], monkeypatch):
            path = registry.fetch("models:/triage@champion", tmp_path / "m", direct)
            assert sha256(path) == sha256(model_file)
            with pytest.raises((S3UploadFailedError, ClientError), match="Denied"):
                registry.register(model_file, report, "champion", direct)
        with (
            taking(roles["execution_role"], monkeypatch),
            pytest.raises(TriageError, match="Access Denied"),
        ):
            registry.fetch("models:/triage@champion", tmp_path / "n", direct)


@pytest.mark.parametrize(
    ("role", "call", "may"),
    [
        ("trainer_role", "put_object", True),
        ("trainer_role", "delete_object", False),
        ("trainer_role", "delete_bucket_lifecycle", False),
        ("service_role", "put_object", False),
        ("service_role", "list_objects_v2", True),
        ("service_role", "delete_object", False),
        ("execution_role", "list_objects_v2", False),
    ],
)
def test_what_a_role_may_do(
    account: deployed.Account, role: str, call: str, may: bool
) -> None:
    place = {"Bucket": account.known()["models"]}
    if call.endswith("_object"):
        place["Key"] = "model"
    with standin.as_roles(account, role) as taken:
        key = {name.lower(): value for name, value in taken[role].items()}
        s3 = boto3.client("s3", region_name=standin.REGION, **key)  # type: ignore[call-overload]
        if may:
            getattr(s3, call)(**place)
        else:
            with pytest.raises(ClientError, match="AccessDenied"):
                getattr(s3, call)(**place)
