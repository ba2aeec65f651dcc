"""Keeps one database server for those who use it, and ends it with them, however they end.

A process of its own, the server's parent: ``python -m tests.lab.database_keeper KIND FOLDER [--durable] [--shared]``.
It prints the port once the server answers. A private server's keeper then obeys a line of its input each (``start``,
``stop``, ``kill``, ``freeze``, ``thaw``), answers each with a line, and ends at the end of its input. A shared one's
ends when nobody has a lock on ``FOLDER/users`` any more: the kernel drops the lock of a process that is killed.
"""

import argparse
import fcntl
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil

from tests.lab import mariadb, postgresql
from tests.lab.database_server import USERS, Recipe

_ALL: tuple[Recipe, ...] = (postgresql.RECIPE, postgresql.TLS, mariadb.RECIPE, mariadb.TLS)
RECIPES = {recipe.name: recipe for recipe in _ALL}

#: Seconds within which a server must have started or ended.
PATIENCE = 120.0

#: Below the ports that the kernel gives to clients: one that calls a server that is away must not meet itself.
PORTS = range(15_000, 32_000)


class Kept:
    """The server, with its data in ``folder``."""

    def __init__(self, recipe: Recipe, folder: Path, durable: bool) -> None:
        self._recipe = recipe
        self._folder = folder
        self._durable = durable
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def begin(self) -> None:
        """Make the data and start on a free port."""
        self._recipe.prepare(self._folder)
        for port in random.sample(PORTS, 20):
            if not _is_free(port):
                continue
            self.port = port
            try:
                self.start()
                return
            except ChildProcessError:  # somebody else took the port in between, or it says why in its log
                continue
        raise ChildProcessError(f"it does not start:\n{self._log().read_text()[-3000:]}")

    def start(self) -> None:
        """Start and wait until it answers; what a killed server left may hinder it for a moment."""
        until = time.monotonic() + PATIENCE
        early_ends = 0
        self._spawn()
        while not self._recipe.answers(self.port):
            if self._process is not None and self._process.poll() is not None:
                early_ends += 1
                if early_ends > 5:
                    raise ChildProcessError(self._log().read_text()[-3000:])
                time.sleep(0.2)
                self._spawn()
            if time.monotonic() > until:
                raise TimeoutError(f"it does not answer:\n{self._log().read_text()[-3000:]}")
            time.sleep(0.02)

    def stop(self) -> None:
        """As an administrator stops it: clients are cut off, all is written."""
        if self._process is not None:
            self._process.send_signal(self._recipe.stop_signal)
            self._process.wait(PATIENCE)

    def kill(self) -> None:
        """All its processes at once, with SIGKILL."""
        family = self._tell_all(signal.SIGKILL)
        psutil.wait_procs(family[1:], PATIENCE)
        if self._process is not None:
            self._process.wait(PATIENCE)

    def freeze(self) -> None:
        """Let it hang: connections stay open and nobody answers."""
        self._tell_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._tell_all(signal.SIGCONT)

    def end(self) -> None:
        """Nothing of it is left."""
        with suppress(subprocess.TimeoutExpired, ProcessLookupError):
            self.thaw()
            if self._process is not None:
                self._process.send_signal(self._recipe.quit_signal)
                self._process.wait(5)
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _spawn(self) -> None:
        with self._log().open("ab") as log:
            self._process = subprocess.Popen(
                self._recipe.command(self._folder, self.port, self._durable),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
            )

    def _tell_all(self, number: signal.Signals) -> list[psutil.Process]:
        """Send a signal to the server and its children, which it returns."""
        if self._process is None or self._process.poll() is not None:
            return []
        parent = psutil.Process(self._process.pid)
        family = [parent, *parent.children(recursive=True)]
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        return family

    def _log(self) -> Path:
        return self._folder / "log"


def _is_free(port: int) -> bool:
    with socket.socket() as tried:
        try:
            tried.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _obey(kept: Kept) -> None:
    for line in sys.stdin:
        try:
            getattr(kept, line.strip())()
            print("done", flush=True)
        except Exception as error:  # the one who asked has to hear it
            print(repr(error), flush=True)


def _wait_for_last_user(folder: Path) -> None:
    with (folder / USERS).open("r+") as users:
        fcntl.flock(users, fcntl.LOCK_EX)
        # Whoever waits for this lock finds the file gone, and begins anew.
        (folder / USERS).unlink()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=RECIPES)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--durable", action="store_true")
    parser.add_argument("--shared", action="store_true")
    options = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    kept = Kept(RECIPES[options.kind], options.folder, options.durable)
    try:
        kept.begin()
        print(kept.port, flush=True)
        if options.shared:
            _wait_for_last_user(options.folder)
        else:
            _obey(kept)
    finally:
        kept.end()


if __name__ == "__main__":
    main()
