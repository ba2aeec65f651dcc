"""The life of a service, with a manager that takes notes and everything else real."""

import os
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from volumed import conf as configuration
from volumed.db import migrate
from volumed.db.engine import Database
from volumed.launch.service import Identity, Service
from volumed.model.context import RequestContext
from volumed.model.errors import ServiceLocked
from volumed.operations.locks import ServiceLock
from volumed.operations.periodic import PeriodicTask
from volumed.rpc.messenger import Messenger
from volumed.rpc.transport import make_transport, register_options

CONTEXT = RequestContext(user_id="u", project_id="p", is_admin=True, request_id="req-1")


class Notes:
    """A manager that notes what happens to it."""

    RPC_VERSION = "1.4"
    RPC_METHODS = ("ask",)

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.now: tuple[str, str | None] = ("up", None)
        self.trouble: Exception | None = None
        self.rounds = threading.Semaphore(0)

    def ask(self, context: RequestContext) -> str:
        self.seen.append("ask")
        return "answer"

    def endpoints(self) -> tuple[Any, ...]:
        return (self,)

    def init_host(self) -> None:
        self.seen.append("init_host")

    def listening(self) -> None:
        self.seen.append("listening")
        if self.trouble:
            raise self.trouble

    def periodic_tasks(self) -> Sequence[PeriodicTask]:
        return [
            PeriodicTask("fails", self._fail, spacing=0.05),
            PeriodicTask("comes round", self.rounds.release, spacing=0.05),
        ]

    def state(self) -> tuple[str, str | None]:
        return self.now

    def stop(self, timeout: float) -> None:
        self.seen.append(f"stop within {timeout:g} s")

    def _fail(self) -> None:
        raise RuntimeError("this task never works")


class Place:
    """A database, a broker and as many services as a test wants."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "volumed.db"
        self.database = Database(f"sqlite:///{self.path}")
        migrate.upgrade(self.database)
        self.conf = configuration.load(
            defaults={
                ("DEFAULT", "report_interval"): 0.1,
                ("DEFAULT", "periodic_fuzzy_delay"): 0,
                ("DEFAULT", "graceful_shutdown_timeout"): 7,
            }
        )
        register_options(self.conf)
        self.conf.set_default("transport_url", f"kombu+in-process:///{uuid.uuid4().hex}")
        self.services: list[Service] = []

    def service(self, manager: Notes, host: str = "node@disk", node: str = "node") -> Service:
        identity = Identity("volumed-volume", "topic", host, "nova", str(uuid.uuid4()))
        lock = ServiceLock(self.path.with_name(f"{node}-{host}.lock"), f"volumed-volume {host}")
        self.services.append(Service(self.conf, self.database, identity, manager, make_transport(self.conf), lock))
        return self.services[-1]

    def row(self, host: str = "node@disk") -> tuple[Any, ...]:
        with sqlite3.connect(self.path) as database:
            found = database.execute(
                "SELECT state, state_reason, rpc_version, incarnation, report_count FROM services WHERE host = ?",
                [host],
            ).fetchall()
        database.close()
        assert len(found) == 1
        return tuple(found[0])

    def close(self) -> None:
        for service in self.services:
            service.stop()
            service.wait()
        self.database.close()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    place.close()


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_service_is_recorded_initialised_answers_and_reports(place: Place) -> None:
    manager = Notes()
    service = place.service(manager)
    service.start()
    service.wait_until_started()
    transport = make_transport(place.conf)
    for server in (None, "node@disk"):
        answer = Messenger(transport, "volumed", 5).call(CONTEXT, "topic", "ask", {}, "1.0", server=server)
        assert answer == "answer"
    transport.cleanup()
    assert manager.seen == ["init_host", "listening", "ask", "ask"]
    until(lambda: place.row()[4] >= 2)
    assert place.row()[:4] == ("up", None, "1.4", service.identity.incarnation)


def test_a_change_of_state_is_reported_with_its_reason(place: Place) -> None:
    manager = Notes()
    place.service(manager).start()
    manager.now = ("down", "the disk is gone")
    until(lambda: place.row()[:2] == ("down", "the disk is gone"))


def test_a_fanout_reaches_every_service(place: Place) -> None:
    managers = [Notes(), Notes()]
    for number, manager in enumerate(managers):
        service = place.service(manager, f"node@disk{number}")
        service.start()
        service.wait_until_started()
    transport = make_transport(place.conf)
    assert Messenger(transport, "volumed", 5).cast(CONTEXT, "topic", "ask", {}, "1.0", fanout=True)
    until(lambda: all("ask" in manager.seen for manager in managers))
    transport.cleanup()


def test_a_periodic_task_that_fails_stops_no_other_and_is_tried_again(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    manager = Notes()
    place.service(manager).start()
    assert all(manager.rounds.acquire(timeout=10) for _ in range(3))
    assert caplog.text.count("periodic task fails failed") >= 2


def test_a_stop_gives_the_manager_its_time_and_reports_down(place: Place) -> None:
    manager = Notes()
    service = place.service(manager)
    service.start()
    service.stop()
    service.stop()
    service.wait()
    assert manager.seen == ["init_host", "listening", "stop within 7 s"]
    assert place.row()[:2] == ("down", "stopped")


def test_a_start_that_fails_tells_why(place: Place) -> None:
    manager = Notes()
    manager.trouble = ValueError("no such disk")
    service = place.service(manager)
    service.start()
    with pytest.raises(ValueError, match="no such disk"):
        service.wait_until_started()


def test_a_service_whose_place_was_taken_says_so_and_leaves_the_row_alone(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    first = place.service(Notes())
    first.start()
    second = place.service(Notes(), node="another")
    second.start()
    until(lambda: "another process has become service volumed-volume on node@disk" in caplog.text)
    first.stop()
    first.wait()
    assert place.row()[0] == "up"
    assert place.row()[3] == second.identity.incarnation


def test_a_second_process_of_a_service_on_one_node_is_refused_and_leaves_the_row_alone(place: Place) -> None:
    first = place.service(Notes())
    first.start()
    manager = Notes()
    second = place.service(manager)
    second.start()
    with pytest.raises(ServiceLocked, match=f"volumed-volume node@disk is already running as process {os.getpid()}"):
        second.wait_until_started()
    second.stop()
    second.wait()
    assert manager.seen == ["stop within 7 s"]
    assert place.row()[0] != "down"
    assert place.row()[3] == first.identity.incarnation
