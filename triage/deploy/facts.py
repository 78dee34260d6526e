"""A stack as facts: one vocabulary for two languages and for what is deployed, so that any two compare.

A fact is a sentence's subject and its value, such as `bucket versioning: Enabled`. What only an account knows
stands in braces: `{account}`, `{models.arn}` for the bucket's ARN, `{image_digest}` for a parameter.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Facts = dict[str, Any]

FILE_ONLY = (
    "resources",
    "bucket when the stack goes",
    "seconds to start up",
    "public address",
)
"""What only the two files are compared on; `deployed.read` does not ask for it."""


@dataclass(frozen=True)
class Difference:
    fact: str
    left: Any
    right: Any

    def __str__(self) -> str:
        """As a diff: `-` before what only the left states, `+` before what only the right does."""
        left, right = as_list(self.left), as_list(self.right)
        gone = [f"  - {value}" for value in left if value not in right]
        come = [f"  + {value}" for value in right if value not in left]
        return "\n".join([self.fact, *gone, *come])


def differences(left: Facts, right: Facts) -> list[Difference]:
    """Every fact the two do not share; a fact that one side does not state is None there."""
    return [
        Difference(fact, left.get(fact), right.get(fact))
        for fact in sorted(left.keys() | right.keys())
        if left.get(fact) != right.get(fact)
    ]


def filled_in(value: Any, known: Mapping[str, str]) -> Any:
    """The value with each `{name}` that is known replaced."""
    if isinstance(value, str):
        for name, text in known.items():
            value = value.replace(f"{{{name}}}", text)
        return value
    if isinstance(value, list):
        return [filled_in(item, known) for item in value]
    if isinstance(value, dict):
        return {key: filled_in(item, known) for key, item in value.items()}
    return value


def as_list(value: Any) -> list[Any]:
    """What is written bare when there is only one, as IAM does; nothing for None."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def allowed(document: Mapping[str, Any]) -> list[str]:
    """What an IAM policy document allows, as sorted lines `ACTION on RESOURCE`."""
    return sorted(
        f"{action} on {resource}"
        for statement in as_list(document["Statement"])
        if statement["Effect"] == "Allow"
        for action in as_list(statement.get("Action", "*"))
        for resource in as_list(statement.get("Resource", "*"))
    )


def grants(
    trust: Mapping[str, Any],
    documents: Iterable[Mapping[str, Any]],
    managed: Iterable[str],
) -> list[str]:
    """A role as sorted lines: who may take it, what its own policies allow, which managed policies it has."""
    takers = [
        f"taken by {name}"
        for statement in as_list(trust["Statement"])
        for names in statement["Principal"].values()
        for name in as_list(names)
    ]
    lines = [line for document in documents for line in allowed(document)]
    return sorted([*takers, *lines, *(f"all of {arn}" for arn in managed)])


def container_facts(definition: Mapping[str, Any]) -> Facts:
    """What a container definition states, in the spelling of ECS, which Terraform passes on as it is."""
    return {
        "image": definition["image"],
        "command": " ".join(definition["command"]),
        "environment": {
            item["name"]: item["value"] for item in definition["environment"]
        },
        "port": [mapping["containerPort"] for mapping in definition["portMappings"]],
        "logs go to": definition["logConfiguration"]["options"]["awslogs-group"],
    }


def refuses_plain_http(document: Mapping[str, Any], bucket_arn: str) -> bool:
    """Whether a bucket policy denies everybody everything that does not come over TLS."""
    return any(
        statement["Effect"] == "Deny"
        and statement["Principal"] in ("*", {"AWS": "*"})
        and as_list(statement["Action"]) == ["s3:*"]
        and {bucket_arn, f"{bucket_arn}/*"} <= set(as_list(statement["Resource"]))
        and statement.get("Condition") == {"Bool": {"aws:SecureTransport": "false"}}
        for statement in as_list(document["Statement"])
    )
