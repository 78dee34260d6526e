"""That tests which share a slow set-up run on one worker: nothing says so when they do not."""

import os

import pytest


@pytest.mark.xdist_group("together")
def test_xdist_honours_groups(request):
    if "PYTEST_XDIST_WORKER" not in os.environ:
        pytest.skip("there is one process")
    assert request.node.nodeid.endswith("@together")
