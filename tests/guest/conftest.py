"""All of the drivers' suite runs thin over LIO each time; of the other pairs a sample, and all in the full product."""

from pathlib import Path

import pytest

#: Seconds for one test of the whole: a copy of a thick volume is killed at each of its many steps.
WHOLE = 1800

#: Of another pair each time: what volumes and targets have to do with each other (device, size, sessions, names).
SAMPLE = (
    "test_a_grown_volume_keeps_its_data_and_its_new_end_is_zeros",
    "test_a_snapshot_of_an_attached_volume_is_one_instant_or_refused",
    "test_an_export_is_listed_by_the_next_driver_object_too",
    "test_a_changed_password_is_the_only_one_that_opens",
    "test_a_session_lives_while_others_come_and_go_and_ends_with_its_export",
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark it."""
    for item in items:
        is_sampled = item.path.name == "test_lvm_conformance.py" and "TestThinOverLio" not in item.nodeid
        if is_sampled and item.name not in SAMPLE:
            item.add_marker(pytest.mark.full)
            item.add_marker(pytest.mark.timeout(WHOLE))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the state of a service is that is the user nobody."""
    for path in (tmp_path, *list(tmp_path.parents)[:3]):
        path.chmod(0o777)
    return tmp_path
