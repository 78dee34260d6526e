"""Reads what is deployed, from the services themselves, into the facts the files state."""

import json
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from triage.deploy.cloudformation import snake
from triage.deploy.facts import (
    Facts,
    allowed,
    container_facts,
    grants,
    refuses_plain_http,
)
from triage.errors import TriageError


class Account:
    """An AWS account and the one stack in it that is of interest."""

    def __init__(self, stack: str, session: boto3.Session | None = None):
        try:
            self.session = session or boto3.Session()
        except BotoCoreError as error:
            raise TriageError(f"{error}. Correct AWS_PROFILE, or unset it.") from error
        self.stack = stack

    def client(self, service: str) -> Any:
        return self.session.client(service)

    def known(self) -> dict[str, str]:
        """What the names in a file's braces stand for here."""
        formation = self.client("cloudformation")
        [stack] = formation.describe_stacks(StackName=self.stack)["Stacks"]
        pages = formation.get_paginator("list_stack_resources")
        found = pages.paginate(StackName=self.stack).build_full_result()
        account = self.client("sts").get_caller_identity()["Account"]
        names = {"account": account, "region": self.session.region_name or ""}
        for parameter in stack.get("Parameters", []):
            names[snake(parameter["ParameterKey"])] = parameter["ParameterValue"]
        for resource in found["StackResourceSummaries"]:
            name, kind = snake(resource["LogicalResourceId"]), resource["ResourceType"]
            names[name] = physical = resource["PhysicalResourceId"]
            if kind == "AWS::S3::Bucket":
                names[f"{name}.arn"] = f"arn:aws:s3:::{physical}"
            if kind == "AWS::IAM::Role":
                names[f"{name}.arn"] = f"arn:aws:iam::{account}:role/{physical}"
            if kind == "AWS::ECS::Service":
                names[f"{name}.name"] = physical.rsplit("/", 1)[-1]
        return names


def read(account: Account) -> Facts:
    """The facts of a deployed stack.

    Raises TriageError if there is no such stack, or AWS refuses to say.
    """
    try:
        known = account.known()
        return {
            **bucket(account.client("s3"), known["models"]),
            "trainer role": role(account.client("iam"), known["trainer_role"]),
            "service role": role(account.client("iam"), known["service_role"]),
            "execution role": role(account.client("iam"), known["execution_role"]),
            "log retention days": retention(account.client("logs"), known["logs"]),
            **task(account.client("ecs"), known),
            **health(account.client("elbv2"), known["targets"]),
            **scaling(account.client("application-autoscaling"), known),
        }
    except (ClientError, BotoCoreError) as error:
        raise TriageError(
            f"AWS did not show stack {account.stack!r}: {error}. "
            "Check the stack's name, AWS_PROFILE and AWS_REGION."
        ) from error
    except KeyError as error:
        raise TriageError(
            f"Stack {account.stack!r} has no {error.args[0]}. Deploy triage/deploy/cloudformation.yaml first."
        ) from error


def answer(call: Any, absent: str, **arguments: str) -> dict[str, Any]:
    """What the call returns; nothing if the setting was never made."""
    try:
        return call(**arguments)
    except ClientError as error:
        if error.response["Error"]["Code"] == absent:
            return {}
        raise


def bucket(s3: Any, name: str) -> Facts:
    encryption = answer(
        s3.get_bucket_encryption,
        "ServerSideEncryptionConfigurationNotFoundError",
        Bucket=name,
    ).get("ServerSideEncryptionConfiguration", {"Rules": []})
    block = answer(
        s3.get_public_access_block, "NoSuchPublicAccessBlockConfiguration", Bucket=name
    ).get("PublicAccessBlockConfiguration", {})
    cycle = answer(
        s3.get_bucket_lifecycle_configuration,
        "NoSuchLifecycleConfiguration",
        Bucket=name,
    )
    policy = answer(s3.get_bucket_policy, "NoSuchBucketPolicy", Bucket=name)
    document = json.loads(policy.get("Policy", '{"Statement": []}'))
    return {
        "bucket name": name,
        "bucket versioning": s3.get_bucket_versioning(Bucket=name).get("Status"),
        "bucket encryption": [
            rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"]
            for rule in encryption["Rules"]
        ],
        "bucket blocks": sorted(snake(setting) for setting, on in block.items() if on),
        "bucket lifecycle": [lifecycle(rule) for rule in cycle.get("Rules", [])],
        "bucket policy allows": allowed(document),
        "bucket refuses plain HTTP": refuses_plain_http(
            document, f"arn:aws:s3:::{name}"
        ),
    }


def lifecycle(rule: dict[str, Any]) -> Facts:
    """Days after which a rule acts; None where it does not."""
    expiration = rule.get("Expiration", {})
    return {
        "status": rule["Status"],
        "current objects": expiration.get("Days") or expiration.get("Date"),
        "old versions": rule.get("NoncurrentVersionExpiration", {}).get(
            "NoncurrentDays"
        ),
        "unfinished uploads": rule.get("AbortIncompleteMultipartUpload", {}).get(
            "DaysAfterInitiation"
        ),
    }


def role(iam: Any, name: str) -> list[str]:
    own = iam.list_role_policies(RoleName=name)["PolicyNames"]
    managed = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
    return grants(
        iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"],
        [
            iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
            for policy in own
        ],
        [policy["PolicyArn"] for policy in managed],
    )


def retention(logs: Any, name: str) -> int | None:
    groups = logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    return next(
        (
            group.get("retentionInDays")
            for group in groups
            if group["logGroupName"] == name
        ),
        None,
    )


def task(ecs: Any, known: dict[str, str]) -> Facts:
    """What the service runs now, which need not be the task definition the stack made."""
    services = ecs.describe_services(
        cluster=known["cluster"], services=[known["service"]]
    )["services"]
    name = services[0]["taskDefinition"]
    body = ecs.describe_task_definition(taskDefinition=name)["taskDefinition"]
    [container] = body["containerDefinitions"]
    return {
        "task cpu": int(body.get("cpu", 0)),
        "task memory": int(body.get("memory", 0)),
        "task runs as": body.get("taskRoleArn"),
        "task is started by": body.get("executionRoleArn"),
        **container_facts(container),
    }


def health(elb: Any, arn: str) -> Facts:
    [group] = elb.describe_target_groups(TargetGroupArns=[arn])["TargetGroups"]
    return {
        "health check path": group["HealthCheckPath"],
        "health check every": group["HealthCheckIntervalSeconds"],
        "traffic goes to port": group["Port"],
    }


def scaling(autoscaling: Any, known: dict[str, str]) -> Facts:
    resource = f"service/{known['cluster']}/{known['service.name']}"
    targets = autoscaling.describe_scalable_targets(
        ServiceNamespace="ecs", ResourceIds=[resource]
    )["ScalableTargets"]
    policies = autoscaling.describe_scaling_policies(
        ServiceNamespace="ecs", ResourceId=resource
    )["ScalingPolicies"]
    facts: Facts = {}
    for target in targets:
        facts["tasks at least"] = target["MinCapacity"]
        facts["tasks at most"] = target["MaxCapacity"]
    for policy in policies:
        tracking = policy["TargetTrackingScalingPolicyConfiguration"]
        metric = tracking["PredefinedMetricSpecification"]["PredefinedMetricType"]
        facts["scales on"] = f"{metric} at {tracking['TargetValue']:g}"
    return facts
