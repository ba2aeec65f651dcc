"""A fleet on eventlet: each service is started by its command, so that nothing is imported before it chooses."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from tests.lab.fleet import FleetDaemon
from tests.lab.nursery import Child
from volumed.launch.concurrency import VARIABLE

_REPOSITORY = Path(__file__).parents[2]


class GreenChild:
    """One service with the face of ``nursery.Child``."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self.pid: int = process.pid

    def poll(self) -> int | None:
        return self._process.poll()

    def wait(self, timeout: float | None = None) -> int:
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"process {self.pid} has not ended within {timeout} s") from None

    def send_signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        self._process.kill()


class GreenFleet(FleetDaemon):
    """See the module; crash points are not watched here."""

    def stalls(self) -> dict[int, float]:
        """The longest stall of each process so far, in seconds (``tests/lab/green_service.py``)."""
        return {int(path.suffix[1:]): float(path.read_text()) for path in self.folder.glob("stalls.*")}

    def _fork(self, name: str, environment: Mapping[str, str]) -> Child:
        command = [sys.executable, "-m", "tests.lab.green_service", str(os.getpid()), str(self.watch.notes)]
        command += [str(self.folder / "stalls"), self._binary_of(name), *self._arguments_of(name)]
        surroundings = {"PYTHONUNBUFFERED": "1", VARIABLE: "eventlet", **self.environment, **environment}
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=_REPOSITORY,
                env={**os.environ, **surroundings},
                start_new_session=True,
            )
        return cast(Child, GreenChild(process))
