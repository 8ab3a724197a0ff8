"""The nginx that tests start."""

import os

import pytest

from deploy import local


def nginx() -> str:
    """Return the nginx of this machine; without one the test is skipped, or fails where one is required."""
    found = local.find_nginx()
    if found is None:
        (pytest.fail if os.environ.get("LAYERWISE_REQUIRE_NGINX") == "1" else pytest.skip)(local.HOW_TO_GET)
    return found
