"""The tests of a driver that can take over what others made (``Manages``); for any other driver they are skipped.

What others made is made here by giving a volume away: nothing is asked of the lab.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import cast

import pytest

from volumed.driver.conformance.kills import kill_at, passages
from volumed.driver.conformance.lab import Lab
from volumed.driver.conformance.scenarios import Stage
from volumed.driver.errors import BackendInvalid, BackendNotFound
from volumed.driver.interface import Driver, Manageable, Manages, Reference, SnapshotRef, VolumeRef

Call = Callable[[Driver], object]


def _able(driver: Driver) -> Manages:
    if not isinstance(driver, Manages):
        pytest.skip("this driver manages nothing that others made")
    return driver


def _as_able(driver: Driver) -> Manages:
    return cast(Manages, driver)


def _fresh(lab: Lab) -> Driver:
    driver = lab.driver()
    driver.do_setup()
    return driver


class ManagingConformance:
    """Part of ``DriverConformance``, whose fixtures it uses."""

    def test_what_is_given_away_can_be_taken_over_with_its_data(self, driver: Driver, stage: Stage) -> None:
        able, taken = _able(driver), replace(stage.volume, size=1)
        reference = _given_away(driver, stage)
        assert not any(found.id == stage.source.id for found in driver.audit())
        assert able.managed_size(reference) == 1
        facts = able.manage(taken, reference)
        assert able.manage(taken, reference) == facts
        assert stage.holds(driver, replace(taken, facts=facts))
        assert any(found.id == taken.id for found in driver.audit())

    def test_what_is_managed_is_listed_with_its_id_and_is_not_safe(self, driver: Driver, stage: Stage) -> None:
        able = _able(driver)
        driver.create(stage.volume)
        (found,) = [each for each in able.manageable_volumes() if each.id == stage.volume.id]
        assert not found.safe_to_manage
        assert found.reason_not_safe
        assert found.size == stage.volume.size
        with pytest.raises(BackendInvalid):
            able.managed_size(found.reference)
        with pytest.raises(BackendInvalid):
            able.manage(replace(stage.source, size=2), found.reference)
        assert driver.has_volume(stage.volume)

    def test_what_is_not_there_or_misnamed_is_refused(self, driver: Driver, stage: Stage) -> None:
        able = _able(driver)
        reference = _given_away(driver, stage)
        absent = dict.fromkeys(reference, f"{stage.name}-nothing")
        with pytest.raises(BackendNotFound):
            able.managed_size(absent)
        with pytest.raises(BackendNotFound):
            able.manage(stage.volume, absent)
        for wrong in ({}, {"nonsense": "x"}, dict.fromkeys(reference, "")):
            with pytest.raises(BackendInvalid):
                able.managed_size(wrong)
        able.unmanage(stage.volume)
        able.manage(replace(stage.source, size=1), reference)

    def test_a_snapshot_given_away_can_be_taken_over_again(self, driver: Driver, stage: Stage) -> None:
        able = _able(driver)
        reference = _snapshot_given_away(driver, stage)
        assert not driver.has_snapshot(stage.source_snapshot)
        assert able.managed_snapshot_size(reference) == 1
        facts = able.manage_snapshot(stage.snapshot, reference)
        assert able.manage_snapshot(stage.snapshot, reference) == facts
        snapshot = replace(stage.snapshot, facts=facts)
        assert driver.has_snapshot(snapshot)
        driver.create_from_snapshot(stage.volume, snapshot, lambda done, total: None)
        assert stage.holds(driver, stage.volume)

    @pytest.mark.parametrize("kind", ["volume", "snapshot"])
    def test_killed_while_taking_over_and_asked_again_it_is_taken(
        self, lab: Lab, driver: Driver, stage: Stage, kind: str
    ) -> None:
        _able(driver)
        for passage in passages(_take(stage, kind, _prepared(lab, stage, kind)), _fresh(lab)):
            stage.clear(_fresh(lab))
            take = _take(stage, kind, _prepared(lab, stage, kind))
            assert kill_at(passage, take, lambda: _fresh(lab)), passage
            take(_fresh(lab))
            assert _is_taken(_fresh(lab), stage, kind), passage

    @pytest.mark.parametrize("kind", ["volume", "snapshot"])
    def test_killed_while_taking_over_and_undone_it_is_what_it_was(
        self, lab: Lab, driver: Driver, stage: Stage, kind: str
    ) -> None:
        _able(driver)
        reference = _prepared(lab, stage, kind)
        before, audited = _listed(_fresh(lab), kind), set(driver.audit())
        take, give = _take(stage, kind, reference), _give(stage, kind)
        passed = passages(take, _fresh(lab))
        assert passed, "an external effect stands between two crash points"
        give(_fresh(lab))
        assert _listed(_fresh(lab), kind) == before
        for passage in passed:
            assert kill_at(passage, take, lambda: _fresh(lab)), passage
            give(_fresh(lab))
            give(_fresh(lab))
            assert _listed(_fresh(lab), kind) == before, passage
            assert set(_fresh(lab).audit()) == audited, passage
        take(_fresh(lab))
        assert _is_taken(_fresh(lab), stage, kind)

    @pytest.mark.parametrize("kind", ["volume", "snapshot"])
    def test_killed_while_giving_away_and_asked_again_it_is_given(
        self, lab: Lab, driver: Driver, stage: Stage, kind: str
    ) -> None:
        _able(driver)
        take, give = _take(stage, kind, _prepared(lab, stage, kind)), _give(stage, kind)
        before = _listed(_fresh(lab), kind)
        take(_fresh(lab))
        passed = passages(give, _fresh(lab))
        assert passed, "an external effect stands between two crash points"
        for passage in passed:
            take(_fresh(lab))
            assert kill_at(passage, give, lambda: _fresh(lab)), passage
            give(_fresh(lab))
            assert _listed(_fresh(lab), kind) == before, passage
        take(_fresh(lab))
        assert _is_taken(_fresh(lab), stage, kind)


def _given_away(driver: Driver, stage: Stage) -> Reference:
    """A volume's data that is nobody's: what was ``stage.source``."""
    able = _as_able(driver)
    before = [found.reference for found in able.manageable_volumes()]
    driver.create(stage.source)
    stage.fill(driver, stage.source)
    able.unmanage(stage.source)
    able.unmanage(stage.source)
    return _new(able.manageable_volumes(), before)


def _snapshot_given_away(driver: Driver, stage: Stage) -> Reference:
    able = _as_able(driver)
    driver.create(stage.source)
    stage.fill(driver, stage.source)
    before = [found.reference for found in able.manageable_snapshots()]
    driver.create_snapshot(stage.source_snapshot, False, lambda done, total: None)
    able.unmanage_snapshot(stage.source_snapshot)
    able.unmanage_snapshot(stage.source_snapshot)
    return _new(able.manageable_snapshots(), before)


def _new(found: object, before: list[Reference]) -> Reference:
    listed = cast(list[Manageable], found)
    (only,) = [each for each in listed if each.safe_to_manage and each.reference not in before]
    assert only.size == 1
    assert only.id is None
    return only.reference


def _prepared(lab: Lab, stage: Stage, kind: str) -> Reference:
    driver = _fresh(lab)
    return _given_away(driver, stage) if kind == "volume" else _snapshot_given_away(driver, stage)


def _taker(stage: Stage) -> VolumeRef:
    return replace(stage.volume, size=1)


def _take(stage: Stage, kind: str, reference: Reference) -> Call:
    if kind == "volume":
        return lambda driver: _as_able(driver).manage(_taker(stage), reference)
    return lambda driver: _as_able(driver).manage_snapshot(stage.snapshot, reference)


def _give(stage: Stage, kind: str) -> Call:
    if kind == "volume":
        return lambda driver: _as_able(driver).unmanage(_taker(stage))
    return lambda driver: _as_able(driver).unmanage_snapshot(stage.snapshot)


def _is_taken(driver: Driver, stage: Stage, kind: str) -> bool:
    if kind == "volume":
        return stage.holds(driver, _taker(stage))
    snapshot = SnapshotRef(stage.snapshot.id, stage.source, 1)
    driver.create_from_snapshot(_taker(stage), snapshot, lambda done, total: None)
    return stage.holds(driver, _taker(stage))


def _listed(driver: Driver, kind: str) -> set[str]:
    able = _as_able(driver)
    found = able.manageable_volumes() if kind == "volume" else able.manageable_snapshots()
    return {repr(each) for each in found}
