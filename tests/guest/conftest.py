"""What of the drivers' suite takes minutes in a guest belongs to the full product."""

import pytest

#: A revert of an LVM volume passes many points; ``test_lvm`` kills it at those that are LVM's own each time. A snapshot
#: is taken over and given away by the same commands as a volume, whose kills stay.
FULL = ("[revert]", "taking_over_and_asked_again_it_is_taken[snapshot]", "taking_over_and_undone", "given[snapshot]")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them."""
    for item in items:
        is_kill = item.path.name == "test_lvm_conformance.py" and "test_killed" in item.name
        if is_kill and any(name in item.name for name in FULL):
            item.add_marker(pytest.mark.full)
