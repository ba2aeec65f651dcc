"""A target for tests: remembers its exports in a file, lets nobody in, and needs no network.

Knows the contract; knows nothing of any protocol.
"""

import hashlib
import json
import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from volumed.driver.crash import crash_point
from volumed.driver.errors import BackendUnreachable
from volumed.driver.interface import Access, ActualExport, Export, Leftover
from volumed.driver.registry import Setup


class FakeTarget:
    """The ``fake`` target. Its exports survive a restart, as those of a real target daemon do."""

    storage_protocol = "fake"
    shows_growth = True

    def __init__(self, setup: Setup) -> None:
        self._backend = setup.backend
        self._file = setup.state_path / f"fake-exports-{setup.backend}.json"
        self._prefix = f"{setup.options.target_prefix}volume-"
        self._lock = threading.Lock()

    def setup(self) -> None:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BackendUnreachable(backend=self._backend, reason=str(error)) from error

    def close(self) -> None:
        """Nothing runs, so nothing ends."""

    def check_health(self) -> bool:
        return False

    def apply(self, export: Export, force: bool = False) -> None:
        record = {
            "path": export.path,
            "size_bytes": export.size_bytes,
            "initiators": sorted(access.initiator or "ALL" for access in export.accesses),
            "accounts": {access.username: _digest(access) for access in export.accesses},
        }
        with self._lock:
            records = self._read()
            if records.get(export.volume_id) != record:
                self._write(records | {export.volume_id: record})

    def remove(self, volume_id: str, force: bool = False) -> None:
        with self._lock:
            records = self._read()
            if records.pop(volume_id, None) is not None:
                self._write(records)

    def exports(self) -> Mapping[str, ActualExport]:
        return {
            volume_id: ActualExport(
                volume_id=volume_id,
                path=record["path"],
                size_bytes=record["size_bytes"],
                usernames=frozenset(record["accounts"]),
                initiators=frozenset(record["initiators"]),
                sessions=(),
            )
            for volume_id, record in self._read().items()
        }

    def sessions(self, volume_id: str) -> tuple[str, ...]:
        return ()

    def audit(self) -> Sequence[Leftover]:
        return [Leftover("export", volume_id, str(self._file), "fake export") for volume_id in self._read()]

    def remove_leftover(self, leftover: Leftover) -> None:
        if leftover.id is not None:
            self.remove(leftover.id)

    def connection_info(self, export: Export, access: Access) -> dict[str, Any]:
        return {
            "driver_volume_type": "fake",
            "data": {
                "target_iqn": self._prefix + export.volume_id,
                "target_lun": 1,
                "volume_id": export.volume_id,
                "auth_method": "CHAP",
                "auth_username": access.username,
                "auth_password": access.password,
                "access_mode": "ro" if access.read_only else "rw",
                "device_path": export.path,
            },
        }

    def _read(self) -> dict[str, Any]:
        try:
            records: dict[str, Any] = json.loads(self._file.read_bytes())
        except FileNotFoundError:
            return {}
        return records

    def _write(self, records: dict[str, Any]) -> None:
        draft = self._file.with_suffix(".part")
        crash_point("fake.write.before")
        draft.write_text(json.dumps(records))
        os.replace(draft, self._file)
        crash_point("fake.write.after")


def _digest(access: Access) -> str:
    return hashlib.sha256(access.password.encode()).hexdigest()
