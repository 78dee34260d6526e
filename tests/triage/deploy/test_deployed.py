"""The template deployed to moto's server: what arrives, what drifts, what a release touches."""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError

from triage.cli import main
from triage.deploy import cloudformation, deployed, policy, standin
from triage.deploy.drift import drift
from triage.deploy.facts import FILE_ONLY
from triage.errors import TriageError

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:Tried to parse")]

DIGEST = f"sha256:{'a' * 64}"
NEWER = f"sha256:{'b' * 64}"
HOTFIX = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}],
}


@pytest.fixture
def account() -> Iterator[deployed.Account]:
    with standin.account() as session:
        yield standin.deploy(session, DIGEST)


def drifted(account: deployed.Account) -> set[str]:
    return {difference.fact for difference in drift(account)}


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """`python -m triage drift ARGUMENTS`; returns exit code, stdout, stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["triage", "drift", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(str(ended.value.code)), *capsys.readouterr()

    return run


def test_what_is_deployed_is_what_the_file_says(account: deployed.Account) -> None:
    assert drift(account) == []
    found = deployed.read(account)
    assert policy.check(found) == []
    assert found["image"] == (
        f"123456789012.dkr.ecr.eu-central-1.amazonaws.com/triage@{DIGEST}"
    )
    assert found.keys() | set(FILE_ONLY) == cloudformation.read().keys()


def by_hand(account: deployed.Account) -> dict[str, None]:
    """Somebody in a hurry, one call for each fact that must show it."""
    bucket = account.known()["models"]
    s3, iam = account.client("s3"), account.client("iam")
    ecs = account.client("ecs")
    anybody = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*",
               "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}]}  # fmt: skip
    task = ecs.describe_task_definition(taskDefinition="triage")["taskDefinition"]
    [container] = task["containerDefinitions"]
    container["image"] = "triage:hotfix"
    newer = ecs.register_task_definition(
        family="triage",
        containerDefinitions=[container],
        cpu="256",
        memory="2048",
        taskRoleArn=account.known()["trainer_role.arn"],
        executionRoleArn=task["executionRoleArn"],
    )["taskDefinition"]["taskDefinitionArn"]
    changes = {
        "bucket versioning": s3.put_bucket_versioning(
            Bucket=bucket, VersioningConfiguration={"Status": "Suspended"}
        ),
        "bucket blocks": s3.delete_public_access_block(Bucket=bucket),
        "bucket lifecycle": s3.delete_bucket_lifecycle(Bucket=bucket),
        "bucket encryption": s3.delete_bucket_encryption(Bucket=bucket),
        "bucket policy allows": s3.put_bucket_policy(
            Bucket=bucket, Policy=json.dumps(anybody)
        ),
        "bucket refuses plain HTTP": None,  # the same call
        "service role": iam.put_role_policy(
            RoleName="triage-service",
            PolicyName="hotfix",
            PolicyDocument=json.dumps(HOTFIX),
        ),
        "trainer role": iam.delete_role_policy(
            RoleName="triage-trainer", PolicyName="models"
        ),
        "log retention days": account.client("logs").delete_retention_policy(
            logGroupName="/larch/triage"
        ),
        "image": ecs.update_service(
            cluster="triage", service="triage", taskDefinition=newer
        ),
        "task cpu": None,
        "task runs as": None,
        "health check path": account.client("elbv2").modify_target_group(
            TargetGroupArn=account.known()["targets"], HealthCheckPath="/"
        ),
        "tasks at most": account.client(
            "application-autoscaling"
        ).register_scalable_target(
            ServiceNamespace="ecs",
            ScalableDimension="ecs:service:DesiredCount",
            ResourceId="service/triage/triage",
            MinCapacity=2,
            MaxCapacity=1000,
        ),
    }
    return dict.fromkeys(changes)


def test_what_is_changed_by_hand_shows_and_an_unchanged_file_mends_nothing(
    account: deployed.Account,
) -> None:
    changed = by_hand(account)
    broken = " ".join(policy.check(deployed.read(account)))
    assert "opened to the public" in broken
    assert "runs as the trainer" in broken
    assert drifted(account) == set(changed)
    with pytest.raises(ClientError, match="No updates are to be performed"):
        standin.update(account)
    assert drifted(account) == set(changed)


def test_every_setting_put_again_mends_all_but_what_was_added(
    account: deployed.Account,
) -> None:
    bucket = account.known()["models"]
    s3, iam = account.client("s3"), account.client("iam")
    s3.put_bucket_versioning(
        Bucket=bucket, VersioningConfiguration={"Status": "Suspended"}
    )
    s3.delete_public_access_block(Bucket=bucket)
    hotfix = {"RoleName": "triage-service", "PolicyName": "hotfix"}
    iam.put_role_policy(**hotfix, PolicyDocument=json.dumps(HOTFIX))
    standin.settle(account)
    assert drifted(account) == {"service role"}
    iam.delete_role_policy(**hotfix)
    assert drift(account) == []


def test_a_release_touches_the_image_and_no_drift(account: deployed.Account) -> None:
    account.client("s3").put_bucket_versioning(
        Bucket=account.known()["models"],
        VersioningConfiguration={"Status": "Suspended"},
    )
    standin.update(account, ImageDigest=NEWER)
    assert deployed.read(account)["image"].endswith(NEWER)
    assert drifted(account) == {"bucket versioning"}


def test_the_command(account: deployed.Account, command) -> None:
    assert command() == (0, "Stack triage is what the file says.\n", "")
    assert command("--json") == (0, "[]\n", "")
    account.client("s3").delete_public_access_block(Bucket=account.known()["models"])
    code, shown, _ = command()
    assert code == 1
    assert shown.startswith("Stack triage: - what the file says, + what is deployed\n")
    assert "bucket blocks\n  - block_public_acls\n" in shown
    code, shown, _ = command("--json")
    [difference] = json.loads(shown)
    assert (code, difference["fact"], difference["right"]) == (1, "bucket blocks", [])


@pytest.mark.parametrize(
    ("arguments", "environment", "complaint"),
    [
        (["--stack", "nowhere"], {}, "Stack with id nowhere does not exist"),
        ([], {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "Could not connect"),
        ([], {"AWS_DEFAULT_REGION": None}, "You must specify a region"),
        ([], {"AWS_PROFILE": "nobody"}, "could not be found"),
    ],
)
def test_trouble_is_one_sentence(
    command,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: list[str],
    environment: dict[str, str | None],
    complaint: str,
) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with standin.account():
        for name, value in environment.items():
            monkeypatch.delenv(name) if value is None else monkeypatch.setenv(
                name, value
            )
        code, shown, complained = command(*arguments)
        monkeypatch.undo()
    assert (code, shown) == (2, "")
    assert complaint in complained
    assert len(complained.strip().splitlines()) == 1


def test_the_command_as_typed(account: deployed.Account) -> None:
    typed = [sys.executable, "-m", "triage", "drift"]
    result = subprocess.run(typed, capture_output=True, text=True, timeout=120)
    assert result.stdout == "Stack triage is what the file says.\n", result.stderr


def test_a_stack_made_from_something_else(tmp_path: Path) -> None:
    with standin.account() as session:
        session.client("cloudformation").create_stack(
            StackName="triage",
            TemplateBody="Resources: {Logs: {Type: 'AWS::Logs::LogGroup', Properties: {LogGroupName: x}}}",
        )
        with pytest.raises(TriageError, match="has no models"):
            drift(deployed.Account("triage", session))


def test_the_account_is_gone_afterwards() -> None:
    before = dict(os.environ)
    with standin.account() as session:
        session.client("s3").create_bucket(
            Bucket="left-over",
            CreateBucketConfiguration={"LocationConstraint": standin.REGION},  # type: ignore[typeddict-item]
        )
        url = os.environ["AWS_ENDPOINT_URL"]
    assert dict(os.environ) == before
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url, timeout=5)
    with standin.account() as session:
        assert session.client("s3").list_buckets()["Buckets"] == []
    assert boto3.DEFAULT_SESSION is None
