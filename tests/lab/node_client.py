"""Asks a ``volumed up`` for volumes and judges what becomes of them; a program of its own, because a guest is slow.

    python node_client.py URL lifecycle|begin|settle|finish BACKEND...
    python node_client.py URL relay

``lifecycle``: every kind of request on each backend, one after another, while the clock is set back. ``begin``: many
requests at once, and none is waited for. ``settle``: hosts are let in to what they are attached to. ``finish``: all
that was begun ends as asked, hosts are let in, what is there goes, and the doctor finds nothing. ``relay``: each line
of its input, a JSON object ``{"method", "path", "body"}``, is asked and answered by one, ``{"status", "body"}``, whose
status is 0 where nobody answers (``tests.lab.guest.rest`` is the other end). Each answer is noted, a JSON line each,
in the file that ``VOLUMED_TEST_ANSWERS`` names, if it names one. Imports nothing of ours.
"""

import json
import os
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

#: Seconds for what takes a moment, in a guest on a busy machine.
PATIENCE = 240.0

#: Names the file to which answers are noted.
ANSWERS = "VOLUMED_TEST_ANSWERS"

#: Volumes that ``begin`` leaves on each backend.
LEFT = 8

#: The backend whose target is not the kernel's.
FILES = "files"

#: The backend whose volumes are extended while they are attached.
GROWS_IN_USE = "thin"

#: Where the kernel has its targets, and who is let in to one by the name of its volume.
ACCESSES = "sys/kernel/config/target/iscsi/*:volume-{volume}/tpgt_1/acls/{initiator}/lun_*/lun"


class Client:
    def __init__(self, url: str) -> None:
        self._url = f"{url}/v3"

    def answer(self, method: str, path: str, body: Any = None) -> tuple[int, str]:
        """Status and content; they are noted."""
        headers = {
            "X-Auth-Token": "admin:admin",
            "OpenStack-API-Version": "volume 3.66",
            "Content-Type": "application/json",
        }
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as found:
                status, content = found.status, found.read().decode()
        except urllib.error.HTTPError as error:
            status, content = error.code, error.read().decode()
        _note(method, path, status, content)
        return status, content

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """What is answered; None where there is no such thing."""
        status, content = self.answer(method, path, body)
        if status == 404:
            return None
        if status >= 400:
            raise SystemExit(f"{method} {path}: {status} {content}")
        return json.loads(content or "null")

    def add_type(self, backend: str) -> None:
        told = {"name": backend, "extra_specs": {"volume_backend_name": backend}}
        self.ask("POST", "/types", {"volume_type": told})

    def create(self, backend: str, **fields: Any) -> str:
        told = {"size": 1, "volume_type": backend, **fields}
        return str(self.ask("POST", "/volumes", {"volume": told})["volume"]["id"])

    def snapshot(self, volume: str) -> str:
        return str(self.ask("POST", "/snapshots", {"snapshot": {"volume_id": volume, "force": True}})["snapshot"]["id"])

    def attach(self, volume: str) -> str:
        """By a host that is called by the volume's name; it has been let in when this returns. The attachment."""
        attachment = {
            "volume_uuid": volume,
            "instance_uuid": volume,
            "connector": {"initiator": initiator_of(volume), "host": "compute", "ip": "127.0.0.1"},
        }
        return str(self.ask("POST", "/attachments", {"attachment": attachment})["attachment"]["id"])

    def wait(self, path: str, status: str = "available") -> None:
        deadline = time.monotonic() + PATIENCE
        while (found := self._status(path)) != status:
            if found.startswith("error") or time.monotonic() > deadline:
                raise SystemExit(f"{path} is {found}, not {status}: {self.ask('GET', path)}")
            time.sleep(0.2)

    def wait_until_let_in(self, volume: str) -> None:
        """Until the kernel lets the volume's host in, to its disk, where it is the kernel who does."""
        if self.ask("GET", f"/volumes/{volume}")["volume"]["volume_type"] == FILES:
            return
        deadline = time.monotonic() + PATIENCE
        while not any(Path("/").glob(ACCESSES.format(volume=volume, initiator=initiator_of(volume)))):
            if time.monotonic() > deadline:
                raise SystemExit(f"nobody is let in to {volume}: {self.ask('GET', '/attachments/detail')}")
            time.sleep(0.2)

    def wait_until_clean(self) -> None:
        """Until the doctor has looked and finds nothing."""
        deadline = time.monotonic() + PATIENCE
        while (told := self.ask("GET", "/doctor")["doctor"])["findings"] or not told["looked_at"]:
            if time.monotonic() > deadline:
                raise SystemExit(f"the doctor finds {told}")
            time.sleep(0.5)

    def _status(self, path: str) -> str:
        answer = self.ask("GET", path)
        return "gone" if answer is None else str(next(iter(answer.values()))["status"])


