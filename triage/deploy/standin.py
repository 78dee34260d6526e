"""moto in the place of an AWS account: the template is deployed on this machine, without network or fee.

moto's CloudFormation makes the resources but takes over only some of their settings. `settle` makes the rest
through the services' own APIs, from the same template, as CloudFormation does in an account.
"""

import json
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import boto3
import httpx
import moto.cloudformation.models  # noqa: F401  (slow: here no socket waits for it)
from moto.server import ThreadedMotoServer

from triage.deploy import cloudformation, deployed
from triage.deploy.facts import filled_in

REGION = "eu-central-1"

# A line for every request, and one for every resource that `settle` sees to, would bury what matters.
logging.getLogger("werkzeug").setLevel(logging.ERROR)
logging.getLogger("moto").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", "Tried to parse", module="moto")


@contextmanager
def account() -> Iterator[boto3.Session]:
    """An empty account at a free port, gone on the way out; AWS tools started meanwhile find it too."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        found = {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": REGION,
        }
        httpx.post(
            f"{found['AWS_ENDPOINT_URL']}/moto-api/reset", timeout=60
        ).raise_for_status()
        with patch.dict(os.environ, found):
            yield boto3.Session()
    finally:
        server.stop()


def network(session: boto3.Session) -> dict[str, str]:
    """What the stack expects to find: subnets, a security group, and the shared load balancer's listener."""
    ec2, elb = session.client("ec2"), session.client("elbv2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(
            VpcId=vpc, CidrBlock=f"10.0.{n}.0/24", AvailabilityZone=f"{REGION}{zone}"
        )["Subnet"]["SubnetId"]
        for n, zone in enumerate("ab")
    ]
    group = ec2.create_security_group(
        GroupName="triage", Description="triage", VpcId=vpc
    )
    [balancer] = elb.create_load_balancer(Name="shared", Subnets=subnets)[
        "LoadBalancers"
    ]
    nowhere = {
        "Type": "fixed-response",
        "FixedResponseConfig": {"StatusCode": "404"},
    }
    [listener] = elb.create_listener(
        LoadBalancerArn=balancer["LoadBalancerArn"],
        Protocol="HTTP",
        Port=80,
        DefaultActions=[nowhere],
    )["Listeners"]
    return {
        "VpcId": vpc,
        "SubnetIds": ",".join(subnets),
        "SecurityGroupId": group["GroupId"],
        "ListenerArn": listener["ListenerArn"],
    }


def deploy(
    session: boto3.Session,
    image_digest: str,
    template: Path = cloudformation.TEMPLATE,
    stack: str = "triage",
) -> deployed.Account:
    """`aws cloudformation deploy`, and what moto leaves out of it."""
    parameters = {
        "ImageDigest": image_digest,
        "TrackingUri": "https://mlflow.larch.example",
        **network(session),
    }
    session.client("cloudformation").create_stack(
        StackName=stack,
        TemplateBody=template.read_text(encoding="utf-8"),
        Parameters=[
            {"ParameterKey": name, "ParameterValue": value}
            for name, value in parameters.items()
        ],
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )
    account = deployed.Account(stack, session)
    settle(account, template)
    return account


def update(account: deployed.Account, **changed: str) -> None:
    """`aws cloudformation deploy` of a stack that exists, with the parameters that changed.

    As in AWS only resources whose definition changed are touched: here the task and its service.
    Raises botocore's ClientError if nothing changed.
    """
    formation = account.client("cloudformation")
    [stack] = formation.describe_stacks(StackName=account.stack)["Stacks"]
    kept = {item["ParameterKey"] for item in stack["Parameters"]} - changed.keys()
    formation.update_stack(
        StackName=account.stack,
        UsePreviousTemplate=True,
        Parameters=[
            *({"ParameterKey": name, "UsePreviousValue": True} for name in kept),
            *(
                {"ParameterKey": name, "ParameterValue": value}
                for name, value in changed.items()
            ),
        ],
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )
    known = account.known()
    settle_task(account.client("ecs"), properties(known)["Task"], known)


