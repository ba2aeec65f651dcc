"""Clients of mixed load that outlive the daemon: each repeats what it got no answer for, and records what it was told.

A client works in its own project on its own volumes, one request after another; ``history`` judges what it recorded.
"""

import random
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import requests

from tests.crash.history import Attached, Cancelled, Created, Deleted, Detached, Entry, Extended, Kind, Written
from tests.lab import initiator
from tests.lab.daemon import Daemon, Session, pauses
from tests.lab.initiator import Connection

#: Seconds after which an answer, or the end of an operation, is overdue whatever dies meanwhile.
OVERDUE = 120.0

#: A mark is one byte for each of these places: the beginning, the middle and the end of a volume's first GiB.
BLOCK = 512
PLACES = (0, 512 << 20, (1 << 30) - BLOCK)

#: Things that one client has at the same time at most: of volumes and of snapshots.
MOST = 6

#: GiB to which a volume grows at most.
LARGEST = 4

#: How often a request is sent twice with one key although it was answered, and how often it is cancelled.
REPEATED = 0.2
CANCELLED = 0.1


@dataclass
class Known:
    """A volume or snapshot as its client knows it. ``source`` is a snapshot's volume."""

    id: str
    size: int
    source: str = ""


@dataclass
class Client:
    """One client; ``seed`` decides what it does."""

    daemon: Daemon
    name: str
    seed: int
    history: list[Entry] = field(default_factory=list)
    volumes: dict[str, Known] = field(default_factory=dict)
    snapshots: dict[str, Known] = field(default_factory=dict)
    failure: BaseException | None = None

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        self.rest: Session = self.daemon.session(user=self.name, project=self.name)
        self._actions: list[Callable[[], None]] = [
            self.create,
            self.create,
            self.clone,
            self.from_snapshot,
            self.snapshot,
            self.extend,
            self.attach_and_write,
            self.attach_and_write,
            self.delete,
            self.delete_snapshot,
        ]

    def run(self, until: threading.Event) -> None:
        """Work until told to stop, and end what was begun; what fails is kept in ``failure``."""
        try:
            while not until.is_set():
                self.dice.choice(self._actions)()
        except BaseException as error:
            self.failure = error

    # --- actions ----------------------------------------------------------------------------------------------------

    def create(self) -> None:
        if len(self.volumes) < MOST:
            self._make("volume", {"size": self.dice.choice((1, 2))})

    def clone(self) -> None:
        source = self._any(self.volumes)
        if source is not None and len(self.volumes) < MOST:
            self._make("volume", {"source_volid": source.id, "size": source.size + self.dice.choice((0, 1))}, source)

    def from_snapshot(self) -> None:
        snapshot = self._any(self.snapshots)
        if snapshot is not None and len(self.volumes) < MOST:
            self._make("volume", {"snapshot_id": snapshot.id, "size": snapshot.size}, snapshot)

    def snapshot(self) -> None:
        volume = self._any(self.volumes)
        if volume is not None and len(self.snapshots) < MOST:
            self._make("snapshot", {"volume_id": volume.id}, volume)

    def extend(self) -> None:
        volume = self._any(self.volumes)
        if volume is None or volume.size >= LARGEST:
            return
        size = volume.size + 1
        answer = self._ask("POST", f"/volumes/{volume.id}/action", {"os-extend": {"new_size": size}})
        assert answer.status_code == 202, answer.text
        operation = self._operation(answer, "volume.extend", volume.id)
        self.history.append(Extended(self.name, volume.id, size, operation))
        if self._succeeds(operation):
            volume.size = size
        else:
            self._give_up_broken("volume", volume)

    def attach_and_write(self) -> None:
        """Let the initiator in, write and read through a real session, and put it out."""
        volume = self._any(self.volumes)
        if volume is None:
            return
        attachment = self._attach(volume)
        if attachment is not None:
            self._write(volume, Connection.of({"data": attachment["connection_info"]}, self._iqn))
            self._detach(attachment["id"])

    def delete(self) -> None:
        origins = {snapshot.source for snapshot in self.snapshots.values()}
        free = {id: volume for id, volume in self.volumes.items() if id not in origins}
        volume = self._any(free)
        if volume is not None:
            self._remove("volume", volume, self._cancels())

    def delete_snapshot(self) -> None:
        snapshot = self._any(self.snapshots)
        if snapshot is not None:
            self._remove("snapshot", snapshot, self._cancels())

    # --- making and removing ----------------------------------------------------------------------------------------

    def _make(self, kind: Kind, body: dict[str, Any], source: Known | None = None) -> None:
        key = self._key()
        made, operation = self._made(kind, body, key, source)
        if self.dice.random() < REPEATED:
            self._made(kind, body, key, source)
        self._all(kind)[made.id] = made
        if not self._succeeds(operation):
            self._remove(kind, made)

    def _made(self, kind: Kind, body: dict[str, Any], key: str, source: Known | None) -> tuple[Known, str]:
        answer = self._ask("POST", f"/{kind}s", {kind: body}, key)
        assert answer.status_code == 202, answer.text
        told = answer.json()[kind]
        operation = self._operation(answer, f"{kind}.create", told["id"])
        origin = source.id if source else None
        self.history.append(Created(self.name, kind, told["id"], told["size"], key, operation, origin))
        return Known(told["id"], told["size"], origin or ""), operation

    def _remove(self, kind: Kind, thing: Known, cancels: bool = False) -> None:
        answer = self._ask("DELETE", f"/{kind}s/{thing.id}")
        assert answer.status_code in (202, 404), answer.text
        gone = answer.status_code == 404
        operation = None if gone else self._operation(answer, f"{kind}.delete", thing.id)
        self.history.append(Deleted(self.name, kind, thing.id, operation))
        if operation is None or self._succeeds(operation, cancels):
            del self._all(kind)[thing.id]
        elif cancels:
            self._give_up_broken(kind, thing)

    def _give_up_broken(self, kind: Kind, thing: Known) -> None:
        """What a cancelled operation left in an error status is of no more use."""
        status = self._ask("GET", f"/{kind}s/{thing.id}").json()[kind]["status"]
        if status.startswith("error"):
            self._remove(kind, thing)

    def _all(self, kind: Kind) -> dict[str, Known]:
        return self.volumes if kind == "volume" else self.snapshots

    def _any(self, things: dict[str, Known]) -> Known | None:
        return self.dice.choice(list(things.values())) if things else None

    # --- real I/O ---------------------------------------------------------------------------------------------------

    @property
    def _iqn(self) -> str:
        return f"iqn.1993-08.org.debian:01:{self.name}"

    def _attach(self, volume: Known) -> dict[str, Any] | None:
        """The attachment with what is needed to log in; None when it was cancelled."""
        connector = {"initiator": self._iqn, "host": self.name}
        body = {"volume_uuid": volume.id, "instance_uuid": str(uuid.UUID(int=self.seed)), "connector": connector}
        with ThreadPoolExecutor(1) as one:
            asked = one.submit(self._ask, "POST", "/attachments", {"attachment": body})
            if self._cancels():
                self._cancel_attach(volume, asked)
        answer = asked.result()
        found = self._ask("GET", f"/attachments/detail?volume_id={volume.id}").json()["attachments"]
        assert len(found) == 1, found
        made = str(found[0]["id"])
        operation = self._operation(answer, "attachment.attach", made)
        self.history.append(Attached(self.name, made, volume.id, operation))
        if self._succeeds(operation, cancels=False):
            attachment = answer.json()["attachment"] if answer.status_code == 200 else {}
            assert attachment.get("connection_info"), (answer.text, answer.headers)
            return dict(attachment)
        self._detach(made)
        return None

    def _cancel_attach(self, volume: Known, asked: "Future[requests.Response]") -> None:
        with self.daemon.session(user=self.name, project=self.name) as other:
            while not asked.done():
                try:
                    live = other.get("/operations", params={"volume_id": volume.id, "state": "live"}).json()
                    for operation in live["operations"]:
                        self._cancel(operation["id"], other)
                        return
                except requests.RequestException:  # it was killed
                    time.sleep(0.05)

    def _detach(self, attachment: str) -> None:
        answer = self._ask("DELETE", f"/attachments/{attachment}")
        assert answer.status_code in (200, 404), answer.text
        self.history.append(Detached(self.name, attachment, answer.headers.get("Volumed-Operation-Id")))

    def _write(self, volume: Known, connection: Connection) -> None:
        mark = bytes(self.dice.randrange(1, 256) for _ in PLACES)
        patterns = [(byte, place, BLOCK) for byte, place in zip(mark, PLACES, strict=True)]
        initiator.write_patterns(connection, patterns)
        self.history.append(Written(self.name, volume.id, mark))
        assert initiator.has_patterns(connection, patterns)

    # --- how it asks ------------------------------------------------------------------------------------------------

    def _key(self) -> str:
        return str(uuid.UUID(int=self.dice.getrandbits(128)))

    def _ask(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        key: str | None = None,
        rest: Session | None = None,
    ) -> requests.Response:
        """Ask until there is an answer; a POST with one key, so that it is one request however often it is sent."""
        headers = {"Idempotency-Key": key or self._key()} if method == "POST" else {}
        deadline = time.monotonic() + OVERDUE
        while True:
            try:
                answer = (rest or self.rest).request(method, path, json=body, headers=headers, timeout=OVERDUE)
                if answer.status_code != 503:
                    return answer
            except requests.RequestException:
                pass
            assert time.monotonic() < deadline, f"no answer to {method} {path}"
            time.sleep(0.05)

    def _operation(self, answer: requests.Response, kind: str, resource: str) -> str:
        """The operation that a request became; an answer that was given before does not name it."""
        named = answer.headers.get("Volumed-Operation-Id")
        if named is not None:
            return named
        found = self._ask("GET", f"/operations?kind={kind}&resource_id={resource}&sort=created_at:desc").json()
        assert found["operations"], f"{kind} of {resource} was accepted ({answer.status_code}) without an operation"
        return str(found["operations"][0]["id"])

    def _cancels(self) -> bool:
        return self.dice.random() < CANCELLED

    def _succeeds(self, operation: str, cancels: bool | None = None) -> bool:
        """Wait for the operation's end, having cancelled it now and then; whether it succeeded."""
        if self._cancels() if cancels is None else cancels:
            self._cancel(operation)
        deadline, pause = time.monotonic() + OVERDUE, pauses()
        while True:
            found = self._ask("GET", f"/operations/{operation}").json()["operation"]
            if found["state"] in ("succeeded", "failed"):
                return bool(found["state"] == "succeeded")
            assert time.monotonic() < deadline, found
            time.sleep(next(pause))

    def _cancel(self, operation: str, rest: Session | None = None) -> None:
        """Ask for its cancellation; refused when it has ended or cannot go back."""
        answer = self._ask("POST", f"/operations/{operation}/action", {"cancel": {}}, rest=rest)
        assert answer.status_code in (202, 400, 409), answer.text
        if answer.status_code == 202:
            self.history.append(Cancelled(self.name, operation))
