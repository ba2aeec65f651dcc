"""Each service of a fleet is restarted in turn while clients work: none of them notices but by a word that says so."""

import itertools
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests

from tests.functional.fleet.conftest import MakeFleet, until
from tests.lab.daemon import MICROVERSION, PATIENCE
from tests.lab.fleet import FleetDaemon
from tests.lab.outside import Outside

pytestmark = [pytest.mark.part("rabbitmq-server"), pytest.mark.part("postgres"), pytest.mark.timeout(900)]

CLIENTS = 3


@dataclass
class Front:
    """What a balancer does before several APIs: a request that one does not take is given to another.

    Not taken is what was refused before it was sent, and what is answered with 503 and ``Retry-After``: both only while
    that API is restarted. Anything else that is no answer, or another error of a server's, is a failed request.
    """

    urls: Sequence[str]
    restarted: str | None = None
    failed: list[str] = field(default_factory=list)
    passed_on: int = 0

    def ask(self, method: str, path: str, body: Any = None) -> requests.Response:
        for url in itertools.islice(itertools.cycle(self.urls), 100):
            answer = self._ask(url, method, path, body)
            if answer is not None:
                return answer
        raise AssertionError(f"nobody takes {method} {path}")

    def _ask(self, url: str, method: str, path: str, body: Any) -> requests.Response | None:
        headers = {"X-Auth-Token": "admin:admin", "OpenStack-API-Version": f"volume {MICROVERSION}"}
        may_refuse = self.restarted == url
        try:
            answer = requests.request(method, f"{url}/v3{path}", json=body, headers=headers, timeout=PATIENCE)
        except requests.ConnectionError as error:
            if not (may_refuse or self.restarted == url) or "Connection refused" not in str(error):
                self.failed.append(f"{method} {path}: {error}")
            self.passed_on += 1
            return None
        if answer.status_code == 503 and (may_refuse or self.restarted == url) and "Retry-After" in answer.headers:
            self.passed_on += 1
            return None
        if answer.status_code >= 500:
            self.failed.append(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer

    @contextmanager
    def restarting(self, url: str) -> Iterator[None]:
        self.restarted = url
        try:
            yield
        finally:
            self.restarted = None


class Client:
    """Volumes from their creation to their end, one after the other, until told to stop."""

    def __init__(self, front: Front, over: threading.Event) -> None:
        self._front = front
        self._over = over
        self.lives = 0

    def run(self) -> None:
        while not self._over.is_set():
            self._live()
            self.lives += 1

    def _live(self) -> None:
        path = f"/volumes/{self._made('/volumes', {'volume': {'size': 1}}, 202)['volume']['id']}"
        self._await(path, "available")
        connector = {"ip": "127.0.0.1", "host": "client", "initiator": None}
        body = {"volume_uuid": path.rpartition("/")[2], "instance_uuid": None, "connector": connector}
        attachment = self._made("/attachments", {"attachment": body}, 200)["attachment"]
        assert self._front.ask("DELETE", f"/attachments/{attachment['id']}").status_code == 200
        self._await(path, "available")
        assert self._front.ask("DELETE", path).status_code == 202
        until(lambda: self._front.ask("GET", path).status_code == 404)

    def _made(self, path: str, body: Any, status: int) -> Any:
        answer = self._front.ask("POST", path, body)
        assert answer.status_code == status, answer.text
        return answer.json()

    def _await(self, path: str, status: str) -> None:
        def arrived() -> bool:
            found = str(self._front.ask("GET", path).json()["volume"]["status"])
            assert not found.startswith("error"), found
            return found == status

        until(arrived)


def test_every_service_is_restarted_in_turn_and_no_request_fails(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("second-node")
    fleet.add_scheduler("second-scheduler")
    other = fleet.add_api("second-api")
    fleet.start()
    front, over = Front([fleet.url, other]), threading.Event()
    clients = [Client(front, over) for _ in range(CLIENTS)]
    with ThreadPoolExecutor(CLIENTS) as threads:
        working = [threads.submit(client.run) for client in clients]
        try:
            for name in list(fleet.services):
                everybody_lives(clients, working)
                with front.restarting({"api": fleet.url, "second-api": other}.get(name, "")):
                    assert fleet.stop_services(name) == 0
                    fleet.start()
            everybody_lives(clients, working)
        finally:
            over.set()
        for each in working:
            each.result()
    assert front.failed == []
    nothing_is_left(fleet)


def everybody_lives(clients: Sequence[Client], working: "Sequence[Future[None]]") -> None:
    """Each client brings one more volume to its end."""
    before = [client.lives for client in clients]
    until(
        lambda: (
            any(each.done() for each in working)
            or all(client.lives > lived for client, lived in zip(clients, before, strict=True))
        )
    )


def nothing_is_left(fleet: FleetDaemon) -> None:
    pools = {"file": fleet.state / "pool", "second": fleet.state / "nodes" / "second-node" / "pool"}
    with fleet.session() as rest:
        told = rest.get("/doctor").json()["doctor"]
    assert (told["findings"], told["not_looked_at"]) == ([], [])
    assert Outside(fleet, pools).differences() == []
