"""``volumed`` as it is, except that each secret is noted before it is sealed: the watcher must know what to look for.

A script: the file of the notes is named by an environment variable, all arguments are volumed's.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: Names the file to which secrets are noted, one a line.
NOTES = "VOLUMED_TEST_NOTES"


def note_secrets(notes: Path) -> None:
    """From now on this process notes in ``notes`` what it seals."""
    from volumed.db.sealing import Seal

    seal = Seal.seal

    def noting(self: Seal, owner: str, secret: Mapping[str, Any]) -> str:
        descriptor = os.open(notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, f"{secret['password']}\n".encode())
        finally:
            os.close(descriptor)
        return seal(self, owner, secret)

    Seal.seal = noting  # type: ignore[method-assign]


if __name__ == "__main__":
    from volumed.launch import concurrency

    concurrency.choose_threading()
    note_secrets(Path(os.environ[NOTES]))

    from volumed.cmd import volumed

    sys.exit(volumed.main())
