"""Asks a service that only its guest reaches; the guest's end is this file, run as a program there.

A request is a JSON object a line, ``{"method", "path", "body"}``, and its answer one, ``{"status", "body"}``, which is
noted as ``tests.lab.node_client`` does. The guest's end imports nothing of ours: a guest is slow.
"""

import json
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.lab.guest.machine import Machine

#: Seconds for one answer.
PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: Any


class Rest:
    """As the administrator, of the service at ``url`` in the machine."""

    def __init__(self, machine: "Machine", url: str, notes: Path) -> None:
        self._answers: SimpleQueue[bytes] = SimpleQueue()
        self._rest = b""
        command = [sys.executable, "-I", __file__, f"{url}/v3", str(notes)]
        self._job = machine.start(command, listener=self._hear, fed=True)

    def ask(self, method: str, path: str, body: Any = None) -> Answer:
        self._job.feed(json.dumps({"method": method, "path": path, "body": body}).encode() + b"\n")
        return Answer(**json.loads(self._answers.get(timeout=2 * PATIENCE)))

    def _hear(self, stream: int, data: bytes) -> None:
        if stream == 1:
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                self._answers.put(line)


def note(method: str, path: str, status: int, content: str) -> None:
    with open(sys.argv[2], "a") as notes:
        notes.write(json.dumps({"method": method, "path": path, "status": status, "content": content}) + "\n")


def main() -> None:
    for line in sys.stdin:
        asked = json.loads(line)
        body = None if asked["body"] is None else json.dumps(asked["body"]).encode()
        request = urllib.request.Request(sys.argv[1] + asked["path"], body, _HEADERS, method=asked["method"])
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                status, told = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, told = error.code, error.read()
        except urllib.error.URLError as error:
            status, told = 0, json.dumps(str(error)).encode()
        note(asked["method"], asked["path"], status, told.decode())
        print(json.dumps({"status": status, "body": json.loads(told or b"null")}), flush=True)


_HEADERS = {
    "X-Auth-Token": "admin:admin",
    "OpenStack-API-Version": "volume 3.66",
    "Content-Type": "application/json",
}


if __name__ == "__main__":
    main()
