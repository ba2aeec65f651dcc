"""What a pool that is full at the wrong moment means to the fence; the rest is tried on a real cluster."""

import errno
import json
from types import SimpleNamespace
from typing import Any

import pytest

from volumed.driver.errors import BackendUnreachable
from volumed.driver.interface import Owner
from volumed_drivers.rbd.fence import Fence


class RadosError(Exception):
    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.errno = number


class Pool:
    """With the note of an earlier process, and perhaps full."""

    def __init__(self, boot: str, is_full: bool) -> None:
        self.is_full, self.refused = is_full, list[str]()
        self.note = self.note_of(boot)

    @staticmethod
    def note_of(boot: str) -> bytes:
        process = {"boot": boot, "pid": 1, "started": "1", "image": "another"}
        return json.dumps({"addresses": ["old"], "process": process}).encode()

    def read(self, name: str, length: int) -> bytes:
        return self.note

    def write_full(self, name: str, note: bytes) -> None:
        if self.is_full:
            raise RadosError(errno.ENOSPC)
        self.note = note

    def blocklist_add(self, address: str, seconds: int) -> None:
        self.refused.append(address)

    def get_addrs(self) -> str:
        return "ours"

    def wait_for_latest_osdmap(self) -> None:
        """There is none."""


RADOS: Any = SimpleNamespace(Error=RadosError, ObjectNotFound=KeyError)


@pytest.mark.parametrize("is_full", [True, False])
def test_a_note_that_could_not_be_written_is_no_other_machines(is_full: bool) -> None:
    pool, fence = Pool("an-earlier-boot", is_full), Fence(Owner("deployment", "node@ceph"))
    for _ in range(3):
        fence.enter("ceph", RADOS, pool, pool)
    assert pool.refused == ["old"] * (3 if is_full else 1)
    pool.note = pool.note_of("another-machine")
    with pytest.raises(BackendUnreachable, match="another machine"):
        fence.enter("ceph", RADOS, pool, pool)
