"""The doctor over a real daemon: it finds every kind of leftover, repairs every one, and sees nothing in work."""

import json
import random
import subprocess
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.lab import rows
from tests.lab.daemon import PATIENCE, Daemon, Session, running_daemon
from tests.lab.outside import Outside
from tests.lab.seeded import CONNECTOR, Seeds

pytestmark = pytest.mark.part("tgtd")

#: Seconds of mixed load, and its clients.
LOAD_SECONDS = 10.0
CLIENTS = 8


@pytest.fixture
def healthy(daemon: Daemon, rest: Session) -> Outside:
    """The daemon with room for what the tests make, and its backend up."""
    wait_until_looked_at(rest)
    rest.put("/os-quota-sets/admin", json={"quota_set": {"volumes": 500, "gigabytes": 5000, "snapshots": 500}})
    return Outside(daemon)


def wait_until_looked_at(rest: Session) -> None:
    deadline = time.monotonic() + PATIENCE
    while not (told := look(rest))["looked_at"]:
        assert time.monotonic() < deadline, told
        time.sleep(0.05)


def look(rest: Session) -> dict[str, Any]:
    answer = rest.get("/doctor")
    assert answer.status_code == 200, answer.text
    return dict(answer.json()["doctor"])


def command(daemon: Daemon, *arguments: str) -> tuple[int, dict[str, Any]]:
    """``volumed doctor``: its exit status and its document."""
    done = subprocess.run(
        [sys.executable, "-m", "volumed.cmd.volumed", "doctor", "--url", daemon.url, "--json", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, json.loads(done.stdout or "{}")


def manage(state: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``volumed-manage doctor``."""
    return subprocess.run(
        [sys.executable, "-m", "volumed.cmd.manage", "doctor", "--state", str(state), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
    )


def everything_of(daemon: Daemon, outside: Outside) -> dict[str, Any]:
    """All that a look could change."""
    tables = rows.tables(daemon.state)
    kept = {"services", "leaders", "sqlite_sequence", "events", "event_positions"}
    return {
        "rows": {table: outside.rows(f"SELECT * FROM {table}") for table in tables if table not in kept},
        # The publisher marks and numbers them meanwhile, whoever looks.
        "events": outside.rows("SELECT resource_id, sequence, event_type FROM events"),
        "files": sorted(outside.files()),
        "locks": sorted(path.name for path in (daemon.state / "locks").iterdir()),
        "targets": outside.targets(),
        "accounts": outside.accounts(),
    }


def test_a_healthy_daemon_is_clean(daemon: Daemon, rest: Session, healthy: Outside) -> None:
    seeds = Seeds(daemon, rest)
    attached = seeds.volume()
    seeds.attachment(attached)
    seeds.snapshot(seeds.volume())
    assert look(rest)["findings"] == []
    assert command(daemon)[0] == 0


@pytest.mark.embedded_only("between its look and its repair the sweep of a fleet's service may be quicker")
def test_it_finds_every_kind_and_repairs_every_one(daemon: Daemon, rest: Session, healthy: Outside) -> None:
    seeds = Seeds(daemon, rest)
    seeds.sow()
    before = everything_of(daemon, healthy)
    status, document = command(daemon)
    found = document["doctor"]["findings"]
    assert (status, {each["kind"] for each in found}) == (1, seeds.kinds)
    assert all(each["evidence"] and each["repair"] for each in found)
    assert everything_of(daemon, healthy) == before, "a look changes nothing"

    status, document = command(daemon, "--repair", "--all")
    told = document["doctor"]
    assert {each["operation"]["state"] for each in told["repairs"]} == {"succeeded"}
    assert len(told["repairs"]) == len(found)
    assert (status, told["findings"]) == (0, [])
    for path in seeds.lost:
        assert rest.delete(path).status_code in (200, 202)
        rest.wait_until_gone(path)
    assert healthy.differences() == []
    assert look(rest)["findings"] == []


def test_one_finding_is_repaired_and_the_others_stay(daemon: Daemon, rest: Session, healthy: Outside) -> None:
    for _ in range(2):
        (healthy.pool / f"volume-{uuid.uuid4()}").write_bytes(b"nobody's")
    first, second = look(rest)["findings"]
    status, document = command(daemon, "--repair", first["id"])
    assert (status, [each["id"] for each in document["doctor"]["findings"]]) == (1, [second["id"]])
    assert not Path(first["subject"]).exists()
    assert Path(second["subject"]).exists()
    assert command(daemon, "--repair", "--all")[0] == 0


def test_a_repair_is_an_operation_in_the_timeline_and_a_repeated_request_repairs_once(
    daemon: Daemon, rest: Session, healthy: Outside
) -> None:
    lost = str(uuid.uuid4())
    (healthy.pool / f"volume-{lost}").write_bytes(b"nobody's")
    (found,) = look(rest)["findings"]
    key = {"Idempotency-Key": str(uuid.uuid4())}
    answers = [rest.post("/doctor", json={"repair": {"finding": found["id"]}}, headers=key) for _ in range(2)]
    told = [answer.json()["doctor"]["repairs"][0]["operation_id"] for answer in answers]
    assert ([answer.status_code for answer in answers], told[0]) == ([202, 202], told[1])
    wait_for_end(rest, told[0])
    (operation,) = rest.get(f"/volumes/{lost}/timeline").json()["timeline"]["operations"]
    assert (operation["kind"], operation["state"], operation["args"]["finding"]) == (
        "doctor.repair",
        "succeeded",
        found,
    )
    healthy.pool.rename(daemon.state / "aside")
    again = rest.post("/doctor", json={"repair": {"finding": found["id"]}}, headers=key)
    assert (again.status_code, again.json()["doctor"]["repairs"][0]["operation_id"]) == (202, told[0]), again.text
    (daemon.state / "aside").rename(healthy.pool)


def wait_for_end(rest: Session, operation_id: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while rest.get(f"/operations/{operation_id}").json()["operation"]["state"] not in ("succeeded", "failed"):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_what_is_asked_wrongly_is_refused_and_strangers_are(daemon: Daemon, rest: Session, healthy: Outside) -> None:
    stranger = daemon.session("alice", "p1")
    assert stranger.get("/doctor").status_code == 403
    assert stranger.post("/doctor", json={"repair": {"all": True}}).status_code == 403
    assert rest.post("/doctor", json={"repair": {"finding": "0" * 16}}).status_code == 404
    for body in ({}, {"repair": {}}, {"repair": {"all": False}}, {"repair": {"all": True, "finding": "0" * 16}}):
        assert rest.post("/doctor", json=body).status_code == 400, body
    assert command(daemon, "--repair")[0] == 2


def test_a_backend_that_cannot_be_looked_at_is_named_and_nothing_is_called_clean(
    daemon: Daemon, rest: Session, healthy: Outside
) -> None:
    aside = daemon.state / "aside"
    healthy.pool.rename(aside)
    status, document = command(daemon)
    (blind,) = document["doctor"]["not_looked_at"]
    assert (status, blind["host"], "is gone" in blind["reason"]) == (2, Seeds(daemon, rest).host(), True), blind
    assert rest.post("/doctor", json={"repair": {"all": True}}).status_code == 503
    aside.rename(healthy.pool)
    assert command(daemon)[0] == 0


@pytest.mark.embedded_only("its crash point would kill each process that a launcher starts")
def test_a_repair_that_dies_in_the_middle_is_ended_by_the_next_start() -> None:
    with running_daemon(environment={"VOLUMED_CRASH_POINT": "file.discard.after"}) as daemon:
        rest = daemon.session()
        wait_until_looked_at(rest)
        outside = Outside(daemon)
        (outside.pool / f"volume-{uuid.uuid4()}").write_bytes(b"nobody's")
        (found,) = look(rest)["findings"]
        rest.post("/doctor", json={"repair": {"finding": found["id"]}})
        daemon.wait_for_end()
        daemon.start(environment={"VOLUMED_CRASH_POINT": ""})
        rest = daemon.session()
        (operation,) = outside.rows("SELECT id FROM operations WHERE kind = 'doctor.repair'")
        wait_for_end(rest, operation["id"])
        assert outside.rows("SELECT state FROM operations WHERE kind = 'doctor.repair'") == [{"state": "succeeded"}]
        assert outside.differences() == []


@pytest.mark.embedded_only("it looks at a state folder; fleet/test_manage.py looks at a node")
def test_alone_it_refuses_a_running_service_and_names_it(daemon: Daemon, rest: Session, healthy: Outside) -> None:
    done = manage(daemon.state)
    assert done.returncode == 2
    assert f"pid {daemon.pid}" in done.stderr
    assert manage(daemon.folder / "nothing").returncode == 2
    assert not (daemon.folder / "nothing").exists()


@pytest.mark.embedded_only("it looks at a state folder; fleet/test_manage.py looks at a node")
def test_alone_it_looks_and_repairs_while_no_service_runs(daemon: Daemon, rest: Session, healthy: Outside) -> None:
    seeds = Seeds(daemon, rest)
    attached = seeds.volume()
    seeds.attachment(attached)
    daemon.kill()
    assert manage(daemon.state).returncode == 0
    (healthy.pool / f"volume-{uuid.uuid4()}").write_bytes(b"nobody's")
    seeds.sql("UPDATE quotas SET in_use = in_use + 7 WHERE resource = 'gigabytes'")
    looked = manage(daemon.state, "--json")
    kinds = {each["kind"] for each in json.loads(looked.stdout)["doctor"]["findings"]}
    assert (looked.returncode, kinds) == (1, {"data.orphan", "quota.drift"})
    repaired = manage(daemon.state, "--repair", "--all", "--json")
    assert repaired.returncode == 0, repaired.stdout + repaired.stderr
    assert healthy.targets() == {attached}, "the target of an attached volume outlives the look"
    daemon.start()
    wait_until_looked_at(daemon.session())
    assert look(daemon.session())["findings"] == []
    assert healthy.differences() == []


def test_it_finds_nothing_in_work_that_is_under_way(daemon: Daemon, rest: Session, healthy: Outside) -> None:
    ending = threading.Event()
    with ThreadPoolExecutor(CLIENTS) as threads:
        clients = [threads.submit(Client(daemon, number).work, ending) for number in range(CLIENTS)]
        deadline = time.monotonic() + LOAD_SECONDS
        looks = []
        while time.monotonic() < deadline:
            looks.append(look(rest))
        ending.set()
        done = sum(client.result() for client in clients)
    assert [each["findings"] for each in looks if each["findings"]] == []
    assert all(each["looked_at"] and not each["not_looked_at"] for each in looks)
    assert (len(looks) > 3, done > CLIENTS) == (True, True), (len(looks), done)
    assert look(rest)["findings"] == []
    assert healthy.differences() == []


class Client:
    """Makes, clones, attaches, extends and deletes, over and over; leaves nothing."""

    def __init__(self, daemon: Daemon, seed: int) -> None:
        self._rest = daemon.session()
        self._random = random.Random(seed)

    def work(self, ending: threading.Event) -> int:
        """How many rounds it went until ``ending``."""
        rounds = 0
        while not ending.is_set():
            self._round()
            rounds += 1
        return rounds

    def _round(self) -> None:
        volume_id = self._volume()
        made = [f"/volumes/{volume_id}"]
        for act in self._random.sample([self._clone, self._snapshot, self._attach, self._extend], 3):
            made += act(volume_id)
        for path in reversed(made):
            answer = self._rest.delete(path)
            assert answer.status_code in (200, 202), answer.text
            self._rest.wait_until_gone(path)

    def _volume(self, **fields: Any) -> str:
        volume_id = str(self._rest.create_volume(1, **fields)["id"])
        self._rest.wait_for_status(f"/volumes/{volume_id}", "available")
        return volume_id

    def _clone(self, volume_id: str) -> list[str]:
        size = self._rest.get(f"/volumes/{volume_id}").json()["volume"]["size"]
        clone = str(self._rest.create_volume(size, source_volid=volume_id)["id"])
        self._rest.wait_for_status(f"/volumes/{clone}", "available")
        return [f"/volumes/{clone}"]

    def _snapshot(self, volume_id: str) -> list[str]:
        answer = self._rest.post("/snapshots", json={"snapshot": {"volume_id": volume_id}})
        path = f"/snapshots/{answer.json()['snapshot']['id']}"
        self._rest.wait_for_status(path, "available")
        return [path]

    def _attach(self, volume_id: str) -> list[str]:
        body = {"attachment": {"volume_uuid": volume_id, "connector": CONNECTOR}}
        answer = self._rest.post("/attachments", json=body)
        assert answer.status_code == 200, answer.text
        path = f"/attachments/{answer.json()['attachment']['id']}"
        assert self._rest.delete(path).status_code == 200
        self._rest.wait_until_gone(path)
        return []

    def _extend(self, volume_id: str) -> list[str]:
        answer = self._rest.post(f"/volumes/{volume_id}/action", json={"os-extend": {"new_size": 2}})
        assert answer.status_code == 202, answer.text
        self._rest.wait_for_status(f"/volumes/{volume_id}", "available")
        return []
