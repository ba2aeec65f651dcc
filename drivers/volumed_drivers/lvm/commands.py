"""The room that speaks LVM: one read for many questions, one command a change, each bounded in time.

Never reads messages: whether something is absent, full or in use is asked for and answered in JSON. Knows nothing of
volumes and snapshots.
"""

import json
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from volumed.driver.crash import crash_point
from volumed.driver.errors import BackendUnreachable
from volumed_drivers.lvm.hands import device_of, hands_of

_GROUP_FIELDS = ("vg_name", "vg_uuid", "vg_size", "vg_free", "vg_extent_size", "vg_tags")
_FIELDS = (
    *_GROUP_FIELDS,
    *("lv_name", "lv_uuid", "lv_size", "lv_tags", "segtype", "origin", "pool_lv", "data_percent", "metadata_percent"),
    *("lv_metadata_size", "lv_active", "lv_device_open", "lv_skip_activation", "lv_health_status"),
)


class Refused(Exception):
    """LVM did not do it; ``reason`` is its words, for people. What is so now must be asked for."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class LogicalVolume:
    """One, as it was read. Sizes in bytes; ``origin`` and ``pool`` are empty where it has none."""

    name: str
    size: int
    tags: frozenset[str] = frozenset()
    segtype: str = ""
    origin: str = ""
    pool: str = ""
    data_percent: float | None = None
    metadata_percent: float | None = None
    metadata_size: int = 0
    active: bool = True
    open: bool = False
    #: Activated only when that is asked for by name, as the snapshots of thin volumes are.
    skipped: bool = False
    #: What the kernel says is wrong with it, such as ``failed``; empty where nothing is.
    health: str = ""

    @property
    def data_bytes(self) -> int:
        """What is written of it, where that is known; else all of it."""
        return self.size if self.data_percent is None else int(self.size * self.data_percent / 100)


@dataclass(frozen=True, slots=True)
class Group:
    """The volume group with everything in it, at one moment. Sizes in bytes."""

    uuid: str
    size: int
    free: int
    extent: int
    tags: frozenset[str]
    volumes: Mapping[str, LogicalVolume]

    def snapshots_of(self, name: str) -> Iterable[LogicalVolume]:
        return (volume for volume in self.volumes.values() if volume.origin == name)


class Lvm:
    """One volume group. Safe to be used by several threads."""

    def __init__(self, backend: str, options: Any) -> None:
        self.group = options.volume_group
        self.hands = hands_of(backend, options)
        self._backend = backend
        self._interval = options.lvm_read_interval
        self._copies = 1 + options.lvm_mirrors
        self._known: Group | None = None
        self._known_at = 0.0
        self._guard = threading.Lock()

    def device(self, name: str) -> str:
        return device_of(self.group, name)

    @contextmanager
    def opened(self, name: str, writable: bool) -> Iterator[int]:
        """A descriptor of its device. Raises ``OSError``."""
        descriptor = self.hands.open(self.group, name, writable)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def look(self) -> Group:
        """The group as it is now: one command. Raises ``BackendUnreachable`` when there is no such group."""
        begun = time.monotonic()
        rows = self._report(_FIELDS)
        if not rows:  # a group with nothing in it has no rows of its volumes
            rows = [row | {"lv_name": ""} for row in self._report(_GROUP_FIELDS)]
        if not rows:
            raise BackendUnreachable(backend=self._backend, reason=f"LVM says nothing of volume group {self.group}")
        group = _group(rows)
        with self._guard:
            self._known, self._known_at = group, begun
        return group

    def known(self) -> Group:
        """The group as it was read within the interval, with what we have done since; read again after that."""
        with self._guard:
            if self._known is not None and time.monotonic() - self._known_at < self._interval:
                return self._known
        return self.look()

    def change(self, point: str, *command: str) -> None:
        """Run one command that changes something, between two crash points. Raises ``Refused``, ``OutcomeUnknown``."""
        crash_point(f"lvm.{point}.before")
        done = self.hands.change(command)
        if done.status != 0:
            raise Refused(done.reason)
        crash_point(f"lvm.{point}.after")

    def made(self, volume: LogicalVolume) -> None:
        """Have what is known include ``volume``, until it is read again."""
        with self._guard:
            if self._known is not None and volume.name not in self._known.volumes:
                self._known = replace(
                    self._known,
                    volumes={**self._known.volumes, volume.name: volume},
                    free=self._known.free - self._taken(volume),
                )

    def gone(self, name: str) -> None:
        """Have what is known not include ``name``, until it is read again."""
        with self._guard:
            if self._known is not None and (volume := self._known.volumes.get(name)) is not None:
                self._known = replace(
                    self._known,
                    volumes={other: each for other, each in self._known.volumes.items() if other != name},
                    free=self._known.free + self._taken(volume),
                )

    def _taken(self, volume: LogicalVolume) -> int:
        """Bytes of the group that it has."""
        if volume.pool:
            return 0
        return volume.size if volume.origin else volume.size * self._copies

    def forget(self) -> None:
        """Something changed that is not told: what is known is read again."""
        with self._guard:
            self._known = None

    def _report(self, fields: Sequence[str]) -> list[dict[str, str]]:
        done = self.hands.report(self.group, fields)
        if done.status != 0:
            raise BackendUnreachable(backend=self._backend, reason=f"volume group {self.group}: {done.reason}")
        try:
            rows: list[dict[str, str]] = json.loads(done.output)["report"][0]["vg"]
        except (ValueError, LookupError) as error:
            reason = f"vgs answered what is no report: {done.output[:200]!r}"
            raise BackendUnreachable(backend=self._backend, reason=reason) from error
        return rows


def _group(rows: list[dict[str, str]]) -> Group:
    first = rows[0]
    return Group(
        uuid=first["vg_uuid"],
        size=int(first["vg_size"]),
        free=int(first["vg_free"]),
        extent=int(first["vg_extent_size"]),
        tags=_tags(first["vg_tags"]),
        volumes={row["lv_name"]: _volume(row) for row in rows if row["lv_name"]},
    )


def _volume(row: Mapping[str, str]) -> LogicalVolume:
    return LogicalVolume(
        name=row["lv_name"],
        size=int(row["lv_size"]),
        tags=_tags(row["lv_tags"]),
        segtype=row["segtype"],
        origin=row["origin"],
        pool=row["pool_lv"],
        data_percent=_number(row["data_percent"]),
        metadata_percent=_number(row["metadata_percent"]),
        metadata_size=int(row["lv_metadata_size"] or 0),
        active=row["lv_active"] == "active",
        open=row["lv_device_open"] == "open",
        skipped=bool(row["lv_skip_activation"]),
        health=row["lv_health_status"],
    )


def _tags(words: str) -> frozenset[str]:
    return frozenset(word for word in words.split(",") if word)


def _number(word: str) -> float | None:
    return float(word) if word else None
