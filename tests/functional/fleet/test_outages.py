"""The broker or the database goes away and comes back while creates are asked for: each 202 is honoured, by itself."""

import json
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from kombu import Connection, Message, Queue

from tests.functional.fleet.conftest import QUICK
from tests.lab import postgresql, rabbitmq
from tests.lab.daemon import PATIENCE, looked_after
from tests.lab.fleet import FleetDaemon
from tests.lab.outside import Outside
from tests.lab.proxy import Proxy
from volumed.db import migrate
from volumed.db.engine import Database

pytestmark = [pytest.mark.part("rabbitmq-server"), pytest.mark.part("postgres"), pytest.mark.timeout(900)]

CREATES = 100
CLIENTS = 8

#: Seconds after which a request or its end is overdue, an outage and a loaded machine included.
OVERDUE = 180.0

QUEUES = {
    "transient": "amqp_durable_queues = false",
    "durable": "amqp_durable_queues = true",
    "quorum": "amqp_durable_queues = true\nrabbit_quorum_queue = true\nrabbit_transient_quorum_queue = true",
}


NOTIFICATIONS = "[oslo_messaging_notifications]\ndriver = messagingv2\n"


@contextmanager
def running(queues: str, **parts: str) -> Iterator[FleetDaemon]:
    fleet = FleetDaemon(Path(tempfile.mkdtemp(prefix="volumed-")), **parts)
    fleet.state.mkdir(mode=0o700)
    configuration = f"{QUICK}[quota]\nvolumes = 200\n{NOTIFICATIONS}[oslo_messaging_rabbit]\n{QUEUES[queues]}\n"
    (fleet.state / "volumed.conf").write_text(configuration)
    with looked_after(fleet):
        yield fleet


class Creates:
    """Clients that ask for volumes, and ask again with the same key where they got no answer or a 503."""

    def __init__(self, fleet: FleetDaemon) -> None:
        self._fleet = fleet
        self._lock = threading.Lock()
        self._left = CREATES
        self.accepted: list[str] = []
        self.failures: list[str] = []

    def run(self, during: Callable[[], Any]) -> None:
        """All of them; ``during`` is done once a quarter is accepted."""
        with ThreadPoolExecutor(CLIENTS) as threads:
            futures = [threads.submit(self._client) for _ in range(CLIENTS)]
            deadline = time.monotonic() + OVERDUE
            while len(self.accepted) < CREATES // 4:
                assert time.monotonic() < deadline, self.failures
                time.sleep(0.01)
            during()
            for future in futures:
                future.result()

    def _client(self) -> None:
        with self._fleet.session() as rest:
            while self._take():
                body = {"volume": {"size": 1}}
                headers = {"Idempotency-Key": str(uuid.uuid4())}
                deadline = time.monotonic() + OVERDUE
                while (volume_id := self._ask(rest, body, headers)) is None:
                    assert time.monotonic() < deadline, self.failures[-3:]
                    time.sleep(0.2)
                self.accepted.append(volume_id)

    def _take(self) -> bool:
        with self._lock:
            self._left -= 1
            return self._left >= 0

    def _ask(self, rest: Any, body: Any, headers: dict[str, str]) -> str | None:
        try:
            answer = rest.post("/volumes", json=body, headers=headers)
        except requests.RequestException as error:
            self.failures.append(str(error))
            return None
        if answer.status_code == 503:
            self.failures.append(answer.text)
            return None
        assert answer.status_code == 202, answer.text
        return str(answer.json()["volume"]["id"])

    def all_end_well(self) -> None:
        """Each accepted volume is available, and nothing else is there."""
        assert len(set(self.accepted)) == CREATES
        with self._fleet.session() as rest:
            for volume_id in self.accepted:
                rest.wait_for_status(f"/volumes/{volume_id}", "available", patience=OVERDUE)
            outside = Outside(self._fleet)
            deadline = time.monotonic() + PATIENCE
            while (found := [*outside.differences(), *_findings(rest)]) and time.monotonic() < deadline:
                time.sleep(0.1)
            assert found == []
            assert len(outside.rows("SELECT id FROM volumes")) == CREATES
            # Nothing has to be restarted: the next request goes the usual way.
            rest.make_volume()


