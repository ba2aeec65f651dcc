"""``volumed`` with every SQL statement written to the file that ``BENCH_STATEMENTS`` names, a line each.

Run as ``python -m bench.counting up ...``: the product has no hook for it, SQLAlchemy has.
"""

import os
import sys
from typing import Any

from sqlalchemy import Engine, event

from volumed.cmd.volumed import main


def count_into(path: str) -> None:
    """Append each statement of this process; BEGIN and COMMIT are none."""
    log = open(path, "a", buffering=1)  # noqa: SIM115 - open as long as the process

    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if not statement.startswith(("BEGIN", "PRAGMA")):
            log.write(" ".join(statement.split()) + "\n")

    event.listen(Engine, "before_cursor_execute", note)


if __name__ == "__main__":
    count_into(os.environ["BENCH_STATEMENTS"])
    sys.exit(main(sys.argv[1:]))
