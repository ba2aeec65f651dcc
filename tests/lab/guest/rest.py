"""Asks a service that only its guest reaches, by way of ``tests.lab.node_client`` there."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from tests.lab import node_client
from tests.lab.guest.machine import Machine

#: Seconds for one answer; the other end waits for half of it.
PATIENCE = 120.0


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: Any


class Rest:
    """As the administrator, of the service at ``url`` in the machine."""

    def __init__(self, machine: Machine, url: str, notes: Path) -> None:
        self._answers: SimpleQueue[bytes] = SimpleQueue()
        self._rest = b""
        command = [sys.executable, "-I", node_client.__file__, url, "relay"]
        environment = {node_client.ANSWERS: str(notes)}
        self._job = machine.start(command, listener=self._hear, fed=True, environment=environment)

    def ask(self, method: str, path: str, body: Any = None) -> Answer:
        self._job.feed(json.dumps({"method": method, "path": path, "body": body}).encode() + b"\n")
        return Answer(**json.loads(self._answers.get(timeout=PATIENCE)))

    def _hear(self, stream: int, data: bytes) -> None:
        if stream == 1:
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                self._answers.put(line)
