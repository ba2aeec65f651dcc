"""A node in a guest of its own, for one test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.guest.machine import guest, make_disk
from tests.lab.guest.node import Node


@pytest.fixture
def node(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Node]:
    disks = [make_disk(tmp_path / name, 24) for name in ("state", "thin", "thick")]
    folder = tmp_path / "watched"
    folder.mkdir()
    try:
        with guest(disks, shared=[folder]) as machine:
            yield Node(machine, request.param, folder)
    finally:
        for disk in disks:
            disk.unlink()
