"""``volumed`` as it is, except that each secret is noted before it is sealed: the watcher must know what to look for.

Tests that hand secrets to a driver have them noted, too. Itself a script: the file of the notes is named by an
environment variable, all arguments are volumed's.
"""

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

#: Names the file to which secrets are noted, one a line.
NOTES = "VOLUMED_TEST_NOTES"


def note_secrets(notes: Path) -> None:
    """From now on this process notes in ``notes`` what it seals."""
    from volumed.db.sealing import Seal

    seal = Seal.seal

    def noting(self: Seal, owner: str, secret: Mapping[str, Any]) -> str:
        descriptor = _opened(notes)
        try:
            os.write(descriptor, f"{secret['password']}\n".encode())
        finally:
            os.close(descriptor)
        return seal(self, owner, secret)

    Seal.seal = noting  # type: ignore[method-assign]


def note_accesses(notes: Path, check: Callable[[str], object]) -> None:
    """From now on this process, and whatever is forked from it, notes the password of each ``Access`` that is made.

    ``check`` raises for one that would not be found.
    """
    from volumed.driver.interface import Access

    make, known = Access.__init__, set[str]()
    descriptor = _opened(notes)  # which a forked process has, too, whoever it becomes

    def noting(self: Access, *words: Any, **named: Any) -> None:
        make(self, *words, **named)
        if self.password not in known:
            check(self.password)
            os.write(descriptor, f"{self.password}\n".encode())
            known.add(self.password)

    Access.__init__ = noting  # type: ignore[method-assign]


def _opened(notes: Path) -> int:
    return os.open(notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


if __name__ == "__main__":
    from volumed.launch import concurrency

    concurrency.choose_threading()
    note_secrets(Path(os.environ[NOTES]))

    from volumed.cmd import volumed

    sys.exit(volumed.main())
