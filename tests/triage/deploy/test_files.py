"""The two files: valid as far as can be told offline, alike in every fact, and within the rules."""

import re
import shutil
from pathlib import Path

import pytest
from cfnlint.api import lint as findings

from triage.deploy import cloudformation, policy, terraform
from triage.deploy.facts import Facts, differences
from triage.errors import TriageError


def lint(template: Path) -> list[str]:
    """The rules of cfn-lint that a template breaks."""
    return [match.rule.id for match in findings(template.read_text())]


def test_cfn_lint_finds_nothing() -> None:
    assert lint(cloudformation.TEMPLATE) == []


@pytest.mark.parametrize(
    ("right", "wrong", "rule"),
    [
        ('Cpu: "1024"', 'Cpu: "1000"', "E3047"),
        ("RetentionInDays: 30", "RetentionInDays: 31", "E3030"),
        ("!Ref Targets", "!Ref Target", "E1020"),
        ("SSEAlgorithm: AES256", "SSEAlgorithm: AES", "E3030"),
        ("    DeletionPolicy: Retain\n", "", "W3011"),
    ],
)
def test_cfn_lint_would_find(tmp_path: Path, right: str, wrong: str, rule: str) -> None:
    assert rule in lint(changed_template(tmp_path, right, wrong))


def changed_template(folder: Path, right: str, wrong: str) -> Path:
    """A copy of the template with its first `right` replaced."""
    text = cloudformation.TEMPLATE.read_text()
    assert right in text
    path = folder / "cloudformation.yaml"
    path.write_text(text.replace(right, wrong, 1))
    return path


def changed_terraform(folder: Path, right: str, wrong: str) -> Path:
    """A copy of the Terraform files with the first `right` in them replaced."""
    copy = folder / "terraform"
    shutil.copytree(terraform.FOLDER, copy)
    paths = [path for path in sorted(copy.glob("*.tf")) if right in path.read_text()]
    paths[0].write_text(paths[0].read_text().replace(right, wrong, 1))
    return copy


def test_every_terraform_file_is_read() -> None:
    files = terraform.load()
    assert {kind for kind, _ in files.resources} == terraform.PARTS - {
        "aws_iam_role_policy_attachment"
    } | set(terraform.TYPES)


def test_terraform_that_is_no_hcl(tmp_path: Path) -> None:
    folder = changed_terraform(tmp_path, 'resource "aws_s3_bucket" "models" {', "{")
    with pytest.raises(TriageError, match=r"models\.tf is not HCL"):
        terraform.read(folder)
    with pytest.raises(TriageError, match=r"No \.tf file"):
        terraform.read(tmp_path)


def test_references_in_terraform_lead_somewhere() -> None:
    """A misspelt reference is Terraform's to refuse; this finds those to resources and variables."""
    text = "\n".join(path.read_text() for path in sorted(terraform.FOLDER.glob("*.tf")))
    code = re.sub(r"#.*", "", text)
    files = terraform.load()
    named = {f"{kind}.{name}" for kind, name in files.resources}
    named |= {f"data.aws_iam_policy_document.{name}" for name in files.documents}
    named |= {f"local.{name}" for name in files.local}
    named |= {f"var.{name}" for name in re.findall(r'variable "(\w+)"', code)}
    used = set(
        re.findall(
            r"\b(?:aws_\w+\.\w+|data\.aws_iam_policy_document\.\w+|(?:local|var)\.\w+)",
            re.sub(r"data\.aws_(?:caller_identity|region)\.\w+\.\w+", "", code),
        )
    )
    used = {name for name in used if not name.startswith("aws_iam_policy_document.")}
    assert used - named == set()
    assert {name for name in named if name.startswith("var.")} <= used


def test_parameters_are_the_same() -> None:
    code = (terraform.FOLDER / "variables.tf").read_text()
    parameters = cloudformation.load()["Parameters"]
    assert sorted(re.findall(r'variable "(\w+)"', code)) == sorted(
        map(cloudformation.snake, parameters)
    )


def test_both_say_the_same() -> None:
    assert differences(terraform.read(), cloudformation.read()) == []


