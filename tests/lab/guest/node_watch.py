"""Looks for the secrets of a ``volumed up`` and its helpers while they run in a guest; a program there, run as root.

    python -m tests.lab.guest.node_watch FOLDER STATE

``FOLDER`` outlives the guest. In it are ``noted`` (``tests.lab.watched``), ``log``, what every process of the node
said, and ``answers``, what the API answered (``tests.lab.node_client``). From its line ``watching`` on it samples
processes; it answers each line of its input with a line, a JSON list of where secrets stood:

    processes     in a process so far; it takes no time
    targets       and in what everybody may read of the kernel's targets, while nothing works on them
    files         and in the log, and in the state as it is on the disk: the database is not opened
    everything    and in rows, answers and what everybody may read of the machine; to be asked once, at the end
"""

import json
import queue
import sys
import time
from pathlib import Path

from tests.lab.guest import session_watch
from tests.lab.guest.machine import PATIENCE, Machine
from tests.lab.watcher import Watch, Words, noted, read_files, read_what_everybody_may

#: What it is asked.
PROCESSES, TARGETS, FILES, EVERYTHING = "processes", "targets", "files", "everything"

#: In the folder.
NOTES, LOG, ANSWERS = "noted", "log", "answers"

#: Seconds before its start from which on files are the machine's own: a test sets the clock back.
EARLIER = 24 * 3600


class Watching:
    """The other end, on the host."""

    def __init__(self, machine: Machine, folder: Path, state: str) -> None:
        """Start it in the machine, and wait until it samples."""
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._rest = ""
        command = [sys.executable, "-m", "tests.lab.guest.node_watch", str(folder), state]
        self._job = machine.start(command, listener=self._hear, fed=True)
        assert self._lines.get(timeout=PATIENCE) == "watching"

    def ask(self, question: str) -> list[str]:
        """Where secrets stood; see the module."""
        self._job.feed(f"{question}\n".encode())
        found: list[str] = json.loads(self._lines.get(timeout=PATIENCE))
        return found

    def _hear(self, stream: int, data: bytes) -> None:
        if stream == 1:
            *lines, self._rest = (self._rest + data.decode()).split("\n")
            for line in lines:
                self._lines.put(line)


class NodeWatch:
    """What the program knows."""

    def __init__(self, folder: Path, state: Path) -> None:
        self._watch = Watch(folder)
        self._watch.begin(state)
        self._log = folder / LOG
        self._answers = folder / ANSWERS
        self._state = state
        self._since = time.time() - EARLIER

    def answer(self, asked: str) -> list[str]:
        if asked == EVERYTHING:
            return self._at_the_end()
        left = Words()
        if asked == TARGETS:
            read_what_everybody_may(self._watch.processes, session_watch.TARGETS)
        if asked == FILES:
            read_files(left, self._log, self._state)
        secrets = noted(self._watch.notes)
        return sorted({*self._watch.processes.hits(secrets), *left.hits(secrets)})

    def _at_the_end(self) -> list[str]:
        for place in session_watch.PLACES:
            read_what_everybody_may(self._watch.processes, place, self._since)
        for line in self._answers.read_text().splitlines():
            told = json.loads(line)
            self._watch.answered(told["method"], told["path"], told["status"], told["content"].encode())
        return self._watch.end(self._state, self._log)


def main() -> None:
    watch = NodeWatch(*map(Path, sys.argv[1:]))
    print("watching", flush=True)
    for line in sys.stdin:
        print(json.dumps(watch.answer(line.strip())), flush=True)


if __name__ == "__main__":
    main()
