"""Reads the Terraform files into facts.

Not an evaluator: it follows references and knows no functions but the one `jsonencode` that ECS needs.
Whether Terraform itself would accept the files is for `terraform validate` to say.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hcl2

from triage.deploy.facts import (
    Facts,
    allowed,
    container_facts,
    grants,
    refuses_plain_http,
)
from triage.errors import TriageError

FOLDER = Path(__file__).parent / "terraform"

# Types whose settings CloudFormation writes inside another resource.
PARTS = {
    "aws_iam_role_policy",
    "aws_iam_role_policy_attachment",
    "aws_s3_bucket_lifecycle_configuration",
    "aws_s3_bucket_public_access_block",
    "aws_s3_bucket_server_side_encryption_configuration",
    "aws_s3_bucket_versioning",
}
TYPES = {
    "aws_appautoscaling_policy": "AWS::ApplicationAutoScaling::ScalingPolicy",
    "aws_appautoscaling_target": "AWS::ApplicationAutoScaling::ScalableTarget",
    "aws_cloudwatch_log_group": "AWS::Logs::LogGroup",
    "aws_ecs_cluster": "AWS::ECS::Cluster",
    "aws_ecs_service": "AWS::ECS::Service",
    "aws_ecs_task_definition": "AWS::ECS::TaskDefinition",
    "aws_iam_role": "AWS::IAM::Role",
    "aws_lb_listener_rule": "AWS::ElasticLoadBalancingV2::ListenerRule",
    "aws_lb_target_group": "AWS::ElasticLoadBalancingV2::TargetGroup",
    "aws_s3_bucket": "AWS::S3::Bucket",
    "aws_s3_bucket_policy": "AWS::S3::BucketPolicy",
}
READABLE = hcl2.SerializationOptions(
    strip_string_quotes=True, explicit_blocks=False, with_comments=False
)


@dataclass(frozen=True)
class Files:
    """What a folder of .tf files declares, references unresolved."""

    resources: dict[tuple[str, str], dict[str, Any]]
    documents: dict[str, dict[str, Any]]
    local: dict[str, Any]

    def resource(self, kind: str, name: str) -> dict[str, Any]:
        """A resource, resolved; empty if it is not declared."""
        return self.resolved(self.resources.get((kind, name), {}))

    def resolved(self, value: Any) -> Any:
        """The value with references to locals, documents, variables and resources followed."""
        if isinstance(value, list):
            return [self.resolved(item) for item in value]
        if isinstance(value, dict):
            return {key: self.resolved(item) for key, item in value.items()}
        if not isinstance(value, str):
            return value
        if whole := re.fullmatch(r"\$\{([^{}]+)\}", value):
            return self.referred(whole[1])
        return re.sub(
            r"\$\{([^{}]+)\}", lambda match: str(self.referred(match[1])), value
        )

    def referred(self, expression: str) -> Any:
        match expression.split("."):
            case ["var", name]:
                return f"{{{name}}}"
            case ["local", name]:
                return self.resolved(self.local[name])
            case ["data", "aws_caller_identity", "current", "account_id"]:
                return "{account}"
            case ["data", "aws_region", "current", "region"]:
                return "{region}"
            case ["data", "aws_iam_policy_document", name, "json"]:
                return self.document(name)
            case [kind, name, "arn"] if kind in TYPES:
                return f"{{{name}.arn}}"
            case [kind, name, "id" | "name"] if kind in TYPES:
                return f"{{{name}}}"
        if expression == "jsonencode([local.container])":
            return [self.resolved(self.local["container"])]
        return f"${{{expression}}}"  # nothing a fact is read from

    def document(self, name: str) -> dict[str, Any]:
        """A policy document as the JSON that IAM would be sent."""
        statements = self.resolved(self.documents[name]["statement"])
        return {"Statement": [iam(statement) for statement in statements]}


def iam(statement: dict[str, Any]) -> dict[str, Any]:
    """One statement block in IAM's own words."""
    said: dict[str, Any] = {
        "Effect": statement.get("effect", "Allow"),
        "Action": statement["actions"],
    }
    if "resources" in statement:
        said["Resource"] = statement["resources"]
    for block in statement.get("principals", []):
        everybody = block["type"] == "*"
        said["Principal"] = "*" if everybody else {block["type"]: block["identifiers"]}
    for block in statement.get("condition", []):
        [value] = block["values"]
        said["Condition"] = {block["test"]: {block["variable"]: value}}
    return said


def load(folder: Path = FOLDER) -> Files:
    """Parse every .tf file of a folder.

    Raises TriageError if there is none, or one is not HCL.
    """
    files = Files({}, {}, {})
    paths = sorted(folder.glob("*.tf"))
    if not paths:
        raise TriageError(f"No .tf file in {folder}. Name the folder that has them.")
    for path in paths:
        try:
            parsed = hcl2.loads(
                path.read_text(encoding="utf-8"), serialization_options=READABLE
            )
        except Exception as error:  # whatever its parser raises
            raise TriageError(
                f"{path} is not HCL. Run `terraform fmt` on it to see where."
            ) from error
        for kind, name, body in blocks(parsed.get("resource", [])):
            files.resources[kind, name] = body
        for kind, name, body in blocks(parsed.get("data", [])):
            if kind == "aws_iam_policy_document":
                files.documents[name] = body
        for block in parsed.get("locals", []):
            files.local.update(block)
    return files