@contextmanager
def as_roles(
    account: deployed.Account, *roles: str
) -> Iterator[dict[str, dict[str, str]]]:
    """Meanwhile IAM is asked about every call, as in AWS; yields each role's credentials as environment.

    The bucket's policy is off for that time: moto cannot evaluate its condition and would deny everything.
    """
    sts, bucket = account.client("sts"), account.known()["models"]
    switch = f"{os.environ['AWS_ENDPOINT_URL']}/moto-api/reset-auth"
    taken = {}
    for role in roles:
        key = sts.assume_role(
            RoleArn=account.known()[f"{role}.arn"], RoleSessionName="trial"
        )["Credentials"]
        taken[role] = {
            "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
            "AWS_SESSION_TOKEN": key["SessionToken"],
        }
    account.client("s3").delete_bucket_policy(Bucket=bucket)
    httpx.post(
        switch, content="0", timeout=60
    ).raise_for_status()  # calls until IAM is asked
    try:
        yield taken
    finally:
        httpx.post(switch, content="inf", timeout=60).raise_for_status()
        settle(account)


def properties(
    known: dict[str, str], template: Path = cloudformation.TEMPLATE
) -> dict[str, Any]:
    """Every resource's properties by logical name, as they are in this account."""
    declared = cloudformation.resources(cloudformation.load(template))
    return {
        name: filled_in(body["Properties"], known) for name, body in declared.items()
    }


def settle(account: deployed.Account, template: Path = cloudformation.TEMPLATE) -> None:
    """Put every setting of the template that moto's CloudFormation passes over to its service."""
    known = account.known()
    found = properties(known, template)
    settle_bucket(account.client("s3"), found["Models"], found["ModelsPolicy"])
    for name in ("TrainerRole", "ServiceRole", "ExecutionRole"):
        settle_role(account.client("iam"), found[name])
    settle_task(account.client("ecs"), found["Task"], known)
    settle_scaling(
        account.client("application-autoscaling"), found["Capacity"], found["Scaling"]
    )


def settle_bucket(s3: Any, bucket: dict[str, Any], policy: dict[str, Any]) -> None:
    name = bucket["BucketName"]
    if versioning := bucket.get("VersioningConfiguration"):
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration=versioning)
    if block := bucket.get("PublicAccessBlockConfiguration"):
        s3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=block)
    if rules := bucket.get("LifecycleConfiguration", {}).get("Rules"):
        renamed = [
            {"Filter": {}, "ID": rule["Id"]}
            | {key: value for key, value in rule.items() if key != "Id"}
            for rule in rules
        ]
        s3.put_bucket_lifecycle_configuration(
            Bucket=name, LifecycleConfiguration={"Rules": renamed}
        )
    s3.put_bucket_policy(Bucket=name, Policy=json.dumps(policy["PolicyDocument"]))


def settle_role(iam: Any, role: dict[str, Any]) -> None:
    for policy in role["Policies"]:
        iam.put_role_policy(
            RoleName=role["RoleName"],
            PolicyName=policy["PolicyName"],
            PolicyDocument=json.dumps(policy["PolicyDocument"]),
        )


def settle_task(ecs: Any, task: dict[str, Any], known: dict[str, str]) -> None:
    registered = ecs.register_task_definition(**camel(task))["taskDefinition"]
    ecs.update_service(
        cluster=known["cluster"],
        service=known["service"],
        taskDefinition=registered["taskDefinitionArn"],
    )


def settle_scaling(
    autoscaling: Any, capacity: dict[str, Any], policy: dict[str, Any]
) -> None:
    autoscaling.register_scalable_target(**capacity)
    where = ("ServiceNamespace", "ScalableDimension", "ResourceId")
    own = {key: value for key, value in policy.items() if key != "ScalingTargetId"}
    autoscaling.put_scaling_policy(**own, **{key: capacity[key] for key in where})


def camel(value: Any) -> Any:
    """ECS's API writes its keys with a small first letter, CloudFormation with a capital."""
    if isinstance(value, list):
        return [camel(item) for item in value]
    if isinstance(value, dict):
        return {key[0].lower() + key[1:]: camel(item) for key, item in value.items()}
    return value
