"""The doctor of a node with LVM and LIO: what lies beside the rows is found, explained, and repaired by the API."""

import sys
import time
import uuid
from collections.abc import Mapping
from typing import Any

import pytest

from tests.lab.guest.node import PATIENCE, ROOT, URL, Node
from tests.lab.guest.rest import Rest

pytestmark = [pytest.mark.part("guest"), pytest.mark.slow, pytest.mark.timeout(600)]

#: Run in the machine as root: an export of the backend ``thin`` as its own driver makes it, by the node's helper.
OF_DRIVER = """
import sys
from pathlib import Path
from tests.lab.libiscsi import NamedIscsi
from tests.lab.lvm_backend import LvmBackend
from volumed.driver.interface import Owner, VolumeRef

deployment, made = sys.argv[1:]
options = {"lvm_type": "thin", "lio_helper_socket": "/run/lio.sock", "target_port": 3260}
driver = LvmBackend(Path("/tmp"), "vg-thin", "lio", NamedIscsi(), Owner(deployment, "thin"), options).driver()
driver.ensure_export(VolumeRef(made, 1, "vg-thin"), [])
"""

TARGETS = "/sys/kernel/config/target/iscsi"

STRANGER = "iqn.2026-01.test:stranger"


class Ward:
    """The node's volumes by REST, and what somebody does to them by hand."""

    def __init__(self, node: Node) -> None:
        self.machine = node.machine
        self._rest = Rest(node.machine, URL, node.answers)

    def ask(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        answer = self._rest.ask(method, path, body)
        assert answer.status == status, (method, path, answer)
        return answer.body

    def wait(self, path: str, status: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while (found := self._rest.ask("GET", path)).status != 404:
            ((_, told),) = found.body.items()
            if told.get("status", told.get("state")) == status:
                return
            assert time.monotonic() < deadline, found
            time.sleep(0.2)
        assert status == "gone", path

    def volume(self, kind: str) -> str:
        told = {"size": 1, "volume_type": kind}
        its_id = str(self.ask("POST", "/volumes", {"volume": told}, 202)["volume"]["id"])
        self.wait(f"/volumes/{its_id}", "available")
        return its_id

    def snapshot(self, volume: str) -> str:
        told = {"snapshot": {"volume_id": volume}}
        its_id = str(self.ask("POST", "/snapshots", told, 202)["snapshot"]["id"])
        self.wait(f"/snapshots/{its_id}", "available")
        return its_id

    def attach(self, volume: str) -> None:
        connector = {"initiator": f"iqn.2026-01.test:{volume}", "host": "compute", "ip": "127.0.0.1"}
        told = {"volume_uuid": volume, "instance_uuid": volume, "connector": connector}
        made = self.ask("POST", "/attachments", {"attachment": told})["attachment"]["id"]
        self.ask("POST", f"/attachments/{made}/action", {"os-complete": {}}, 204)
        self.wait(f"/volumes/{volume}", "in-use")

    def look(self) -> Mapping[str, Any]:
        deadline = time.monotonic() + PATIENCE
        while not (told := self.ask("GET", "/doctor")["doctor"])["looked_at"]:
            assert time.monotonic() < deadline, told
            time.sleep(0.5)
        assert not told["not_looked_at"], told
        return dict(told)

    def found(self) -> set[tuple[str, str]]:
        return {(each["kind"], each["subject"]) for each in self.look()["findings"]}

    def lvm(self, *command: str) -> str:
        return self.machine.check(list(command))

    def everything(self) -> frozenset[str]:
        """What LVM has, and what the kernel exports to whom."""
        exported = self.machine.check(["sh", "-c", f"ls -d {TARGETS}/iqn.*/tpgt_1/acls/* {TARGETS}/iqn.*"])
        fields = ["--noheadings", "--separator", " ", "-o", "vg_name,lv_name,lv_size,lv_tags"]
        there = [line.strip() for line in self.lvm("lvs", "-a", *fields).splitlines()]
        return frozenset([*there, *exported.split()])


def damaged(ward: Ward, opened: str, lost: str, forgotten: str) -> set[tuple[str, str]]:
    """Do to the node what its rows do not know; the kinds and subjects of the findings that it must make.

    A target that is gone is none: the next health check misses it, and mends all exports (docs/targets/lio.md).
    """
    marks = {kind: ward.lvm("vgs", "--noheadings", "-o", "vg_tags", f"vg-{kind}").strip() for kind in ("thin", "thick")}
    ward.lvm("lvremove", "-y", f"vg-thin/volume-{lost}", f"vg-thin/_snapshot-{forgotten}")
    stray, copy, wiped = (str(uuid.uuid4()) for _ in range(3))
    made = {
        f"vg-thin/volume-{stray}": ["-V", "1g", "-T", "vg-thin/vg-thin-pool", "--addtag", f"volumed.volume={stray}"],
        f"vg-thin/_snapshot-{stray}": ["-V", "1g", "-T", "vg-thin/vg-thin-pool"],
        f"vg-thick/volume-{copy}": ["-Wn", "-Zn", "-L", "1g", "--addtag", "volumed.unready", "vg-thick"],
        f"vg-thick/volumed-purge-{wiped}": ["-L", "1g", "--addtag", f"volumed.remains={wiped}", "vg-thick"],
    }
    for place, words in made.items():
        group, name = place.split("/")
        mark = marks[group.removeprefix("vg-")]
        ward.lvm("lvcreate", "-q", "-y", "-n", name, "--addtag", mark, *words)
    deployment = marks["thin"].split("/")[1]
    done = ward.machine.run([sys.executable, "-c", OF_DRIVER, deployment, stray], folder=ROOT)
    assert done.status == 0, done.complaint
    target = ward.machine.check(["sh", "-c", f"ls -d {TARGETS}/*volume-{opened}"]).strip()
    ward.machine.check(["mkdir", f"{target}/tpgt_1/acls/{STRANGER}"])
    return {
        *(("data.orphan", place) for place in made if "purge" not in place),
        ("data.remains", f"vg-thick/volumed-purge-{wiped}"),
        ("data.missing", lost),
        ("data.missing", forgotten),
        ("export.unwanted", stray),
        ("export.different", opened),
    }


@pytest.mark.parametrize("node", [("thin", "thick")], ids=["both"], indirect=True)
def test_what_lies_beside_the_rows_is_found_and_repaired_and_nothing_else_is_touched(node: Node) -> None:
    service = node.start()
    ward = Ward(node)
    for kind in ("thin", "thick"):
        told = {"name": kind, "extra_specs": {"volume_backend_name": kind}}
        ward.ask("POST", "/types", {"volume_type": told})
    kept, opened, lost, origin = (ward.volume("thin") for _ in range(4))
    for volume in (kept, opened):
        ward.attach(volume)
    forgotten = ward.snapshot(origin)
    ward.volume("thick")
    assert not ward.found()
    healthy = ward.everything()

    expected = damaged(ward, opened, lost, forgotten)
    before = ward.everything()
    assert ward.found() == expected
    told = ward.look()["findings"]
    assert all(each["evidence"] and each["repair"] and each["host"] for each in told)
    assert ward.everything() == before, "a look changes nothing"

    repairs = ward.ask("POST", "/doctor", {"repair": {"all": True}}, 202)["doctor"]["repairs"]
    assert {each["finding"]["id"] for each in repairs} == {each["id"] for each in told}
    for each in repairs:
        ward.wait(f"/operations/{each['operation_id']}", "succeeded")
    (operation,) = ward.ask("GET", f"/volumes/{lost}/timeline")["timeline"]["operations"][-1:]
    assert (operation["kind"], operation["state"]) == ("doctor.repair", "succeeded")
    assert not ward.found()
    for path in (f"/snapshots/{forgotten}", f"/volumes/{lost}"):  # of which nothing is left but the rows
        ward.wait(path, "error")
        ward.ask("DELETE", path, status=202)
        ward.wait(path, "gone")
    left = {each for each in healthy if lost not in each and forgotten not in each}
    deadline = time.monotonic() + PATIENCE
    while (there := ward.everything()) != left:  # what is left of a thick volume is cleared in the background
        assert time.monotonic() < deadline, (there - left, left - there)
        time.sleep(1)
    assert not ward.found()
    node.end(service)
