"""Reads the CloudFormation template into facts."""

import re
from pathlib import Path
from typing import Any

import yaml

from triage.deploy.facts import Facts, allowed, grants, refuses_plain_http
from triage.errors import TriageError

TEMPLATE = Path(__file__).parent / "cloudformation.yaml"


class Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short functions: `!Ref X` becomes {"Ref": "X"}."""


def function(loader: yaml.Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if not isinstance(node, yaml.ScalarNode):
        raise TriageError(
            f"Line {node.start_mark.line + 1}: !{suffix} is written here as a list. Write it as one text."
        )
    return {suffix if suffix == "Ref" else f"Fn::{suffix}": node.value}


Loader.add_multi_constructor("!", function)


def load(path: Path = TEMPLATE) -> dict[str, Any]:
    """The template as it stands, functions unresolved."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader)
    except yaml.YAMLError as error:
        raise TriageError(
            f"{path} is not YAML. Run cfn-lint on it to see where."
        ) from error


def snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def symbol(reference: str) -> str:
    """What facts call a reference: `AWS::Region` is {region}, `Models.Arn` is {models.arn}."""
    if reference.startswith("AWS::"):
        return {"AWS::AccountId": "{account}", "AWS::Region": "{region}"}[reference]
    name, _, attribute = reference.partition(".")
    return (
        f"{{{snake(name)}.{attribute.lower()}}}" if attribute else f"{{{snake(name)}}}"
    )


def resolved(value: Any) -> Any:
    """The value with every function replaced by text."""
    if isinstance(value, list):
        return [resolved(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "Ref" in value:
        return symbol(value["Ref"])
    if "Fn::GetAtt" in value:
        return symbol(value["Fn::GetAtt"])
    if "Fn::Sub" in value:
        return re.sub(r"\$\{(.+?)\}", lambda match: symbol(match[1]), value["Fn::Sub"])
    return {key: resolved(item) for key, item in value.items()}


def resources(template: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Every resource by its logical name, resolved, with Properties."""
    found = resolved(template["Resources"])
    return {name: {"Properties": {}, **body} for name, body in found.items()}


def read(path: Path = TEMPLATE) -> Facts:
    """The facts the template states.

    Raises TriageError if a resource of the stack is missing.
    """
    found = resources(load(path))
    try:
        return {
            "resources": sorted(
                f"{body['Type']} {snake(name)}" for name, body in found.items()
            ),
            **bucket(found["Models"], found["ModelsPolicy"]["Properties"]),
            "trainer role": role(found["TrainerRole"]["Properties"]),
            "service role": role(found["ServiceRole"]["Properties"]),
            "execution role": role(found["ExecutionRole"]["Properties"]),
            "log retention days": found["Logs"]["Properties"].get("RetentionInDays"),
            **task(found["Task"]["Properties"]),
            **health(found["Targets"]["Properties"]),
            **service(found["Service"]["Properties"]),
            **scaling(found["Capacity"]["Properties"], found["Scaling"]["Properties"]),
        }
    except KeyError as error:
        raise TriageError(
            f"{path} has no {error.args[0]}. Put it back, or change what is read from it."
        ) from error


def bucket(resource: dict[str, Any], policy: dict[str, Any]) -> Facts:
    properties = resource["Properties"]
    rules = properties.get("LifecycleConfiguration", {}).get("Rules", [])
    encryption = properties.get("BucketEncryption", {})
    document = policy["PolicyDocument"]
    return {
        "bucket name": properties["BucketName"],
        "bucket when the stack goes": (
            "stays" if resource.get("DeletionPolicy") == "Retain" else "goes"
        ),
        "bucket versioning": properties.get("VersioningConfiguration", {}).get(
            "Status"
        ),
        "bucket encryption": [
            rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"]
            for rule in encryption.get("ServerSideEncryptionConfiguration", [])
        ],
        "bucket blocks": sorted(
            snake(name)
            for name, on in properties.get("PublicAccessBlockConfiguration", {}).items()
            if on
        ),
        "bucket lifecycle": [lifecycle(rule) for rule in rules],
        "bucket policy allows": allowed(document),
        "bucket refuses plain HTTP": refuses_plain_http(document, "{models.arn}"),
    }


def lifecycle(rule: dict[str, Any]) -> Facts:
    """Days after which a rule acts; None where it does not."""
    return {
        "status": rule["Status"],
        "current objects": rule.get("ExpirationInDays") or rule.get("ExpirationDate"),
        "old versions": rule.get("NoncurrentVersionExpiration", {}).get(
            "NoncurrentDays"
        ),
        "unfinished uploads": rule.get("AbortIncompleteMultipartUpload", {}).get(
            "DaysAfterInitiation"
        ),
    }


def role(properties: dict[str, Any]) -> list[str]:
    documents = [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
    return grants(
        properties["AssumeRolePolicyDocument"],
        documents,
        properties.get("ManagedPolicyArns", []),
    )


def task(properties: dict[str, Any]) -> Facts:
    [container] = properties["ContainerDefinitions"]
    return {
        "task cpu": int(properties["Cpu"]),
        "task memory": int(properties["Memory"]),
        "task runs as": properties["TaskRoleArn"],
        "task is started by": properties["ExecutionRoleArn"],
        "image": container["Image"],
        "command": " ".join(container["Command"]),
        "environment": {
            item["Name"]: item["Value"] for item in container["Environment"]
        },
        "port": [mapping["ContainerPort"] for mapping in container["PortMappings"]],
        "logs go to": container["LogConfiguration"]["Options"]["awslogs-group"],
    }


def health(properties: dict[str, Any]) -> Facts:
    return {
        "health check path": properties["HealthCheckPath"],
        "health check every": properties["HealthCheckIntervalSeconds"],
        "traffic goes to port": properties["Port"],
    }


def service(properties: dict[str, Any]) -> Facts:
    network = properties["NetworkConfiguration"]["AwsvpcConfiguration"]
    return {
        "seconds to start up": properties.get("HealthCheckGracePeriodSeconds", 0),
        "public address": network["AssignPublicIp"] == "ENABLED",
    }


def scaling(capacity: dict[str, Any], policy: dict[str, Any]) -> Facts:
    tracking = policy["TargetTrackingScalingPolicyConfiguration"]
    metric = tracking["PredefinedMetricSpecification"]["PredefinedMetricType"]
    return {
        "tasks at least": capacity["MinCapacity"],
        "tasks at most": capacity["MaxCapacity"],
        "scales on": f"{metric} at {tracking['TargetValue']:g}",
    }
