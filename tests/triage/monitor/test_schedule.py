"""The job is defined in a stand-in account, the schedule held against AWS's own description of the call."""

import json
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ParamValidationError
from botocore.stub import Stubber
from moto import mock_aws

from triage.monitor.schedule import HOURLY, define_job, schedule

ROLE = "arn:aws:iam::123456789012:role/monitor"
ARN = "arn:aws:sagemaker:eu-west-1:123456789012:monitoring-schedule/triage"


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        yield boto3.Session(region_name="eu-west-1")


def test_the_job_finds_its_baseline_in_the_bucket(session, tmp_path: Path) -> None:
    for name in ("statistics.json", "constraints.json"):
        (tmp_path / name).write_text(json.dumps({"version": 0, "features": []}))
    s3 = session.client("s3")
    place = {"LocationConstraint": "eu-west-1"}
    s3.create_bucket(Bucket="larch-monitor", CreateBucketConfiguration=place)
    define_job(
        session, "triage", "triage-prod", "image:1", ROLE, "larch-monitor", tmp_path
    )
    job = session.client("sagemaker").describe_data_quality_job_definition(
        JobDefinitionName="triage"
    )
    assert job["DataQualityJobInput"]["EndpointInput"]["EndpointName"] == "triage-prod"
    for resource in job["DataQualityBaselineConfig"].values():
        bucket, _, key = resource["S3Uri"].removeprefix("s3://").partition("/")
        kept = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        assert json.loads(kept) == {"version": 0, "features": []}


def test_the_schedule_is_what_the_service_expects(session) -> None:
    sagemaker = session.client("sagemaker")
    expected = {
        "MonitoringScheduleName": "triage",
        "MonitoringScheduleConfig": {
            "ScheduleConfig": {"ScheduleExpression": HOURLY},
            "MonitoringJobDefinitionName": "triage",
            "MonitoringType": "DataQuality",
        },
    }
    with Stubber(sagemaker) as stub:
        answer = {"MonitoringScheduleArn": ARN}
        stub.add_response("create_monitoring_schedule", answer, expected)
        assert schedule(sagemaker, "triage") == ARN
    with pytest.raises(ParamValidationError):  # the check that holds it can fail
        schedule(sagemaker, "triage", cron=7)  # type: ignore[arg-type]
