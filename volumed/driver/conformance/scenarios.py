"""The calls that are killed: what must be there before, the call, what must be true after, and how it is taken back.

Knows the contract only.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from volumed.driver.conformance.lab import Lab
from volumed.driver.interface import Access, Driver, Purges, Reverts, SnapshotRef, VolumeRef
from volumed.model import credentials

GIB = 1024**3
MIB = 1024**2

#: What is written into the volumes: its value, where, how much; the rest reads as zeros.
PATTERN = 0xA5
OFFSET = 8 * MIB
LENGTH = 2 * MIB


@dataclass(frozen=True, slots=True)
class Stage:
    """A source volume with data and a snapshot of it, and the volume and snapshot that calls are about."""

    lab: Lab
    name: str
    source: VolumeRef = field(init=False)
    source_snapshot: SnapshotRef = field(init=False)
    volume: VolumeRef = field(init=False)
    snapshot: SnapshotRef = field(init=False)

    def __post_init__(self) -> None:
        source = self._volume("source", 1)
        object.__setattr__(self, "source", source)
        object.__setattr__(self, "source_snapshot", SnapshotRef(f"{self.name}-source-snapshot", source, 1))
        object.__setattr__(self, "volume", self._volume("volume", 2))
        object.__setattr__(self, "snapshot", SnapshotRef(f"{self.name}-snapshot", source, 1))

    def _volume(self, role: str, size: int) -> VolumeRef:
        return VolumeRef(id=f"{self.name}-{role}", size=size, pool=self.lab.pool)

    def access(self, user: str, password: str | None = None) -> Access:
        """One of ``user``, whose name begins with a letter: ``0b...`` would be a number to some targets."""
        name = f"{user}-{self.name}"
        return Access(
            attachment_id=name,
            initiator=self.lab.data.initiator(name),
            read_only=False,
            username=name,
            password=password or password_of(name),
        )

    def fill(self, driver: Driver, volume: VolumeRef, pattern: int = PATTERN, offset: int = OFFSET) -> None:
        """Write the pattern through an export of its own."""
        access = self.access("writer")
        driver.ensure_export(volume, [access])
        self.lab.data.write_pattern(driver.connection_info(volume, access), pattern, offset, LENGTH)
        driver.remove_export(volume)

    def holds(self, driver: Driver, volume: VolumeRef, pattern: int = PATTERN, offset: int = OFFSET) -> bool:
        """Whether a new login reads the pattern, and finds the volume's size."""
        access = self.access("reader")
        driver.ensure_export(volume, [access])
        try:
            info = driver.connection_info(volume, access)
            size = self.lab.data.size(info)
            return size == volume.size * GIB and self.lab.data.has_pattern(info, pattern, offset, LENGTH)
        finally:
            driver.remove_export(volume)

    def clear(self, driver: Driver) -> None:
        for snapshot in (self.snapshot, self.source_snapshot):
            driver.delete_snapshot(snapshot)
        for volume in (self.volume, self.source):
            driver.remove_export(volume)
            delete(driver, volume)


def password_of(words: str) -> str:
    """One in the shape of volumed's own, the same for the same words: where it is found, it is not by chance."""
    return hashlib.sha256(words.encode()).hexdigest()[: credentials.LENGTH]


def delete(driver: Driver, volume: VolumeRef) -> None:
    """Delete the volume and purge what remains of it."""
    if driver.delete(volume) is not None:
        purge(driver, volume)


def purge(driver: Driver, volume: VolumeRef) -> None:
    """Free what a delete left of the volume."""
    assert isinstance(driver, Purges), "who leaves remains must be able to purge them"
    driver.purge(volume, _progress)


Act = Callable[[Stage, Driver], object]


@dataclass(frozen=True, slots=True)
class Scenario:
    """``undo`` takes the call back, wherever it was killed; None where there is no way back."""

    name: str
    prepare: Act
    call: Act
    check: Act
    undo: Act | None = None
    #: The ability of a driver without which there is no such call.
    needs: type | None = None


def scenarios() -> Sequence[Scenario]:
    return (*_data(), *_exports())


def _nothing(stage: Stage, driver: Driver) -> None:
    return None


def _progress(done: int, total: int) -> None:
    assert 0 <= done <= total


def _source(stage: Stage, driver: Driver) -> None:
    driver.create(stage.source)
    stage.fill(driver, stage.source)


def _source_snapshot(stage: Stage, driver: Driver) -> None:
    _source(stage, driver)
    driver.create_snapshot(stage.source_snapshot, False, _progress)


def _has_zeros(stage: Stage, driver: Driver) -> None:
    assert driver.has_volume(stage.volume)
    assert stage.holds(driver, stage.volume, pattern=0)


