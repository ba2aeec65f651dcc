"""What keeps a process from starting, in one sentence on stderr."""

import logging
import os
import sys
from collections.abc import Callable

from volumed.model.crash_points import kill_at
from volumed.model.errors import VolumedError

#: Exit status when something keeps it from starting.
CANNOT_START = 2


def start(program: str, serve: Callable[[], int]) -> int:
    """The exit status of ``serve``; a crash point that the environment names kills it there."""
    try:
        if crash_point := os.environ.get("VOLUMED_CRASH_POINT"):
            kill_at(crash_point)
        return serve()
    except VolumedError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return CANNOT_START
    except OSError as error:
        logging.getLogger("volumed").debug("what keeps it from starting:", exc_info=error)
        print(f"{program}: {error.filename or 'cannot start'}: {error.strerror or error}", file=sys.stderr)
        return CANNOT_START
