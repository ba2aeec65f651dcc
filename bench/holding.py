"""``volumed`` whose operations hang between two steps, for ever: so that many are in flight when it is killed.

Run as ``python -m bench.holding up ...``. What is accepted meanwhile waits behind those that hang.
"""

import sys
import threading

from volumed.cmd.volumed import main
from volumed.model.crash_points import watch


def hold(point: str) -> None:
    """Let nothing past the end of a step."""
    if point.startswith(("volume.", "snapshot.")) and point.endswith(".after"):
        threading.Event().wait()


if __name__ == "__main__":
    watch(hold)
    sys.exit(main(sys.argv[1:]))
