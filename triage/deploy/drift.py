"""Drift: where what is deployed no longer is what the file says."""

from pathlib import Path

from triage.deploy import cloudformation, deployed
from triage.deploy.facts import FILE_ONLY, Difference, differences, filled_in


# region drift
def drift(
    account: deployed.Account, template: Path = cloudformation.TEMPLATE
) -> list[Difference]:
    """Every fact on which the file (left) and the deployed stack (right) disagree."""
    found = deployed.read(account)
    stated = filled_in(cloudformation.read(template), account.known())
    for fact in FILE_ONLY:
        del stated[fact]
    return differences(stated, found)


# endregion drift
