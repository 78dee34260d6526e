"""The monitor as Amazon SageMaker runs it: the baseline in S3, a job definition, and when it runs.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateDataQualityJobDefinition.html
https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateMonitoringSchedule.html
"""

from pathlib import Path

import boto3

STATISTICS, CONSTRAINTS = "statistics.json", "constraints.json"
HOURLY = "cron(0 * ? * * *)"
HOUR = 3600


# region job
def define_job(
    session: boto3.Session,
    name: str,
    endpoint: str,
    image: str,
    role: str,
    bucket: str,
    baseline: Path,
) -> None:
    """Upload a folder with the two baseline documents; define the job that reads them.

    `image` is the monitor's container: AWS's own, or one with this package.
    """
    place = f"monitor/{name}"
    s3 = session.client("s3")
    for file in (STATISTICS, CONSTRAINTS):
        s3.upload_file(baseline / file, bucket, f"{place}/{file}")
    session.client("sagemaker").create_data_quality_job_definition(
        JobDefinitionName=name,
        DataQualityBaselineConfig={
            "StatisticsResource": {"S3Uri": f"s3://{bucket}/{place}/{STATISTICS}"},
            "ConstraintsResource": {"S3Uri": f"s3://{bucket}/{place}/{CONSTRAINTS}"},
        },
        DataQualityAppSpecification={"ImageUri": image},
        DataQualityJobInput={
            "EndpointInput": {
                "EndpointName": endpoint,
                "LocalPath": "/opt/ml/processing/input/endpoint",
            }
        },
        DataQualityJobOutputConfig={
            "MonitoringOutputs": [
                {
                    "S3Output": {
                        "S3Uri": f"s3://{bucket}/{place}/reports",
                        "LocalPath": "/opt/ml/processing/output",
                    }
                }
            ]
        },
        JobResources={
            "ClusterConfig": {
                "InstanceCount": 1,
                "InstanceType": "ml.m5.large",
                "VolumeSizeInGB": 20,
            }
        },
        StoppingCondition={"MaxRuntimeInSeconds": HOUR},
        RoleArn=role,
    )


# endregion job


def schedule(sagemaker, name: str, cron: str = HOURLY) -> str:
    """Run the job of this name by the clock; `sagemaker` is boto3's client. Returns the schedule's ARN."""
    answer = sagemaker.create_monitoring_schedule(
        MonitoringScheduleName=name,
        MonitoringScheduleConfig={
            "ScheduleConfig": {"ScheduleExpression": cron},
            "MonitoringJobDefinitionName": name,
            "MonitoringType": "DataQuality",
        },
    )
    return answer["MonitoringScheduleArn"]
