"""What a job uses is measured in its own namespace, never in the host's."""

import os

from autograder.sandbox import Limits
from autograder.sandbox.usage import broken


def test_a_job_that_has_not_left_the_hosts_root_is_not_blamed_for_the_host():
    assert broken(os.getpid(), Limits(memory=1)) == ""
