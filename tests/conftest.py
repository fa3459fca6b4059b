"""What every test of the stack may ask for."""

import pytest

import workspace
from workspace import Dist


@pytest.fixture(scope="session")
def dists() -> dict[str, Dist]:
    """Every distribution of the checkout but the root's own, by name."""
    return workspace.find()
