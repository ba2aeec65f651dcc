"""Looks for the passwords that tests in a guest hand to drivers where none may be, for as long as its pytest runs.

Each ``Access`` that is made is noted, in forked processes too. Looked through are command lines and environments of
all processes of the guest, what a test reports (output, logs, why it failed), the sentences of our errors, and what
everybody may read: of the kernel's targets before the teardown of each test, of the machine at the end of each file of
tests. The test during which a password was found has failed.
"""

import time
from pathlib import Path
from typing import Any

import pytest

from tests.lab import watched
from tests.lab.watcher import Sampler, Words, noted, of_known_shape, read_what_everybody_may

#: Where the passwords are noted, in the guest's memory.
NOTES = Path("/run/noted-secrets")

#: Where the kernel has its targets.
TARGETS = Path("/sys/kernel/config/target")

#: What the guest has in memory: the last is all that it has written over the host's files (``init.sh``). The host's own
#: are not looked at: they are others', and each that is read keeps a descriptor of the guest's process on the host.
PLACES = [Path(place) for place in ("/run", "/dev/shm", "/run/written")]


class SessionWatch:
    """Over one pytest, which asks it ``judged`` of each report."""

    def __init__(self) -> None:
        self._words = Words()
        self._told: set[str] = set()
        self._since = time.time()

    def begin(self) -> None:
        """Before the tests are imported: they have passwords of their own."""
        watched.note_accesses(NOTES, lambda password: of_known_shape([password]))
        _read_errors(self._words)
        Sampler().add(self._words)

    def look_at_targets(self) -> None:
        """While the test's exports are there."""
        read_what_everybody_may(self._words, TARGETS)

    def look_at_machine(self) -> None:
        """While the module's processes are there."""
        for place in PLACES:
            read_what_everybody_may(self._words, place, self._since)

    def judged(self, report: pytest.TestReport) -> pytest.TestReport:
        """The report; of a failure where a password was found since the last one."""
        for name, text in report.sections:
            self._words.read(text.encode(), f"{name} of {report.nodeid}")
        self._words.read(report.longreprtext.encode(), f"the report of {report.nodeid}")
        if found := sorted({*self._words.hits(noted(NOTES))} - self._told):
            self._told.update(found)
            report.longrepr = "\n".join([f"secrets are in {found}", *filter(None, [report.longreprtext])])
            report.outcome = "failed"
        return report


def _read_errors(words: Words) -> None:
    """From now on each error of ours is read as it is made, also where a test expects it."""
    from volumed.model.errors import VolumedError

    make = VolumedError.__init__

    def reading(self: VolumedError, *sentence: Any, **fields: Any) -> None:
        make(self, *sentence, **fields)
        words.read(f"{self} {fields}".encode(), f"an error {type(self).__name__}")

    VolumedError.__init__ = reading  # type: ignore[method-assign]
