"""A ``volumed up`` with several file backends that fail as a test orders, and what a test asks of it."""

import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import requests

from tests.lab.daemon import Session, pauses
from tests.lab.faulty_driver import Faults
from tests.lab.nursery import ForkedDaemon, make_forked
from tests.lab.outside import Outside

#: Everything that waits waits shortly, so that a test sees the end of it.
OPTIONS: Mapping[str, Mapping[str, object]] = {
    "DEFAULT": {"report_interval": 0.2, "periodic_fuzzy_delay": 0},
    "operations": {
        "sweep_interval": 0.3,
        "sweep_age": 0.1,
        "retry_pause": 0.05,
        "undo_timeout": 0.5,
        "forward_retries": 2,
        "busy_timeout": 0,
        "placement_timeout": 2,
    },
}

CONNECTOR = {"initiator": "iqn.1993-08.org.debian:01:faulty", "ip": "127.0.0.1", "host": "client", "multipath": False}


class Fleet:
    """The backends ``names``, the first preferred. ``faults`` orders what goes wrong on each."""

    def __init__(
        self,
        daemon: ForkedDaemon,
        names: tuple[str, ...],
        target: str,
        options: Mapping[str, object],
        exported: bool,
        driver: str,
    ) -> None:
        self.daemon = daemon
        state = self.daemon.state
        state.mkdir(mode=0o700)
        pools = {name: state / "pools" / name for name in names}
        groups: dict[str, dict[str, object]] = {group: dict(values) for group, values in OPTIONS.items()}
        groups["DEFAULT"]["enabled_backends"] = ",".join(names)
        groups["operations"] |= options
        for number, name in enumerate(names):
            groups[name] = {
                "volume_driver": driver,
                "file_pool_path": pools[name],
                "target_helper": target,
                "target_port": 0,
                "export_on_create": exported,
                "max_over_subscription_ratio": 90 - 10 * number,
            }
        (state / "volumed.conf").write_text("".join(map(_group, groups.items())))
        self.faults = {name: Faults(state, name) for name in names}
        self.outside = Outside(self.daemon, pools, exported)
        self.rest: Session

    def start(self, reported: bool = True) -> None:
        """Start and, unless a backend is not meant to come up, wait until each has reported to the scheduler."""
        self.daemon.start()
        self.rest = self.daemon.session()
        deadline = time.monotonic() + 20
        while reported and len(found := self.rest.get("/scheduler-stats/get_pools").json()["pools"]) < len(self.faults):
            assert time.monotonic() < deadline, f"{found}\n{self.daemon.output()}"
            time.sleep(0.02)

    def create(self, size: int = 1, **fields: Any) -> str:
        """Ask for a volume and return its id at once."""
        return str(self.rest.create_volume(size, **fields)["id"])

    def available(self, size: int = 1, **fields: Any) -> str:
        """A finished volume."""
        volume_id = self.create(size, **fields)
        self.ends(volume_id, "available")
        return volume_id

    def ends(self, volume_id: str, status: str) -> dict[str, Any]:
        """Wait until the volume has the status; return it."""
        return self.rest.wait_for_status(f"/volumes/{volume_id}", status)

    def delete(self, volume_id: str) -> None:
        answer = self.rest.delete(f"/volumes/{volume_id}")
        assert answer.status_code == 202, answer.text
        self.rest.wait_until_gone(f"/volumes/{volume_id}")

    def operation(self, kind: str, resource_id: str | None = None) -> dict[str, Any]:
        """The latest operation of the kind, with its steps."""
        query = {"kind": kind, "all_tenants": 1} | ({"resource_id": resource_id} if resource_id else {})
        found = self.rest.get("/operations", params=query).json()["operations"]
        return dict(self.rest.get(f"/operations/{found[0]['id']}").json()["operation"])

    def attach(self, volume_id: str) -> Any:
        """Ask for an attachment; the answer."""
        body = {"volume_uuid": volume_id, "connector": CONNECTOR}
        return self.rest.post("/attachments", json={"attachment": body})

    def backend_of(self, volume_id: str) -> str | None:
        """The backend that the volume is on."""
        host = self.rest.get(f"/volumes/{volume_id}").json()["volume"]["os-vol-host-attr:host"]
        return host and str(host).partition("@")[2].partition("#")[0]

    def until(self, look: Callable[[], Any]) -> Any:
        """Wait until ``look`` finds something; what it finds."""
        deadline, pause = time.monotonic() + 60, pauses()
        while not (found := look()):
            assert time.monotonic() < deadline, self.daemon.output()
            time.sleep(next(pause))
        return found

    @contextmanager
    def asking(self, ask: Callable[[Session], requests.Response]) -> Iterator["Asked"]:
        """Ask in another thread, over a connection of its own; answered when the block has ended."""
        asked = Asked()

        def run() -> None:
            asked.answer = ask(self.daemon.session())

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield asked
        finally:
            thread.join(60)

    def allocated(self) -> int:
        """GiB that are allocated on all storages."""
        return sum(row["allocated"] for row in self.outside.rows("SELECT allocated FROM pools"))

    def in_use(self, resource: str = "gigabytes") -> int:
        """What of the quota is in use by the administrator's project."""
        usage = self.rest.get("/os-quota-sets/admin", params={"usage": "true"}).json()["quota_set"]
        return int(usage[resource]["in_use"])

    def wait_until_settled(self) -> None:
        """Wait until no operation lives, and nothing differs from the rows."""
        deadline = time.monotonic() + 40
        while (found := self.outside.differences()) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert found == [], f"{found}\n{self.daemon.output()}"


class Asked:
    """A question and, later, its answer."""

    answer: requests.Response


def _group(item: tuple[str, Mapping[str, object]]) -> str:
    name, values = item
    return f"[{name}]\n" + "".join(f"{option} = {value}\n" for option, value in values.items())


@contextmanager
def faulty_fleet(
    *names: str,
    target: str = "fake",
    options: Mapping[str, object] | None = None,
    arguments: tuple[str, ...] = (),
    start: bool = True,
    environment: Mapping[str, str] | None = None,
    exported: bool = False,
    driver: str = "tests.lab.faulty_driver.FaultyDriver",
) -> Iterator[Fleet]:
    """A fleet in a fresh folder; at its end nothing differs from the rows, and no process is left.

    ``options`` are of ``[operations]``, ``arguments`` and ``environment`` of ``volumed up``. ``exported``: volumes are
    exported from their creation on.
    """
    folder = Path(tempfile.mkdtemp(prefix="volumed-"))
    fleet = Fleet(make_forked(folder, arguments, environment), names, target, options or {}, exported, driver)
    try:
        if start:
            fleet.start()
        yield fleet
        fleet.wait_until_settled()
        fleet.daemon.stop()
        assert fleet.daemon.processes() == [], fleet.daemon.output()
    finally:
        if fleet.daemon.running:  # something failed; a forked daemon is not found by its command line
            fleet.daemon.kill()
        left = fleet.daemon.processes()
        for process in left:
            process.kill()
        psutil.wait_procs(left, timeout=10)
        told = fleet.daemon.remove()
    assert not told, f"secrets are in {told}"
