"""What of the drivers' suite takes minutes in a guest belongs to the full product."""

import pytest

#: Each time all of a thin volume over LIO is tried but these kills: a revert passes many points, and ``test_lvm``
#: kills it at those that are LVM's own each time; a copy of a volume, and a snapshot that is taken over or given away,
#: are the commands of a copy of a snapshot, and of a volume; and LIO is killed between any two writes of an export
#: each time, under files (``conformance/test_lio.py``).
OF_THE_WHOLE = (
    "[revert]",
    "[create_from_volume]",
    "_export]",
    "taking_over_and_asked_again_it_is_taken[snapshot]",
    "taking_over_and_undone",
    "given[snapshot]",
)

#: Seconds for one test of the whole: a copy of a thick volume is killed at each of its many steps.
WHOLE = 1800

#: Of another pair what the volumes and the target have to do with each other: device, size, sessions and names.
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
        if item.path.name != "test_lvm_conformance.py":
            continue
        if "TestThinOverLio" in item.nodeid:
            is_full = "test_killed" in item.name and any(name in item.name for name in OF_THE_WHOLE)
        else:
            is_full = item.name not in SAMPLE
        if is_full:
            item.add_marker(pytest.mark.full)
            item.add_marker(pytest.mark.timeout(WHOLE))
