"""Clients of mixed load that outlive the daemon: each repeats what it got no answer for, and knows what must be true.

A client works in its own project on its own volumes, one request after another, so what it was told and what it asked
decide what must be there at the end: every acceptance honoured, no effect twice, sizes and data right.
"""

import random
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import requests

from tests.lab.daemon import Daemon, Session
from tests.lab.outside import Outside

#: Seconds after which an answer, or the end of an operation, is overdue whatever dies meanwhile.
OVERDUE = 90.0

#: Bytes of a mark, which is written at the beginning, in the middle and at the end of a volume's first GiB.
MARK = 64
PLACES = (0, 512 << 20, (1 << 30) - MARK)

#: Things that one client has at the same time at most: of volumes and of snapshots.
MOST = 6


@dataclass
class Thing:
    """A volume or snapshot as its client knows it; ``mark`` is what its data must begin with, None for zeros."""

    id: str
    size: int
    mark: bytes | None = None


@dataclass
class Client:
    """One client; ``seed`` decides all that it does."""

    daemon: Daemon
    name: str
    seed: int
    volumes: dict[str, Thing] = field(default_factory=dict)
    snapshots: dict[str, tuple[str, Thing]] = field(default_factory=dict)
    history: list[str] = field(default_factory=list)
    failure: BaseException | None = None

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        self.outside = Outside(self.daemon)
        self.rest: Session = self.daemon.session(user=self.name, project=self.name)

    def run(self, until: threading.Event) -> None:
        """Work until told to stop; what fails is kept in ``failure``."""
        actions: list[Callable[[], None]] = [
            self.create,
            self.create,
            self.clone,
            self.from_snapshot,
            self.snapshot,
            self.extend,
            self.attach_and_detach,
            self.delete,
            self.delete_snapshot,
        ]
        try:
            while not until.is_set():
                self.dice.choice(actions)()
        except BaseException as error:
            self.failure = error

    # --- actions ----------------------------------------------------------------------------------------------------

    def create(self) -> None:
        if len(self.volumes) < MOST:
            self._made({"size": self.dice.choice((1, 2))}, None)

    def clone(self) -> None:
        source = self._any_volume()
        if source is not None and len(self.volumes) < MOST:
            self._made({"source_volid": source.id, "size": source.size + self.dice.choice((0, 1))}, source.mark)

    def from_snapshot(self) -> None:
        if self.snapshots and len(self.volumes) < MOST:
            _, snapshot = self.dice.choice(list(self.snapshots.values()))
            self._made({"snapshot_id": snapshot.id, "size": snapshot.size}, snapshot.mark)

    def _made(self, body: dict[str, Any], mark: bytes | None) -> None:
        answer = self._ask("POST", "/volumes", {"volume": body})
        assert answer.status_code == 202, answer.text
        made = answer.json()["volume"]
        self._until_status(f"/volumes/{made['id']}", "available")
        thing = self.volumes[made["id"]] = Thing(made["id"], body["size"], mark)
        self._check_data(thing)
        if mark is None and self.dice.random() < 0.7:
            thing.mark = self.dice.randbytes(MARK)
            with self.outside.data_of(thing.id).open("r+b") as data:
                for place in PLACES:
                    data.seek(place)
                    data.write(thing.mark)

    def snapshot(self) -> None:
        volume = self._any_volume()
        if volume is None or len(self.snapshots) >= MOST:
            return
        answer = self._ask("POST", "/snapshots", {"snapshot": {"volume_id": volume.id}})
        assert answer.status_code == 202, answer.text
        made = answer.json()["snapshot"]
        self._until_status(f"/snapshots/{made['id']}", "available")
        self.snapshots[made["id"]] = (volume.id, Thing(made["id"], volume.size, volume.mark))

    def extend(self) -> None:
        volume = self._any_volume()
        if volume is None or volume.size >= 4:
            return
        answer = self._ask("POST", f"/volumes/{volume.id}/action", {"os-extend": {"new_size": volume.size + 1}})
        assert answer.status_code == 202, answer.text
        found = self._until_status(f"/volumes/{volume.id}", "available")
        volume.size += 1
        assert found["size"] == volume.size
        self._check_data(volume)

    def attach_and_detach(self) -> None:
        volume = self._any_volume()
        if volume is None:
            return
        connector = {"initiator": f"iqn.1993-08.org.debian:01:{self.name}", "host": self.name}
        body = {"volume_uuid": volume.id, "instance_uuid": str(uuid.UUID(int=self.seed)), "connector": connector}
        answer = self._ask("POST", "/attachments", {"attachment": body})
        assert answer.status_code == 200, answer.text
        attachment = answer.json()["attachment"]
        assert attachment["connection_info"]["auth_password"], attachment
        self._gone(f"/attachments/{attachment['id']}")
        self._until_status(f"/volumes/{volume.id}", "available")
        self._check_data(volume)

    def delete(self) -> None:
        used = {volume_id for volume_id, _ in self.snapshots.values()}
        free = [volume for volume in self.volumes.values() if volume.id not in used]
        if free:
            volume = self.dice.choice(free)
            self._gone(f"/volumes/{volume.id}")
            del self.volumes[volume.id]

    def delete_snapshot(self) -> None:
        if self.snapshots:
            snapshot_id = self.dice.choice(list(self.snapshots))
            self._gone(f"/snapshots/{snapshot_id}")
            del self.snapshots[snapshot_id]

    # --- how it asks ------------------------------------------------------------------------------------------------

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> requests.Response:
        """Ask until there is an answer; a POST with one key, so that it is one request however often it is sent."""
        headers = {"Idempotency-Key": str(uuid.UUID(int=self.dice.getrandbits(128)))} if method == "POST" else {}
        deadline = time.monotonic() + OVERDUE
        while True:
            try:
                answer = self.rest.request(method, path, json=body, headers=headers, timeout=OVERDUE)
                if answer.status_code != 503:
                    self.history.append(f"{method} {path} {body}: {answer.status_code}")
                    return answer
            except requests.RequestException:
                pass
            assert time.monotonic() < deadline, f"no answer to {method} {path}"
            time.sleep(0.05)

    def _until_status(self, path: str, wanted: str) -> dict[str, Any]:
        deadline = time.monotonic() + OVERDUE
        while True:
            answer = self._ask("GET", path)
            assert answer.status_code == 200, answer.text
            self.history.pop()
            found = dict(next(iter(answer.json().values())))
            if found["status"] == wanted:
                return found
            assert not found["status"].startswith("error"), found
            assert time.monotonic() < deadline, found
            time.sleep(0.02)

    def _gone(self, path: str) -> None:
        answer = self._ask("DELETE", path)
        assert answer.status_code in (200, 202, 404), answer.text
        deadline = time.monotonic() + OVERDUE
        while self._ask("GET", path).status_code != 404:
            self.history.pop()
            assert time.monotonic() < deadline, f"{path} is still there"
            time.sleep(0.02)

    def _any_volume(self) -> Thing | None:
        return self.dice.choice(list(self.volumes.values())) if self.volumes else None

    # --- what must be true ------------------------------------------------------------------------------------------

    def _check_data(self, thing: Thing, kind: str = "volume") -> None:
        path = self.outside.pool / f"{kind}-{thing.id}"
        assert path.stat().st_size == thing.size << 30, f"{kind} {thing.id} has another size"
        with path.open("rb") as data:
            for place in PLACES:
                data.seek(place)
                found = data.read(MARK)
                assert found == (thing.mark or bytes(MARK)), f"data of {kind} {thing.id} at {place} is another's"

    def judge(self) -> None:
        """Every acceptance honoured, and nothing there that was not asked for."""
        assert self.failure is None, self.failure
        told = {volume["id"]: volume for volume in self.rest.get("/volumes/detail").json()["volumes"]}
        assert told.keys() == self.volumes.keys()
        for volume in self.volumes.values():
            assert (told[volume.id]["status"], told[volume.id]["size"]) == ("available", volume.size)
            self._check_data(volume)
        for _, snapshot in self.snapshots.values():
            self._check_data(snapshot, "snapshot")
        taken = {snapshot["id"] for snapshot in self.rest.get("/snapshots").json()["snapshots"]}
        assert taken == self.snapshots.keys()
