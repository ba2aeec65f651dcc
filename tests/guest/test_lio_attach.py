"""os-brick, as compute hosts have it, attaches a logical volume that LIO exports: by any of several portals."""

import os
from pathlib import Path

import pytest

from tests.lab.compute_host import compute_host
from tests.lab.libiscsi import NamedIscsi
from tests.lab.lvm_backend import LvmBackend, volume_group
from volumed.driver.errors import BackendBusy
from volumed.driver.interface import Access, VolumeRef
from volumed.model.credentials import new_credentials

pytestmark = pytest.mark.guest

GIB = 1024**3
VOLUME = VolumeRef("7c0cbb1e-9d3a-4f0e-8d5e-0a1b2c3d4e5f", 1, "vg")
SECRET = new_credentials()["password"]


def test_os_brick_attaches_by_a_portal_that_lives_sees_the_disk_grow_and_detaches(tmp_path: Path) -> None:
    options = {"target_port": 3260, "iscsi_secondary_ip_addresses": ["127.0.0.2", "::1"]}
    with volume_group("vg", "/dev/ubda") as group, compute_host() as host:
        driver = LvmBackend(tmp_path, group, "lio", NamedIscsi(), options=options).ready()
        driver.create(VOLUME)
        access = Access("attachment", host.initiator, False, "user-of-attachment", SECRET)
        driver.ensure_export(VOLUME, [access])
        info = driver.connection_info(VOLUME, access)
        # The first portal is dead: nobody listens on this port.
        data = info["data"]
        dead = "127.0.0.1:3261"
        offered = info | {"data": data | {"target_portal": dead, "target_portals": [dead, *data["target_portals"][1:]]}}
        device = Path(host.connect(offered))
        assert driver.exports()[VOLUME.id].sessions == (host.initiator,)

        descriptor = os.open(device, os.O_RDWR | os.O_SYNC)
        os.pwrite(descriptor, b"written by the host", 1 << 20)
        os.close(descriptor)
        with Path(f"/dev/vg/volume-{VOLUME.id}").open("rb") as stream:
            stream.seek(1 << 20)
            assert stream.read(19) == b"written by the host"

        driver.extend(VOLUME, 2)
        driver.ensure_export(VolumeRef(VOLUME.id, 2, "vg"), [access])
        disk = Path("/sys/class/block", device.resolve().name)
        (disk / "device/rescan").write_text("1")
        assert int((disk / "size").read_text()) * 512 == 2 * GIB

        with pytest.raises(BackendBusy, match=host.initiator):
            driver.remove_export(VOLUME)
        host.disconnect(offered)
        driver.remove_export(VOLUME)
        driver.remove_export(VOLUME)
        assert not device.exists()
        driver.delete(VOLUME)
        assert not driver.audit()
