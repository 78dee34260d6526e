"""What the stack must keep to, whichever language states it.

Each rule is a function from facts to a sentence when it is broken, else None. They judge the files before
anything is deployed, and what `deployed.read` finds afterwards.
"""

import re
from collections.abc import Callable

from triage.deploy.facts import Facts

AUDIT_DAYS = 365
"""How long somebody may ask what a decision was made with."""

READ = {"s3:GetObject", "s3:ListBucket"}
WRITE = READ | {"s3:AbortMultipartUpload", "s3:PutObject"}
BLOCKS = {
    "block_public_acls",
    "block_public_policy",
    "ignore_public_acls",
    "restrict_public_buckets",
}
NAMELESS = {"ecr:GetAuthorizationToken on *"}
"""The one action here that knows no resource."""

Rule = Callable[[Facts], str | None]
RULES: list[Rule] = []


def rule(function: Rule) -> Rule:
    RULES.append(function)
    return function


def check(facts: Facts) -> list[str]:
    """One sentence for every broken rule."""
    return [message for judge in RULES if (message := judge(facts))]


@rule
def not_public(facts: Facts) -> str | None:
    missing = BLOCKS - set(facts["bucket blocks"])
    if missing or facts["bucket policy allows"]:
        opened = [*sorted(missing), *facts["bucket policy allows"]]
        return f"The bucket can be opened to the public: {', '.join(opened)}."
    return None


@rule
def encrypted(facts: Facts) -> str | None:
    if not facts["bucket encryption"]:
        return "The bucket does not say how it encrypts."
    return None


@rule
def tls_only(facts: Facts) -> str | None:
    if not facts["bucket refuses plain HTTP"]:
        return "The bucket answers plain HTTP."
    return None


@rule
def versioned(facts: Facts) -> str | None:
    if facts["bucket versioning"] != "Enabled":
        return "The bucket keeps no old versions: an overwritten model is gone."
    return None


# region kept
@rule
def champions_never_expire(facts: Facts) -> str | None:
    if any(cycle["current objects"] for cycle in facts["bucket lifecycle"]):
        return "The bucket deletes models by age, and the champion ages too."
    return None


@rule
def old_versions_outlive_the_audit(facts: Facts) -> str | None:
    days = [
        cycle["old versions"]
        for cycle in facts["bucket lifecycle"]
        if cycle["old versions"] is not None
    ]
    if min(days, default=AUDIT_DAYS) < AUDIT_DAYS:
        return f"Overwritten models are kept {min(days)} days, less than {AUDIT_DAYS}."
    return None


# endregion kept


@rule
def outlives_the_stack(facts: Facts) -> str | None:
    if facts.get("bucket when the stack goes", "stays") != "stays":
        return "Whoever deletes the stack deletes every model."
    return None


@rule
def no_wildcards(facts: Facts) -> str | None:
    wild = [
        line
        for role in ("trainer role", "service role", "execution role")
        for line in facts[role]
        if re.search(r"^[^ ]*\*[^ ]* on | on \*$", line) and line not in NAMELESS
    ]
    return f"A role is allowed too much: {', '.join(wild)}." if wild else None


def beyond(lines: list[str], actions: set[str]) -> list[str]:
    """What a role may do besides these actions."""
    known = tuple(f"{action} on " for action in actions)
    return [line for line in lines if not line.startswith((*known, "taken by "))]


@rule
def service_only_reads(facts: Facts) -> str | None:
    if more := beyond(facts["service role"], READ):
        return f"The service may do more than read models: {', '.join(more)}."
    return None


@rule
def service_is_not_the_trainer(facts: Facts) -> str | None:
    if "trainer" in (facts["task runs as"] or ""):
        return "The service runs as the trainer, who may write models."
    return None


@rule
def trainer_cannot_delete(facts: Facts) -> str | None:
    if more := beyond(facts["trainer role"], WRITE):
        return f"The trainer may do more than add models: {', '.join(more)}."
    return None


@rule
def logs_end(facts: Facts) -> str | None:
    if not facts["log retention days"]:
        return "Logs are kept for ever; customers' messages may be in them."
    return None


# region identity
@rule
def image_by_digest(facts: Facts) -> str | None:
    if not re.search(r"@(\{image_digest\}|sha256:[0-9a-f]{64})$", facts["image"]):
        return f"The image is not named by digest: {facts['image']}."
    return None


@rule
def model_by_alias(facts: Facts) -> str | None:
    if not re.search(r"--model models:/triage@[a-z]+$", facts["command"]):
        return f"The model is not named by alias: {facts['command']}."
    return None


# endregion identity


@rule
def threads_match_cores(facts: Facts) -> str | None:
    threads = facts["environment"].get("OMP_NUM_THREADS")
    cores = max(1, facts["task cpu"] // 1024)
    if threads != str(cores):
        return f"The encoder computes in {threads} threads on {cores} cores."
    return None


@rule
def ready_before_traffic(facts: Facts) -> str | None:
    if facts["health check path"] != "/readyz":
        return f"Traffic follows {facts['health check path']}; only /readyz knows the model is loaded."
    return None