def _has_data(stage: Stage, driver: Driver) -> None:
    assert driver.has_volume(stage.volume)
    assert stage.holds(driver, stage.volume)
    assert stage.holds(driver, stage.volume, pattern=0, offset=stage.volume.size * GIB - LENGTH)


def _snapshot_has_data(stage: Stage, driver: Driver) -> None:
    assert driver.has_snapshot(stage.snapshot)
    driver.create_from_snapshot(stage.volume, stage.snapshot, _progress)
    _has_data(stage, driver)


def _delete_volume(stage: Stage, driver: Driver) -> None:
    delete(driver, stage.volume)


def _is_gone(stage: Stage, driver: Driver) -> None:
    assert not driver.has_volume(replace(stage.volume, size=0))
    assert not any(found.id == stage.volume.id for found in driver.audit())


def _snapshot_is_gone(stage: Stage, driver: Driver) -> None:
    assert not driver.has_snapshot(stage.source_snapshot)
    assert not any(found.id == stage.source_snapshot.id for found in driver.audit())


def _extended(stage: Stage, driver: Driver) -> None:
    assert stage.holds(driver, replace(stage.source, size=3))
    assert stage.holds(driver, replace(stage.source, size=3), pattern=0, offset=3 * GIB - LENGTH)


def _changed_source(stage: Stage, driver: Driver) -> None:
    """A snapshot with the pattern, and a source that was written to and grown after it."""
    _source_snapshot(stage, driver)
    stage.fill(driver, stage.source, pattern=7)
    driver.extend(stage.source, 3)


def _revert(stage: Stage, driver: Driver) -> None:
    assert isinstance(driver, Reverts)
    driver.revert(replace(stage.source, size=3), stage.source_snapshot, _progress)


def _is_reverted(stage: Stage, driver: Driver) -> None:
    assert driver.has_snapshot(stage.source_snapshot)
    _extended(stage, driver)


def _data() -> Sequence[Scenario]:
    return (
        Scenario("create", _nothing, lambda s, d: d.create(s.volume), _has_zeros, _delete_volume),
        Scenario(
            "create_from_volume",
            _source,
            lambda s, d: d.create_from_volume(s.volume, s.source, _progress),
            _has_data,
            _delete_volume,
        ),
        Scenario(
            "create_from_snapshot",
            _source_snapshot,
            lambda s, d: d.create_from_snapshot(s.volume, s.source_snapshot, _progress),
            _has_data,
            _delete_volume,
        ),
        Scenario(
            "create_snapshot",
            _source,
            lambda s, d: d.create_snapshot(s.snapshot, False, _progress),
            _snapshot_has_data,
            lambda s, d: d.delete_snapshot(s.snapshot),
        ),
        Scenario("extend", _source, lambda s, d: d.extend(s.source, 3), _extended),
        Scenario("revert", _changed_source, _revert, _is_reverted, needs=Reverts),
        Scenario("delete", lambda s, d: d.create(s.volume), _delete_volume, _is_gone),
        Scenario(
            "delete_snapshot",
            _source_snapshot,
            lambda s, d: d.delete_snapshot(s.source_snapshot),
            _snapshot_is_gone,
        ),
    )


def _export_volume(stage: Stage, driver: Driver) -> None:
    driver.create(stage.volume)
    driver.ensure_export(stage.volume, [stage.access("first")])


def _let_second_in(stage: Stage, driver: Driver) -> None:
    driver.ensure_export(stage.volume, [stage.access("second")])


def _only_second_gets_in(stage: Stage, driver: Driver) -> None:
    found = driver.exports()[stage.volume.id]
    assert found.usernames == {stage.access("second").username}
    info = driver.connection_info(stage.volume, stage.access("second"))
    assert stage.lab.data.size(info) == stage.volume.size * GIB
    if stage.lab.data.authenticates:
        assert is_refused(stage, driver, stage.access("first"))
        assert is_refused(stage, driver, stage.access("second", password=password_of("another")))


def is_refused(stage: Stage, driver: Driver, access: Access) -> bool:
    """Whether the stage's volume lets ``access`` not in."""
    try:
        stage.lab.data.size(driver.connection_info(stage.volume, access))
    except Exception:
        return True
    return False


def _remove_export(stage: Stage, driver: Driver) -> None:
    driver.remove_export(stage.volume)


def _has_no_export(stage: Stage, driver: Driver) -> None:
    assert stage.volume.id not in driver.exports()
    assert not any(found.kind == "export" for found in driver.audit())


def _exports() -> Sequence[Scenario]:
    return (
        Scenario(
            "ensure_export",
            lambda s, d: d.create(s.volume),
            _let_second_in,
            _only_second_gets_in,
            _remove_export,
        ),
        Scenario("change_export", _export_volume, _let_second_in, _only_second_gets_in, _remove_export),
        Scenario("remove_export", _export_volume, _remove_export, _has_no_export),
    )
