"""``make demo-fleet``: a fleet at work, and one part of it after another dies. It ends with the doctor's word.

RabbitMQ and PostgreSQL are private and gone afterwards. What is seen here is what an operator would see: REST answers,
``volumed-manage``, processes.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
import requests

from demo.fleet_load import TOKEN, Load
from demo.fleet_parts import Fleet, FleetError, Service
from demo.narration import Narrator
from tests.lab import postgresql, rabbitmq

#: Seconds of undisturbed work before, between and after the deaths.
WORK = 4.0

#: Seconds after which what must come to rest is overdue.
OVERDUE = 120.0


class Story:
    """Kills, and tells."""

    def __init__(self, tell: Narrator, fleet: Fleet, broker: rabbitmq.Server, database: Any) -> None:
        self._tell = tell
        self._fleet = fleet
        self._broker = broker
        self._database = database
        self._load = Load([])

    def run(self) -> None:
        """All of it. Raises ``FleetError`` or ``AssertionError`` where it does not come true."""
        with self._tell.step("start: 2 API processes, 2 schedulers, 3 volume services with 2 backends each"):
            self._fleet.start()
            self._until(lambda: len(self._pools()) == 6)
            self._table()
        self._load = Load([each.url for each in self._fleet.apis])
        self._load.start()
        time.sleep(WORK)
        for title, die in self._deaths():
            with self._tell.step(title):
                before = self._load.counts.ended
                die()
                time.sleep(WORK)
                self._until(lambda began=before: self._load.counts.ended > began)
                self._table()
        with self._tell.step("let the clients end what they have begun, and count"):
            self._load.stop()
            self._judge()

    def _deaths(self) -> list[tuple[str, Callable[[], None]]]:
        fleet = self._fleet
        return [
            ("kill -9 a scheduler; the other one goes on, and it comes back", lambda: self._die(fleet.schedulers[0])),
            ("kill -9 an API process; clients ask the other one", lambda: self._die(fleet.apis[1])),
            ("kill -9 one backend's process; its launcher starts it again", self._kill_a_backend),
            ("kill -9 a whole volume service, children and all", lambda: self._die(fleet.volumes[2])),
            ("stop RabbitMQ, kill it, and have it back", self._lose_the_broker),
            ("stop PostgreSQL, kill it, and have it back", self._lose_the_database),
        ]

    def _die(self, service: Service) -> None:
        self._tell.fact(f"{service.name} (process {service.pid}) is killed")
        service.kill()
        time.sleep(1)
        service.start()
        service.wait()
        self._tell.fact(f"{service.name} serves again as process {service.pid}")

    def _kill_a_backend(self) -> None:
        launcher = psutil.Process(self._fleet.volumes[1].pid)
        victim = next(each for each in launcher.children() if each.name() != "tgtd")
        self._tell.fact(f"process {victim.pid} of {self._fleet.volumes[1].name} is killed")
        victim.kill()
        self._until(lambda: not victim.is_running())

    def _lose_the_broker(self) -> None:
        self._broker.stop()
        self._tell.fact("RabbitMQ is stopped; rows are the truth, and sweeps find what no message wakes")
        time.sleep(WORK)
        self._broker.start()
        self._broker.kill()
        self._broker.start()
        self._tell.fact("RabbitMQ was killed once more, and is back")

    def _lose_the_database(self) -> None:
        self._database.stop()
        self._tell.fact("PostgreSQL is stopped; the API says 503, and nothing is forgotten")
        time.sleep(WORK / 2)
        self._database.start()
        self._database.kill()
        self._database.start()
        self._tell.fact("PostgreSQL was killed once more, and is back")

    # --- what is seen -----------------------------------------------------------------------------------------------

    def _table(self) -> None:
        counts = self._load.counts
        for each in self._fleet.services:
            self._tell.fact(f"{each.name:12} {'serves' if each.lives else 'DEAD':8} process {each.pid}")
        self._tell.fact(
            f"accepted {counts.accepted}, ended as asked {counts.ended}, attached {counts.attached},"
            f" asked again {counts.asked_again}, wrong {len(counts.wrong)}"
        )

    def _judge(self) -> None:
        counts = self._load.counts
        assert not counts.wrong, counts.wrong
        assert counts.accepted == counts.ended, "something that was accepted did not end"
        self._until(lambda: not self._differences())
        live = self._get("/operations?all_tenants=1&state=running")["operations"]
        assert live == [], live
        self._tell.fact(f"{counts.accepted} requests were accepted, and every one ended as asked")
        self._tell.fact("the doctor: nothing left, nothing stuck")

    def _differences(self) -> list[Any]:
        told = self._get("/doctor")["doctor"]
        return [*told["findings"], *told["not_looked_at"]]

    def _pools(self) -> list[Any]:
        return list(self._get("/scheduler-stats/get_pools").get("pools", []))

    def _get(self, path: str) -> Any:
        return requests.get(f"{self._fleet.apis[0].url}/v3{path}", headers={"X-Auth-Token": TOKEN}, timeout=60).json()

    def _until(self, look: Callable[[], Any]) -> None:
        deadline = time.monotonic() + OVERDUE
        while not look():
            if self._load.counts.wrong:
                raise AssertionError(self._load.counts.wrong[0])
            if time.monotonic() > deadline:
                raise FleetError(f"it did not come true; the logs are in {self._fleet.folder}")
            time.sleep(0.1)


@contextmanager
def fleet_in(folder: Path, broker: str, database: str, **size: Any) -> Iterator[Fleet]:
    """A fleet of the given size whose processes end with the block, whatever happened."""
    fleet = Fleet(folder, broker, database, **size)
    try:
        yield fleet
        fleet.stop()
    finally:
        _end_processes(folder)


def _end_processes(folder: Path) -> None:
    """What names the folder in its command line or works in it: services, and the target daemons that outlive them."""
    left = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and str(folder) in " ".join([*process.cmdline(), process.cwd()]):
                left.append(process)
                process.kill()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    psutil.wait_procs(left, timeout=10)


def main() -> int:
    """Tell the story; 0 only when all of it came true."""
    narrator = Narrator()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    # Short, because a socket's path has at most 107 bytes (unix(7)).
    with tempfile.TemporaryDirectory(prefix="volumed-demo-") as folder:
        try:
            with ExitStack() as parts:
                with narrator.step("start RabbitMQ and PostgreSQL, private ones"):
                    broker = parts.enter_context(rabbitmq.server())
                    database = parts.enter_context(postgresql.server())
                vhost = parts.enter_context(broker.access.vhost())
                url = parts.enter_context(database.database())
                fleet = parts.enter_context(fleet_in(Path(folder), vhost.url, url))
                Story(narrator, fleet, broker, database).run()
        except KeyboardInterrupt:
            narrator.bad("interrupted")
            return 130
        except (AssertionError, FleetError, OSError, requests.RequestException, subprocess.SubprocessError) as error:
            narrator.bad(f"THE DEMO FAILED: {error}")
            return 1
    narrator.good("NOTHING LEFT, NOTHING STUCK: whatever died, every accepted request ended as asked.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
