"""Another life of this process: the same command in the same process id, without its threads.

execve(2): all other threads end at once, and every descriptor of ours closes (PEP 446 makes them so), with its locks.
What was under way is found by the next life as after a kill -9. A thread that is in an uninterruptible call of the
kernel holds this up until that call ends; nothing in user space can help it.
"""

import logging
import os
import sys
from typing import NoReturn

from volumed.launch.wishes import Wishes

LOG = logging.getLogger(__name__)


def become(wishes: Wishes) -> NoReturn:
    """Never returns. Whatever imports were possible are possible again."""
    LOG.critical("the process starts again as it was started; what was under way is resumed")
    sys.stdout.flush()
    sys.stderr.flush()
    command = [sys.executable, "-m", "volumed.cmd.volumed", *wishes.arguments()]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
    os.execve(sys.executable, command, environment)
