"""A test that is marked ``guest`` runs on a kernel of its own."""

import os
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.guest


def test_it_has_device_mapper_and_lio() -> None:
    assert os.uname().nodename == "guest"
    assert os.geteuid() == 0
    assert Path("/sys/kernel/config/target").is_dir()
    assert "thin-pool" in subprocess.run(["dmsetup", "targets"], check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("disk", ["ubda", "ubdb"])
def test_it_has_disks(disk: str) -> None:
    assert int(Path("/sys/block", disk, "size").read_text()) == 24 * 2**21