# One realistic slip for each: where it is in each language, and the fact that shows it.
SLIPS = [
    ("Status: Enabled", "Status: Suspended", "bucket versioning"),
    ("SSEAlgorithm: AES256", "SSEAlgorithm: aws:kms", "bucket encryption"),
    ("BlockPublicPolicy: true", "BlockPublicPolicy: false", "bucket blocks"),
    ("NoncurrentDays: 731", "NoncurrentDays: 30", "bucket lifecycle"),
    ('"aws:SecureTransport": "false"', '"aws:SecureTransport": "true"', "bucket refuses plain HTTP"),
    ('                  - "s3:PutObject"\n', "", "trainer role"),
    ('Action: "s3:GetObject"', 'Action: "s3:*"', "service role"),
    ("RetentionInDays: 30", "RetentionInDays: 90", "log retention days"),
    ('Cpu: "1024"', 'Cpu: "2048"', "task cpu"),
    ('Memory: "2048"', 'Memory: "4096"', "task memory"),
    ("ServiceRole.Arn", "TrainerRole.Arn", "task runs as"),
    ("triage@champion", "triage@candidate", "command"),
    ("ContainerPort: 8000", "ContainerPort: 8080", "port"),
    ("HealthCheckPath: /readyz", "HealthCheckPath: /healthz", "health check path"),
    ("AssignPublicIp: DISABLED", "AssignPublicIp: ENABLED", "public address"),
    ("GracePeriodSeconds: 120", "GracePeriodSeconds: 0", "seconds to start up"),
    ("MaxCapacity: 6", "MaxCapacity: 2", "tasks at most"),
    ("TargetValue: 60", "TargetValue: 95", "scales on"),
    ("DeletionPolicy: Retain", "DeletionPolicy: Delete", "bucket when the stack goes"),
    ("ecr:BatchGetImage", "ecr:PutImage", "execution role"),
    ("triage@${ImageDigest}", "triage:latest", "image"),
    ("  Capacity:\n", "  Other:\n    Type: AWS::ECS::Cluster\n\n  Capacity:\n", "resources"),
]  # fmt: skip


@pytest.mark.parametrize(("right", "wrong", "fact"), SLIPS)
def test_a_slip_in_one_file_shows(
    tmp_path: Path, right: str, wrong: str, fact: str
) -> None:
    found = differences(
        terraform.read(), cloudformation.read(changed_template(tmp_path, right, wrong))
    )
    assert [difference.fact for difference in found] == [fact]


def test_a_missing_resource_is_named(tmp_path: Path) -> None:
    path = changed_template(tmp_path, "  Logs:\n", "  LogGroup:\n")
    with pytest.raises(TriageError, match="has no Logs"):
        cloudformation.read(path)


def test_the_files_keep_every_rule() -> None:
    assert policy.check(cloudformation.read()) == []
    assert policy.check(terraform.read()) == []


