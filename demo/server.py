"""``volumed up`` as a user starts it: a process of its own, found again by the line that it prints."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

#: Seconds that a start or a stop may take.
PATIENCE = 20.0

_URL = re.compile(r"^volumed serves (http://\S+)", re.MULTILINE)


class ServerError(Exception):
    """The server did not start or not stop; the text has its last words."""


class Server:
    """One ``volumed up`` on ``state``; its port stays over restarts."""

    def __init__(self, state: Path, log: Path) -> None:
        self.state = state
        self.url = ""
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and wait until it serves."""
        listen = self.url.removeprefix("http://") or "127.0.0.1:0"
        said = self._log.stat().st_size if self._log.exists() else 0
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "volumed.cmd.volumed", "up", "--state", str(self.state), "--listen", listen],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                start_new_session=True,
            )
        self._wait_for_url(said)

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server was not started"
        return self._process.pid

    def kill(self) -> None:
        """As a crash does it: SIGKILL, no word of goodbye."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """As Ctrl-C does it; a server that was killed already stays so."""
        if self._process is not None and self._process.poll() is None:
            self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        assert self._process is not None, "the server was not started"
        self._process.send_signal(number)
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise ServerError(f"volumed up does not stop on {number.name}:\n{self._last_words()}") from None

    def _wait_for_url(self, said: int) -> None:
        deadline = time.monotonic() + PATIENCE
        assert self._process is not None
        while time.monotonic() < deadline and self._process.poll() is None:
            with self._log.open("rb") as log:
                log.seek(said)
                found = _URL.search(log.read().decode(errors="replace"))
            if found is not None:
                self.url = found[1]
                return
            time.sleep(0.01)
        raise ServerError(f"volumed up does not serve:\n{self._last_words()}")

    def _last_words(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-20:])
