"""Clients of mixed load, and a daemon killed with -9 at random times: judged from their histories and from outside.

``SEED`` replays a run; each failure prints its own. ``make soak`` does the same for as long as it is told.
"""

import json
import os
import random
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from tests.crash.history import End, Entry, Found, Ledger, Thing
from tests.crash.load import BLOCK, PLACES, Client
from tests.lab.daemon import PATIENCE, Session
from tests.lab.nursery import ForkedDaemon, forked_daemon
from tests.lab.outside import Outside

pytestmark = [pytest.mark.part("tgtd"), pytest.mark.slow, pytest.mark.part("qemu-io"), pytest.mark.timeout(1800)]

CLIENTS = 8
ROUNDS = 10

#: Seconds between two kills.
LIFE = (0.2, 1.5)

#: Entries of a history that a failure shows.
SHOWN = 40

#: A soak must not keep what it did hours ago.
CONFIGURATION = """
[DEFAULT]
periodic_interval = 10
[operations]
sweep_interval = 1
operation_retention = 600
idempotency_retention = 600
[quota]
volumes = 100
snapshots = 100
"""


@pytest.fixture
def daemon() -> Iterator[ForkedDaemon]:
    with forked_daemon(CONFIGURATION) as daemon:
        yield daemon


def test_killed_at_random_under_mixed_load_every_acceptance_is_honoured(daemon: ForkedDaemon) -> None:
    run = Run(daemon, chosen_seed())
    for _ in range(ROUNDS):
        run.round()
    run.tell()


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_soak(daemon: ForkedDaemon) -> None:
    run = Run(daemon, chosen_seed())
    end = time.monotonic() + 60 * float(os.environ.get("VOLUMED_SOAK_MINUTES", "10"))
    while time.monotonic() < end:
        run.round()
        run.tell()


def chosen_seed() -> int:
    return int(os.environ.get("SEED") or secrets.randbelow(2**32))


class Run:
    """Rounds of load and kills; each begins with what the last one left, and is judged at its end."""

    def __init__(self, daemon: ForkedDaemon, seed: int) -> None:
        self.daemon = daemon
        self.seed = seed
        self.dice = random.Random(seed)
        self.rest = daemon.session()
        self.outside = Outside(daemon)
        self.ledger = Ledger()
        self.rounds = self.kills = self.answers = 0
        self.clients = [Client(daemon, f"client-{number}", self.dice.getrandbits(32)) for number in range(CLIENTS)]

    def round(self) -> None:
        """Load with one or two kills in it, then rest and judgement."""
        begun = time.time_ns() // 1000
        histories = self._work_and_die(self.dice.randint(1, 2))
        self._come_to_rest()
        broken = [
            *(f"{client.name}: {client.failure!r}" for client in self.clients if client.failure),
            *self.ledger.judge([entry for history in histories for entry in history], self._found(begun)),
        ]
        self.rounds += 1
        self.answers += sum(map(len, histories))
        assert not broken, self._report(broken, histories)

    def tell(self) -> None:
        print(f"seed {self.seed}: {self.rounds} rounds, {self.kills} kills, {self.answers} answers", flush=True)

    def _work_and_die(self, kills: int) -> list[list[Entry]]:
        enough = threading.Event()
        for client in self.clients:
            client.history = []
        threads = [threading.Thread(target=client.run, args=(enough,), name=client.name) for client in self.clients]
        try:
            for thread in threads:
                thread.start()
            for _ in range(kills):
                time.sleep(self.dice.uniform(*LIFE))
                self._die()
                self.kills += 1
        finally:
            enough.set()
            for thread in threads:
                thread.join()
        return [client.history for client in self.clients]

    def _die(self) -> None:
        self.daemon.kill()
        self.daemon.start()

    def _come_to_rest(self) -> None:
        """What a client does not wait for (a lock file, a pause) ends within moments."""
        deadline = time.monotonic() + PATIENCE
        while self._others() and time.monotonic() < deadline:
            time.sleep(0.1)

    def _others(self) -> list[str]:
        return self.outside.differences() or doctor_says(self.rest)

    def _found(self, since: int) -> Found:
        return Found(
            operations=self._operations(since),
            volumes=self._things("volume"),
            snapshots=self._things("snapshot"),
            attachments=frozenset(row["id"] for row in self.outside.rows("SELECT id FROM attachments")),
            others=tuple(self._others()),
        )

    def _operations(self, since: int) -> dict[str, End]:
        query = "SELECT id, kind, resource_id, state, error FROM operations WHERE created_at >= ?"
        return {
            row["id"]: End(row["kind"], row["resource_id"], row["state"], _type_of(row["error"]))
            for row in self.outside.rows(query, since)
        }

    def _things(self, kind: str) -> dict[str, Thing]:
        """As the API tells them to the administrator, with what their files begin with."""
        answer = self.rest.get(f"/{kind}s/detail", params={"all_tenants": 1})
        assert answer.status_code == 200, answer.text
        return {
            told["id"]: Thing(told["size"], told["status"], self._mark(f"{kind}-{told['id']}"))
            for told in answer.json()[f"{kind}s"]
        }

    def _mark(self, name: str) -> bytes:
        try:
            with (self.outside.pool / name).open("rb") as data:
                found = [_block(data, place) for place in PLACES]
        except FileNotFoundError:
            return b""
        return b"" if found == [bytes(1)] * len(PLACES) else b"".join(found)

    def _report(self, broken: Sequence[str], histories: Sequence[Sequence[Entry]]) -> str:
        told = "\n".join(str(entry) for history in histories for entry in history[-SHOWN:])
        return f"seed {self.seed}, round {self.rounds}:\n" + "\n".join(broken) + f"\n\n{told}\n\n{self.daemon.output()}"


def _type_of(error: Any) -> str | None:
    """A text of JSON on SQLite, its value elsewhere."""
    found = json.loads(error) if isinstance(error, str) else error
    return None if found is None else str(found["type"])


def doctor_says(rest: Session) -> list[str]:
    """The doctor's findings, each in its sentence; that it could not look is one."""
    told = rest.get("/doctor").json()["doctor"]
    return [f"doctor: {each}" for each in (*told["findings"], *told["not_looked_at"])]


def _block(data: object, place: int) -> bytes:
    """The one byte that a block is full of; more where it is torn."""
    data.seek(place)  # type: ignore[attr-defined]
    found = data.read(BLOCK)  # type: ignore[attr-defined]
    return bytes(dict.fromkeys(found))