# The rule's words; the defect in CloudFormation; the same defect in Terraform.
DEFECTS = {
    "block_public_policy": (
        ("BlockPublicPolicy: true", "BlockPublicPolicy: false"),
        ("block_public_policy     = true", "block_public_policy     = false"),
    ),
    r"opened to the public: s3:\* on": (
        ("Effect: Deny", "Effect: Allow"),
        ('effect    = "Deny"', 'effect    = "Allow"'),
    ),
    "how it encrypts": (
        (
            "      BucketEncryption:\n        ServerSideEncryptionConfiguration:\n"
            "          - ServerSideEncryptionByDefault:\n              SSEAlgorithm: AES256\n",
            "",
        ),
        (
            'resource "aws_s3_bucket_server_side_encryption_configuration" "models"',
            'resource "aws_s3_bucket_server_side_encryption_configuration" "other"',
        ),
    ),
    "plain HTTP": (
        ('"aws:SecureTransport": "false"', '"aws:SecureTransport": "true"'),
        ('values   = ["false"]', 'values   = ["true"]'),
    ),
    "keeps no old versions": (
        ("Status: Enabled", "Status: Suspended"),
        ('status = "Enabled"', 'status = "Suspended"'),
    ),
    "deletes models by age": (
        ("            NoncurrentVersion", "            ExpirationInDays: 90\n            NoncurrentVersion"),
        ("    noncurrent_version", "    expiration {\n      days = 90\n    }\n\n    noncurrent_version"),
    ),
    "kept 30 days": (
        ("NoncurrentDays: 731", "NoncurrentDays: 30"),
        ("noncurrent_days = 731", "noncurrent_days = 30"),
    ),
    "deletes every model": (
        ("DeletionPolicy: Retain", "DeletionPolicy: Delete"),
        ("prevent_destroy = true", "prevent_destroy = false"),
    ),
    r"too much: s3:\* on": (
        ('Action: "s3:ListBucket"', 'Action: "s3:*"'),
        ('actions   = ["s3:ListBucket"]', 'actions   = ["s3:*"]'),
    ),
    r"too much: logs:CreateLogStream on \*": (
        ('"arn:aws:logs:${AWS::Region}:${AWS::AccountId}:log-group:/larch/triage:*"', '"*"'),
        ('"arn:aws:logs:${local.region}:${local.account}:log-group:/larch/triage:*"', '"*"'),
    ),
    "more than read models": (
        ('Action: "s3:GetObject"', 'Action: "s3:PutObject"'),
        ('actions   = ["s3:GetObject"]', 'actions   = ["s3:PutObject"]'),
    ),
    "runs as the trainer": (
        ("GetAtt ServiceRole.Arn", "GetAtt TrainerRole.Arn"),
        ("aws_iam_role.service_role.arn", "aws_iam_role.trainer_role.arn"),
    ),
    "more than add models": (
        ('- "s3:PutObject"', '- "s3:PutObject"\n                  - "s3:DeleteObjectVersion"'),
        ('"s3:PutObject"]', '"s3:PutObject", "s3:DeleteObjectVersion"]'),
    ),
    "kept for ever": (
        ("      RetentionInDays: 30\n", ""),
        ("  retention_in_days = 30\n", ""),
    ),
    "not named by digest": (
        ("triage@${ImageDigest}", "triage:latest"),
        ("triage@${var.image_digest}", "triage:latest"),
    ),
    "not named by alias": (
        ("models:/triage@champion", "models:/triage/7"),
        ("models:/triage@champion", "models:/triage/7"),
    ),
    "1 threads on 2 cores": (
        ('Cpu: "1024"', 'Cpu: "2048"'),
        ("cpu                      = 1024", "cpu                      = 2048"),
    ),
    "only /readyz knows": (
        ("HealthCheckPath: /readyz", "HealthCheckPath: /healthz"),
        ('"/readyz"', '"/healthz"'),
    ),
}  # fmt: skip


@pytest.mark.parametrize("words", DEFECTS)
def test_a_defect_breaks_its_rule_in_both(tmp_path: Path, words: str) -> None:
    in_template, in_terraform = DEFECTS[words]
    stated: list[Facts] = [
        cloudformation.read(changed_template(tmp_path, *in_template)),
        terraform.read(changed_terraform(tmp_path, *in_terraform)),
    ]
    for facts in stated:
        assert any(re.search(words, message) for message in policy.check(facts)), facts


def test_every_rule_has_its_defect(tmp_path: Path) -> None:
    broken = set()
    for number, ((right, wrong), _) in enumerate(DEFECTS.values()):
        folder = tmp_path / str(number)
        folder.mkdir()
        facts = cloudformation.read(changed_template(folder, right, wrong))
        broken |= {rule.__name__ for rule in policy.RULES if rule(facts)}
    assert broken == {rule.__name__ for rule in policy.RULES}


def test_a_managed_policy_counts(tmp_path: Path) -> None:
    """What a managed policy allows is not in the file, so the service may have none."""
    arn = "arn:aws:iam::aws:policy/AmazonS3FullAccess"
    template = changed_template(
        tmp_path,
        "      RoleName: triage-service\n",
        f"      RoleName: triage-service\n      ManagedPolicyArns: [{arn}]\n",
    )
    attachment = (
        'resource "aws_iam_role_policy_attachment" "s3" {\n'
        f'  role       = aws_iam_role.service_role.name\n  policy_arn = "{arn}"\n}}\n\n'
    )
    folder = changed_terraform(tmp_path, "locals {", attachment + "locals {")
    stated = [cloudformation.read(template), terraform.read(folder)]
    for facts in stated:
        assert f"all of {arn}" in facts["service role"]
        assert any("more than read" in message for message in policy.check(facts))
    assert differences(*stated) == []