def _note(method: str, path: str, status: int, content: str) -> None:
    if ANSWERS in os.environ:
        told = {"method": method, "path": path, "status": status, "content": content}
        with open(os.environ[ANSWERS], "a") as notes:
            notes.write(json.dumps(told) + "\n")


def initiator_of(volume: str) -> str:
    return f"iqn.2026-01.test:{volume}"


def lifecycle(client: Client, *backends: str) -> None:
    for backend in backends:
        client.add_type(backend)
        source = client.create(backend)
        client.wait(f"/volumes/{source}")
        time.clock_settime(time.CLOCK_REALTIME, time.time() - 3600)
        snapshot = client.snapshot(source)
        client.wait(f"/snapshots/{snapshot}")
        copies = [client.create(backend, snapshot_id=snapshot), client.create(backend, source_volid=source)]
        for copy in copies:
            client.wait(f"/volumes/{copy}")
        client.ask("POST", f"/volumes/{copies[0]}/action", {"os-extend": {"new_size": 2}})
        client.wait(f"/volumes/{copies[0]}")
        attachment = client.attach(copies[0])
        if backend == GROWS_IN_USE:
            client.ask("POST", f"/attachments/{attachment}/action", {"os-complete": {}})
            client.wait(f"/volumes/{copies[0]}", "in-use")
            client.ask("POST", f"/volumes/{copies[0]}/action", {"os-extend": {"new_size": 3}})
            client.wait(f"/volumes/{copies[0]}", "in-use")
    remove_all(client)


def begin(client: Client, *backends: str) -> None:
    made = {backend: _sources(client, backend) for backend in backends}
    for backend, (source, snapshot, (*gone, attached, attaching)) in made.items():
        client.attach(attached)
        threading.Thread(target=client.attach, args=(attaching,), daemon=True).start()
        for volume in gone:
            client.ask("DELETE", f"/volumes/{volume}")
        client.snapshot(source)
        for fields in ({}, {"snapshot_id": snapshot}, {"source_volid": source}, {}, {"snapshot_id": snapshot}):
            client.create(backend, **fields)
    print("begun", flush=True)


def _sources(client: Client, backend: str) -> tuple[str, str, list[str]]:
    """A volume, its snapshot, and four volumes beside them; they are there."""
    source = client.create(backend)
    client.wait(f"/volumes/{source}")
    snapshot = client.snapshot(source)
    client.wait(f"/snapshots/{snapshot}")
    beside = [client.create(backend) for _ in range(4)]
    for volume in beside:
        client.wait(f"/volumes/{volume}")
    return source, snapshot, beside


def settle(client: Client, *backends: str) -> None:
    for each in client.ask("GET", "/attachments")["attachments"]:
        client.wait_until_let_in(each["volume_id"])


def finish(client: Client, *backends: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while waited := [each for each in client.ask("GET", "/volumes/detail")["volumes"] if each["status"] == "deleting"]:
        if time.monotonic() > deadline:
            raise SystemExit(f"still there: {waited}")
        time.sleep(0.2)
    volumes = client.ask("GET", "/volumes")["volumes"]
    if len(volumes) != LEFT * len(backends):
        raise SystemExit(f"there are {len(volumes)} volumes; asked for and not deleted were {LEFT} on each backend")
    if len(client.ask("GET", "/attachments")["attachments"]) < len(backends):
        raise SystemExit("an attachment is gone that was made")
    remove_all(client)


def remove_all(client: Client) -> None:
    settle(client)
    for each in client.ask("GET", "/attachments")["attachments"]:
        client.ask("DELETE", f"/attachments/{each['id']}")
        client.wait(f"/attachments/{each['id']}", "gone")
    kinds = {kind: [each["id"] for each in client.ask("GET", f"/{kind}")[kind]] for kind in ("snapshots", "volumes")}
    for kind, ids in kinds.items():  # a snapshot is held while a volume is copied from it
        for its_id in ids:
            client.wait(f"/{kind}/{its_id}")
    for kind, ids in kinds.items():
        for its_id in ids:
            client.ask("DELETE", f"/{kind}/{its_id}")
        for its_id in ids:
            client.wait(f"/{kind}/{its_id}", "gone")
    client.wait_until_clean()


def relay(client: Client) -> None:
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            status, content = client.answer(asked["method"], asked["path"], asked["body"])
        except urllib.error.URLError as error:
            status, content = 0, json.dumps(str(error))
        print(json.dumps({"status": status, "body": json.loads(content or "null")}), flush=True)


if __name__ == "__main__":
    steps = {"lifecycle": lifecycle, "begin": begin, "settle": settle, "finish": finish, "relay": relay}
    steps[sys.argv[2]](Client(sys.argv[1]), *sys.argv[3:])
