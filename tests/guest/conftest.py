"""What of the drivers' suite takes minutes in a guest belongs to the full product."""

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A revert of an LVM volume passes many points; ``test_lvm`` kills it at those that are LVM's own each time."""
    for item in items:
        if item.path.name == "test_lvm_conformance.py" and "test_killed" in item.name and "[revert]" in item.name:
            item.add_marker(pytest.mark.full)
