"""A launcher whose backends do what the command line says; nothing of a fleet is needed for it.

``python tests/lab/launched.py TIMING NAME=BEHAVIOUR ...``, TIMING being ``stuck,drain,silence`` in seconds. Behaviours:
``well``; ``dies`` at once; ``deaf`` to SIGTERM. Each child notes its process id in a file of its name.
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path

from volumed.launch import logs
from volumed.launch.backends import Launcher, Timing, Voice

#: Seconds between two signs of life.
BEAT = 0.1


def serve(name: str, behaviour: str, voice: Voice) -> int:
    """Be a backend."""
    with Path(name).open("a") as notes:
        notes.write(f"{os.getpid()}\n")
    if behaviour == "dies":
        return 3
    ending, reloaded = threading.Event(), threading.Event()
    signal.signal(signal.SIGHUP, lambda *_: reloaded.set())
    signal.signal(signal.SIGTERM, signal.SIG_IGN if behaviour == "deaf" else lambda *_: ending.set())
    while not ending.is_set():
        voice.hear(True, ("up", "read again") if reloaded.is_set() else ("up", None))
        time.sleep(BEAT)
    return 0


def main(timing: str, *backends: str) -> int:
    """Launch them."""
    logs.to_stderr(debug=False)
    behaviours = dict(each.split("=") for each in backends)
    return Launcher(
        list(behaviours),
        lambda name, voice: serve(name, behaviours[name], voice),
        Timing(*map(float, timing.split(","))),
    ).run()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
