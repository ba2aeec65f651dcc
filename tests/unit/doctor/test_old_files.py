"""Files of an earlier manager, from which tgt-admin exports volumes at each boot: told, explained and removed."""

import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from volumed.driver.interface import Access, VolumeRef
from volumed.operations.locks import Claims, export_lock

if TYPE_CHECKING:
    from tests.unit.doctor.conftest import Ward

pytestmark = pytest.mark.part("tgtd")

USER = Access("user", None, False, "user", "0123456789ab")

FILE = """<target iqn.2010-10.org.openstack:volume-{}>
    backing-store {}
    incominguser olduser oldpassword12
</target>
"""


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "volumes").mkdir()
    return {"target_port": 0, "volumes_dir": str(tmp_path / "volumes")}


def old_file(ward: "Ward", volume_id: str, path: str = "/dev/cinder-volumes/disk") -> Path:
    file = ward.state / "volumes" / f"volume-{volume_id}"
    file.write_text(FILE.format(volume_id, path))
    return file


def test_one_of_no_volume_is_told_without_its_password_and_a_look_leaves_it(ward: "Ward") -> None:
    file = old_file(ward, str(uuid.uuid4()))
    (finding,) = ward.found()
    assert (finding.kind, finding.subject) == ("export.left", str(file))
    assert "/dev/cinder-volumes/disk" in finding.evidence
    assert "oldpassword12" not in repr(finding)
    assert file.exists()
    assert ward.repair(finding).state == "succeeded"
    assert (file.exists(), ward.found()) == (False, [])


def test_one_of_a_volume_that_nobody_has_attached_is_told_and_one_of_a_volume_in_use_goes_with_its_export(
    ward: "Ward",
) -> None:
    resting, used = ward.volume(), ward.volume("in-use")
    ward.attachment(used)
    files = [old_file(ward, resting), old_file(ward, used)]
    assert ward.kinds() == ["export.left", "export.missing"]
    ward.repair_all()
    assert ([file.exists() for file in files], ward.found()) == ([False, False], [])
    assert set(ward.driver.exports()) == {used}
    ward.driver.remove_export(VolumeRef(used, 1, "pool"))


def test_an_unwanted_export_is_one_finding_and_takes_its_old_file_along(ward: "Ward") -> None:
    volume_id = ward.volume()
    ward.driver.ensure_export(VolumeRef(volume_id, 1, "pool"), [USER])
    file = old_file(ward, volume_id)
    assert ward.kinds() == ["export.unwanted"]
    ward.repair_all()
    assert (file.exists(), ward.found()) == (False, [])


def test_what_is_in_work_or_was_removed_meanwhile_is_left_alone(ward: "Ward") -> None:
    volume_id = str(uuid.uuid4())
    file = old_file(ward, volume_id)
    with ward.locks.holding(Claims(exclusive=[export_lock(volume_id)]), patience=0):
        assert ward.found() == []
    (finding,) = ward.found()
    file.unlink()
    assert ward.repair(finding).state == "succeeded"


def test_one_with_a_name_that_no_volume_has_is_told_and_removed(ward: "Ward") -> None:
    file = ward.state / "volumes" / "long"
    file.write_text(FILE.format("x" * 200, "/dev/cinder-volumes/disk"))
    (finding,) = ward.found()
    assert finding.volume_id is None, "it would not fit into a row"
    assert ward.repair(finding).state == "succeeded"
    assert not file.exists()
