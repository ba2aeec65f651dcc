"""The tests. One class, so that a driver's own tests inherit all of them and may add theirs.

Knows the contract of ``volumed.driver.interface`` and nothing of any backend.
"""

import logging
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from volumed.driver.conformance.kills import kill_at, passages
from volumed.driver.conformance.lab import Lab
from volumed.driver.conformance.managing import ManagingConformance
from volumed.driver.conformance.scenarios import (
    GIB,
    LENGTH,
    OFFSET,
    PATTERN,
    Scenario,
    Stage,
    delete,
    is_refused,
    password_of,
    purge,
    scenarios,
)
from volumed.driver.errors import BackendBusy, BackendInvalid, BackendNotFound
from volumed.driver.interface import Driver, Reverts, SnapshotRef, VolumeRef, unwatched


class Stopped(Exception):
    """Raised by a progress that wants the copy to end."""


class DriverConformance(ManagingConformance):
    """Subclass it, and give the class a fixture ``lab`` (scope ``class`` saves time) that makes a ``Lab``.

    As in the product, one driver object works at a time: after another process worked, a new one is set up.
    """

    @pytest.fixture
    def driver(self, lab: Lab) -> Iterator[Driver]:
        driver = lab.driver()
        driver.do_setup()
        driver.check_for_setup_error()
        yield driver
        left = driver.audit()
        assert not left, f"left behind: {left}"

    @pytest.fixture
    def stage(self, lab: Lab, driver: Driver) -> Iterator[Stage]:
        stage = Stage(lab, uuid.uuid4().hex[:12])
        yield stage
        stage.clear(_set_up(lab))

    # --- what it says of itself ------------------------------------------------------------------------------------

    def test_capabilities_are_plausible_and_the_storage_keeps_its_id(self, lab: Lab, driver: Driver) -> None:
        again = lab.driver()
        again.do_setup()
        for pool, same in zip(driver.capabilities().pools, again.capabilities().pools, strict=True):
            if pool.total_gib is not None and pool.free_gib is not None:
                assert 0 <= pool.free_gib <= pool.total_gib
                assert 0 <= pool.foreign_gib <= pool.total_gib
            assert pool.storage_id
            assert pool.storage_id == same.storage_id

    def test_the_pool_of_the_lab_is_reported(self, lab: Lab, driver: Driver) -> None:
        assert lab.pool in [pool.name for pool in driver.capabilities().pools]

    def test_set_up_twice_is_set_up(self, driver: Driver, stage: Stage) -> None:
        driver.create(stage.volume)
        driver.do_setup()
        assert driver.has_volume(stage.volume)

    # --- volumes -----------------------------------------------------------------------------------------------------

    def test_a_new_volume_reads_as_zeros_and_has_its_size(self, driver: Driver, stage: Stage) -> None:
        driver.create(stage.volume)
        assert stage.holds(driver, stage.volume, pattern=0)

    def test_a_volume_created_again_keeps_its_data(self, driver: Driver, stage: Stage) -> None:
        first = driver.create(stage.source)
        stage.fill(driver, stage.source)
        assert driver.create(stage.source) == first
        assert stage.holds(driver, stage.source)

    def test_what_was_deleted_is_gone_and_may_be_deleted_again(self, driver: Driver, stage: Stage) -> None:
        driver.create(stage.volume)
        driver.delete(stage.volume)
        driver.delete(stage.volume)
        assert not driver.has_volume(stage.volume)

    def test_an_absent_volume_is_not_there_whole(self, driver: Driver, stage: Stage) -> None:
        assert not driver.has_volume(stage.volume)
        assert not driver.has_snapshot(stage.snapshot)

    def test_a_grown_volume_keeps_its_data_and_its_new_end_is_zeros(self, driver: Driver, stage: Stage) -> None:
        driver.create(stage.source)
        stage.fill(driver, stage.source)
        driver.extend(stage.source, 3)
        driver.extend(stage.source, 3)
        grown = replace(stage.source, size=3)
        assert driver.has_volume(grown)
        assert stage.holds(driver, grown)
        assert stage.holds(driver, grown, pattern=0, offset=3 * GIB - LENGTH)

    def test_extend_never_shrinks(self, driver: Driver, stage: Stage) -> None:
        driver.create(stage.volume)
        driver.extend(stage.volume, 1)
        assert driver.has_volume(stage.volume)

    def test_what_needs_an_absent_volume_says_not_found(self, driver: Driver, stage: Stage) -> None:
        with pytest.raises(BackendNotFound):
            driver.extend(stage.source, 2)
        with pytest.raises(BackendNotFound):
            driver.create_from_volume(stage.volume, stage.source, unwatched)
        with pytest.raises(BackendNotFound):
            driver.create_from_snapshot(stage.volume, stage.source_snapshot, unwatched)
        with pytest.raises(BackendNotFound):
            driver.create_snapshot(stage.source_snapshot, False, unwatched)
        with pytest.raises(BackendNotFound):
            driver.ensure_export(stage.volume, [stage.access("first")])

    # --- copies ------------------------------------------------------------------------------------------------------

    def test_copies_of_copies_each_keep_their_own_data(self, driver: Driver, stage: Stage, lab: Lab) -> None:
        """source -> snapshot -> volume -> snapshot -> volume -> clone, each written to after it was copied."""
        driver.create(stage.source)
        chain = [stage.source]
        snapshots: list[SnapshotRef] = []
        for level in range(3):
            stage.fill(driver, chain[-1], pattern=level + 1)
            chain.append(VolumeRef(f"{stage.name}-level{level}", 1, lab.pool))
            if level < 2:
                snapshots.append(SnapshotRef(f"{stage.name}-snapshot{level}", chain[-2], 1))
                driver.create_snapshot(snapshots[-1], False, unwatched)
                driver.create_from_snapshot(chain[-1], snapshots[-1], unwatched)
            else:
                driver.create_from_volume(chain[-1], chain[-2], unwatched)
        stage.fill(driver, chain[-1], pattern=9)
        assert [stage.holds(driver, volume, pattern=value) for volume, value in zip(chain, (1, 2, 3, 9), strict=True)]
        for volume, value in zip(chain, (1, 2, 3, 9), strict=True):
            assert stage.holds(driver, volume, pattern=value), volume.id
        for snapshot in snapshots:
            driver.delete_snapshot(snapshot)
        remaining = [volume for volume in chain[1:] if driver.delete(volume) is not None]
        for volume in reversed(remaining):
            purge(driver, volume)

    def test_a_snapshot_stays_what_it_was_and_outlives_changes(self, driver: Driver, stage: Stage) -> None:
        driver.create(stage.source)
        stage.fill(driver, stage.source)
        driver.create_snapshot(stage.snapshot, False, unwatched)
        stage.fill(driver, stage.source, pattern=3)
        driver.create_snapshot(stage.snapshot, False, unwatched)
        driver.create_from_snapshot(stage.volume, stage.snapshot, unwatched)
        driver.create_from_snapshot(stage.volume, stage.snapshot, unwatched)
        assert stage.holds(driver, stage.volume)
        assert stage.holds(driver, stage.source, pattern=3)

    def test_a_reverted_volume_is_its_snapshot_and_both_go_on_apart(self, driver: Driver, stage: Stage) -> None:
        if not isinstance(driver, Reverts):
            pytest.skip("the driver has no ability Reverts")
        driver.create(stage.source)
        stage.fill(driver, stage.source)
        driver.create_snapshot(stage.source_snapshot, False, unwatched)
        for pattern in (3, 4):
            stage.fill(driver, stage.source, pattern=pattern)
            driver.revert(stage.source, stage.source_snapshot, unwatched)
            assert stage.holds(driver, stage.source)
        stage.fill(driver, stage.source, pattern=5)
        driver.create_from_snapshot(stage.volume, stage.source_snapshot, unwatched)
        assert stage.holds(driver, stage.volume)
        assert stage.holds(driver, stage.source, pattern=5)

    def test_what_an_audit_found_is_removed_and_nothing_beside_it(self, driver: Driver, stage: Stage) -> None:
        driver.create(stage.source)
        stage.fill(driver, stage.source)
        driver.create(stage.volume)
        before = set(driver.audit())
        (left,) = [found for found in before if found.id == stage.volume.id]
        driver.remove_leftover(left)
        driver.remove_leftover(left)
        assert set(driver.audit()) == before - {left}
        assert stage.holds(driver, stage.source)

    def test_a_copy_that_is_stopped_goes_on_or_leaves_nothing(self, driver: Driver, stage: Stage) -> None:
        """A service that ends stops its copies, and its next start makes them; a cancelled one is deleted."""
        driver.create(stage.source)
        stage.fill(driver, stage.source)
        before = set(driver.audit())
        told = []

        def stop(done: int, total: int) -> None:
            told.append(done)
            raise Stopped

        try:
            driver.create_from_volume(stage.volume, stage.source, stop)
        except Stopped:
            assert not driver.has_volume(stage.volume)
            driver.create_from_volume(stage.volume, stage.source, unwatched)
            assert stage.holds(driver, stage.volume)
            delete(driver, stage.volume)
            with pytest.raises(Stopped):
                driver.create_from_volume(stage.volume, stage.source, stop)
            delete(driver, stage.volume)
            assert set(driver.audit()) == before
        else:
            assert not told, "what progress raises must stop the copy"

    def test_a_snapshot_of_an_attached_volume_is_one_instant_or_refused(self, driver: Driver, stage: Stage) -> None:
        driver.create(stage.source)
        stage.fill(driver, stage.source)
        if driver.capabilities().snapshot_attached_support:
            driver.create_snapshot(stage.snapshot, True, unwatched)
            driver.create_from_snapshot(stage.volume, stage.snapshot, unwatched)
            assert stage.holds(driver, stage.volume)
        else:
            with pytest.raises(BackendInvalid):
                driver.create_snapshot(stage.snapshot, True, unwatched)

    # --- exports -----------------------------------------------------------------------------------------------------

    def test_an_export_is_listed_by_the_next_driver_object_too(self, lab: Lab, driver: Driver, stage: Stage) -> None:
        driver.create(stage.volume)
        driver.ensure_export(stage.volume, [stage.access("first"), stage.access("second")])
        following = lab.driver()
        following.do_setup()
        assert not following.check_health()
        found = following.exports()[stage.volume.id]
        assert found.usernames == {stage.access("first").username, stage.access("second").username}
        assert found.size_bytes == stage.volume.size * GIB
        assert found.sessions == ()

    def test_an_export_without_accesses_is_there_and_lets_nobody_in(self, driver: Driver, stage: Stage) -> None:
        driver.create(stage.volume)
        driver.ensure_export(stage.volume, [])
        assert driver.exports()[stage.volume.id].usernames == frozenset()
        if stage.lab.data.authenticates:
            assert is_refused(stage, driver, stage.access("first"))

    def test_an_export_removed_twice_is_gone(self, driver: Driver, stage: Stage) -> None:
        driver.create(stage.volume)
        driver.ensure_export(stage.volume, [stage.access("first")])
        driver.remove_export(stage.volume)
        driver.remove_export(stage.volume)
        assert stage.volume.id not in driver.exports()

    def test_a_changed_password_is_the_only_one_that_opens(self, driver: Driver, stage: Stage) -> None:
        if not stage.lab.data.authenticates:
            pytest.skip("this data path lets everybody in")
        driver.create(stage.volume)
        old, new = stage.access("first"), stage.access("first", password=password_of("another"))
        driver.ensure_export(stage.volume, [old])
        driver.ensure_export(stage.volume, [new])
        assert stage.lab.data.size(driver.connection_info(stage.volume, new)) == stage.volume.size * GIB
        assert is_refused(stage, driver, old)

    def test_a_session_lives_while_others_come_and_go_and_ends_with_its_export(
        self, lab: Lab, driver: Driver, stage: Stage
    ) -> None:
        if not lab.data.authenticates:
            pytest.skip("this data path has no sessions")
        driver.create(stage.volume)
        mine, other = stage.access("first"), stage.access("second")
        driver.ensure_export(stage.volume, [mine])
        with lab.data.session(driver.connection_info(stage.volume, mine)) as session:
            session.write_pattern(PATTERN, OFFSET, LENGTH)
            following = lab.driver()
            following.do_setup()
            following.ensure_export(stage.volume, [mine, other])
            following.ensure_export(stage.volume, [mine])
            assert session.has_pattern(PATTERN, OFFSET, LENGTH)
            assert following.exports()[stage.volume.id].sessions
            following.close()
            assert session.has_pattern(PATTERN, OFFSET, LENGTH), "close() must not cut a session"
            following = _set_up(lab)
            with pytest.raises(BackendBusy):
                following.delete(stage.volume)
            following.remove_export(stage.volume, force=True)
        assert stage.volume.id not in following.exports()

    def test_a_secret_is_in_no_log_and_no_argument_list(
        self, lab: Lab, driver: Driver, stage: Stage, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        access = stage.access("first")
        driver.create(stage.volume)
        driver.ensure_export(stage.volume, [access])
        assert access.password not in caplog.text + repr(access) + repr(driver.exports())
        if lab.data.authenticates:
            with lab.data.session(driver.connection_info(stage.volume, access)):
                assert not _in_argument_lists(access.password)

    # --- kills -------------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("scenario", scenarios(), ids=lambda scenario: scenario.name)
    def test_killed_anywhere_and_asked_again_it_is_done(
        self, lab: Lab, driver: Driver, stage: Stage, scenario: Scenario
    ) -> None:
        if scenario.needs is not None and not isinstance(driver, scenario.needs):
            pytest.skip(f"the driver has no ability {scenario.needs.__name__}")
        scenario.prepare(stage, driver)
        passed = passages(lambda fresh: scenario.call(stage, fresh), _set_up(lab))
        assert passed, "an external effect stands between two crash points"
        scenario.check(stage, _set_up(lab))
        stage.clear(_set_up(lab))
        for passage in passed:
            scenario.prepare(stage, _set_up(lab))
            assert kill_at(passage, lambda fresh: scenario.call(stage, fresh), lambda: _set_up(lab)), passage
            following = _set_up(lab)
            scenario.call(stage, following)
            scenario.check(stage, following)
            stage.clear(following)
            assert not following.audit(), f"left behind by a kill at {passage.point}"

    @pytest.mark.parametrize(
        "scenario", [scenario for scenario in scenarios() if scenario.undo], ids=lambda scenario: scenario.name
    )
    def test_killed_anywhere_and_undone_nothing_is_left(
        self, lab: Lab, driver: Driver, stage: Stage, scenario: Scenario
    ) -> None:
        assert scenario.undo is not None
        scenario.prepare(stage, driver)
        before = set(driver.audit())
        passed = passages(lambda fresh: scenario.call(stage, fresh), _set_up(lab))
        scenario.undo(stage, _set_up(lab))
        for passage in passed:
            assert kill_at(passage, lambda fresh: scenario.call(stage, fresh), lambda: _set_up(lab)), passage
            following = _set_up(lab)
            scenario.undo(stage, following)
            assert set(following.audit()) <= before, f"left behind by a kill at {passage.point}"
            scenario.undo(stage, following)


def _set_up(lab: Lab) -> Driver:
    driver = lab.driver()
    driver.do_setup()
    return driver


def _in_argument_lists(word: str) -> bool:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if word.encode() in path.read_bytes():
                return True
        except OSError:
            continue
    return False