def blocks(parsed: list[dict[str, Any]]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for block in parsed:
        for kind, named in block.items():
            for name, body in named.items():
                yield kind, name, body


def read(folder: Path = FOLDER) -> Facts:
    """The facts the files state.

    Raises TriageError if a resource or a setting of the stack is missing.
    """
    files = load(folder)
    try:
        return {
            "resources": sorted(
                f"{TYPES.get(kind, kind)} {name}"
                for kind, name in files.resources
                if kind not in PARTS
            ),
            **bucket(files),
            "trainer role": role(files, "trainer_role"),
            "service role": role(files, "service_role"),
            "execution role": role(files, "execution_role"),
            "log retention days": files.resource(
                "aws_cloudwatch_log_group", "logs"
            ).get("retention_in_days"),
            **task(files.resource("aws_ecs_task_definition", "task")),
            **health(files.resource("aws_lb_target_group", "targets")),
            **service(files.resource("aws_ecs_service", "service")),
            **scaling(files),
        }
    except KeyError as error:
        raise TriageError(
            f"{folder} has no {error.args[0]}. Put it back, or change what is read from it."
        ) from error


def only(blocks: list[dict[str, Any]] | None) -> dict[str, Any]:
    """The one block of its kind, or nothing."""
    return blocks[0] if blocks else {}


def bucket(files: Files) -> Facts:
    itself = files.resource("aws_s3_bucket", "models")
    versioning = files.resource("aws_s3_bucket_versioning", "models")
    encryption = files.resource(
        "aws_s3_bucket_server_side_encryption_configuration", "models"
    )
    block = files.resource("aws_s3_bucket_public_access_block", "models")
    cycle = files.resource("aws_s3_bucket_lifecycle_configuration", "models")
    document = files.resource("aws_s3_bucket_policy", "models_policy")["policy"]
    kept = only(itself.get("lifecycle")).get("prevent_destroy")
    return {
        "bucket name": itself["bucket"],
        "bucket when the stack goes": "stays" if kept else "goes",
        "bucket versioning": only(versioning.get("versioning_configuration")).get(
            "status"
        ),
        "bucket encryption": [
            only(rule["apply_server_side_encryption_by_default"])["sse_algorithm"]
            for rule in encryption.get("rule", [])
        ],
        "bucket blocks": sorted(name for name, on in block.items() if on is True),
        "bucket lifecycle": [lifecycle(rule) for rule in cycle.get("rule", [])],
        "bucket policy allows": allowed(document),
        "bucket refuses plain HTTP": refuses_plain_http(document, "{models.arn}"),
    }


def lifecycle(rule: dict[str, Any]) -> Facts:
    """Days after which a rule acts; None where it does not."""
    expiration = only(rule.get("expiration"))
    return {
        "status": rule["status"],
        "current objects": expiration.get("days") or expiration.get("date"),
        "old versions": only(rule.get("noncurrent_version_expiration")).get(
            "noncurrent_days"
        ),
        "unfinished uploads": only(rule.get("abort_incomplete_multipart_upload")).get(
            "days_after_initiation"
        ),
    }


def role(files: Files, name: str) -> list[str]:
    attached = [
        files.resolved(body)
        for (kind, _), body in files.resources.items()
        if kind in ("aws_iam_role_policy", "aws_iam_role_policy_attachment")
    ]
    mine = [body for body in attached if body["role"] == f"{{{name}}}"]
    return grants(
        files.resource("aws_iam_role", name)["assume_role_policy"],
        [body["policy"] for body in mine if "policy" in body],
        [body["policy_arn"] for body in mine if "policy_arn" in body],
    )


def task(body: dict[str, Any]) -> Facts:
    [container] = body["container_definitions"]
    return {
        "task cpu": int(body["cpu"]),
        "task memory": int(body["memory"]),
        "task runs as": body["task_role_arn"],
        "task is started by": body["execution_role_arn"],
        **container_facts(container),
    }


def health(body: dict[str, Any]) -> Facts:
    check = only(body["health_check"])
    return {
        "health check path": check["path"],
        "health check every": check["interval"],
        "traffic goes to port": body["port"],
    }


def service(body: dict[str, Any]) -> Facts:
    network = only(body["network_configuration"])
    return {
        "seconds to start up": body.get("health_check_grace_period_seconds", 0),
        "public address": network["assign_public_ip"],
    }


def scaling(files: Files) -> Facts:
    capacity = files.resource("aws_appautoscaling_target", "capacity")
    policy = files.resource("aws_appautoscaling_policy", "scaling")
    tracking = only(policy["target_tracking_scaling_policy_configuration"])
    metric = only(tracking["predefined_metric_specification"])
    return {
        "tasks at least": capacity["min_capacity"],
        "tasks at most": capacity["max_capacity"],
        "scales on": f"{metric['predefined_metric_type']} at {tracking['target_value']:g}",
    }
