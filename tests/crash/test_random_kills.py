"""Clients of mixed load, and a daemon killed with -9 at random times: judged from their histories and from outside.

``VOLUMED_SEED`` replays a run; each failure prints its own.
"""

import os
import random
import secrets
import threading
import time
from collections.abc import Iterator

import pytest

from tests.crash.load import Client
from tests.lab.nursery import ForkedDaemon, forked_daemon
from tests.lab.outside import Outside

pytestmark = [pytest.mark.part("tgtd"), pytest.mark.timeout(900)]

CLIENTS = 8
ROUNDS = int(os.environ.get("VOLUMED_ROUNDS", "10"))

CONFIGURATION = "[operations]\nsweep_interval = 1\n[quota]\nvolumes = 100\nsnapshots = 100\n"


@pytest.fixture
def daemon() -> Iterator[ForkedDaemon]:
    with forked_daemon(CONFIGURATION) as daemon:
        yield daemon


def test_killed_at_random_under_mixed_load_every_acceptance_is_honoured(daemon: ForkedDaemon) -> None:
    seed = int(os.environ.get("VOLUMED_SEED") or secrets.randbelow(2**32))
    dice = random.Random(seed)
    clients = [Client(daemon, f"client-{number}", dice.getrandbits(32)) for number in range(CLIENTS)]
    enough = threading.Event()
    threads = [threading.Thread(target=client.run, args=(enough,), name=client.name) for client in clients]
    try:
        for thread in threads:
            thread.start()
        for _ in range(ROUNDS):
            time.sleep(dice.uniform(0.3, 1.5))
            daemon.kill()
            daemon.start()
            assert all(client.failure is None for client in clients)
    finally:
        enough.set()
        for thread in threads:
            thread.join()
        print(f"seed {seed}: {sum(len(client.history) for client in clients)} answers")
    _settled(daemon)
    for client in clients:
        try:
            client.judge()
        except AssertionError as error:
            error.add_note(f"seed {seed}; {client.name} was told:\n" + "\n".join(client.history[-30:]))
            raise
    outside = Outside(daemon)
    assert outside.rows("SELECT id, kind, error FROM operations WHERE state = 'failed'") == []
    assert outside.differences() == [], f"seed {seed}"


def _settled(daemon: ForkedDaemon) -> None:
    """What a client does not wait for (a lock file, a pause) ends within moments."""
    outside = Outside(daemon)
    deadline = time.monotonic() + 30
    while outside.differences() and time.monotonic() < deadline:
        time.sleep(0.1)