def notifications(url: str) -> list[dict[str, Any]]:
    """Takes what was published so far, as any consumer may."""
    taken: list[dict[str, Any]] = []

    def take(body: Any, message: Message) -> None:
        taken.append(json.loads(json.loads(body)["oslo.message"] if isinstance(body, str) else body["oslo.message"]))
        message.ack()

    with Connection(url.replace("rabbit://", "amqp://")) as connection:
        queue = Queue("notifications.info", no_declare=True)
        with connection.Consumer([queue], callbacks=[take]):
            while True:
                try:
                    connection.drain_events(timeout=2)
                except TimeoutError:
                    return taken


def all_is_told_in_order(url: str, volume_ids: list[str]) -> None:
    """Each event of each volume at least once, and none before an earlier one of the same volume."""
    told: dict[str, list[tuple[int, str]]] = {}
    for message in notifications(url):
        payload = message["payload"]
        told.setdefault(payload["volume_id"], []).append((payload["sequence"], message["event_type"]))
    for volume_id in volume_ids:
        first_times = list(dict.fromkeys(told[volume_id]))
        assert first_times == sorted(first_times), told[volume_id]
        assert [kind for _, kind in first_times] == ["volume.create.start", "volume.create.end"]


def _findings(rest: Any) -> list[str]:
    told = rest.get("/doctor").json().get("doctor", {"findings": ["the doctor does not answer"], "not_looked_at": []})
    return [str(each) for each in (*told["findings"], *told["not_looked_at"])]


@pytest.mark.parametrize(
    "kinds", [["durable", "quorum"], pytest.param(["transient"], marks=pytest.mark.fleet)], ids=" and ".join
)
def test_the_broker_is_stopped_killed_and_back_during_100_creates(kinds: list[str]) -> None:
    """A fleet for each kind of queues, all on one broker: a start of it takes longer than their creates."""
    with ExitStack() as parts:
        server = parts.enter_context(rabbitmq.server())
        vhosts = [parts.enter_context(server.access.vhost()) for _ in kinds]
        fleets = [
            parts.enter_context(running(queues, broker_url=vhost.url))
            for queues, vhost in zip(kinds, vhosts, strict=True)
        ]

        def away() -> None:
            server.stop()
            time.sleep(1)
            server.start()
            server.kill()
            server.start()

        # The last of them to be under way takes the broker away from all.
        under_way = threading.Barrier(len(fleets), action=away)
        each = [Creates(fleet) for fleet in fleets]
        with ThreadPoolExecutor(len(each)) as threads:
            for done in [threads.submit(creates.run, lambda: under_way.wait(OVERDUE)) for creates in each]:
                done.result()
        for creates in each:
            creates.all_end_well()
        for fleet in fleets:
            fleet.stop()
        for queues, vhost, creates in zip(kinds, vhosts, each, strict=True):
            if queues != "transient":  # what the broker had of the events is gone with it
                all_is_told_in_order(vhost.url, creates.accepted)


def test_the_database_is_stopped_killed_and_back_during_100_creates() -> None:
    with postgresql.server() as server, server.database() as url:
        database = Database(url)
        migrate.upgrade(database)
        database.close()
        with running("durable", database_url=url) as fleet:

            def away() -> None:
                server.stop()
                time.sleep(1)
                server.start()
                time.sleep(1)
                server.kill()
                time.sleep(1)
                server.start()

            creates = Creates(fleet)
            creates.run(away)
            creates.all_end_well()
            assert creates.failures, "nobody met the outage"
            fleet.stop()


def test_the_network_to_the_broker_is_cut_and_back_during_100_creates() -> None:
    with rabbitmq.shared().vhost() as vhost, Proxy(vhost.access.amqp) as proxy:
        with running("durable", broker_url=vhost.url_at(proxy.port)) as fleet:

            def away() -> None:
                proxy.drop()
                time.sleep(3)
                proxy.cut()
                time.sleep(1)
                proxy.restore()

            creates = Creates(fleet)
            creates.run(away)
            creates.all_end_well()
