"""The watcher that stands over every daemon of the tests finds a secret wherever one is planted."""

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.lab import sealed, watcher
from tests.lab.daemon import PATIENCE, Daemon, running_daemon
from tests.lab.nursery import forked_daemon
from volumed.model.credentials import new_credentials

pytestmark = [pytest.mark.embedded_only("it is about the watcher of the tests"), pytest.mark.part("tgtd")]

SLEEPS = (sys.executable, "-c", "import time; time.sleep(600)")


def secret_of(daemon: Daemon) -> str:
    """A secret whose row is gone again: only the daemon ever knew it, and the client."""
    with daemon.session() as rest:
        attachment = rest.attach(rest.make_volume())
        assert rest.delete(f"/attachments/{attachment['id']}").status_code == 200
    return str(attachment["connection_info"]["auth_password"])


@contextmanager
def process(*words: str, **environment: str) -> Iterator[int]:
    with subprocess.Popen(words, env={**os.environ, **environment}) as started:
        try:
            yield started.pid
        finally:
            started.kill()


def sampled(daemon: Daemon, secret: str, number: int) -> None:
    """Wait until the secret was seen in ``number`` places of the process table."""
    deadline = time.monotonic() + PATIENCE
    while len(list(daemon.watch.processes.hits(frozenset({secret.encode()})))) < number:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def sql(daemon: Daemon, statement: str, *values: str) -> None:
    with closing(sqlite3.connect(daemon.state / "volumed.db", timeout=20)) as connection, connection:
        connection.execute(statement, values)


def plant_everywhere(planted: dict[str, str]) -> None:
    """Under a daemon that ends; ``planted`` gets what the watcher must name."""
    with forked_daemon() as daemon, daemon.session() as rest:
        secret = secret_of(daemon)
        with process(*SLEEPS, secret) as argument, process(*SLEEPS, ANYTHING=f"it is {secret}2") as environment:
            sampled(daemon, secret, 2)
        volume_id = rest.make_volume(description=f"x{secret}x")
        assert rest.get(f"/volumes/{volume_id}").status_code == 200
        with daemon.log.open("a") as log:
            log.write(f'a line of the log: {{"password":"{secret}"}}\n')
        (daemon.state / "below").mkdir()
        (daemon.state / "below" / "left").write_bytes(b"\0" + secret.encode() + b"\0")
        planted |= {
            "argument": f"cmdline of process {argument}",
            "environment": f"environ of process {environment}",
            "answer": f"answer 200 to GET /volumes/{volume_id}",
            "log": f"file {daemon.log}",
            "file": f"file {daemon.state}/below/left",
            "database": f"file {daemon.state}/volumed.db",
            "row": "column volumes.description",
            "folder": str(daemon.folder),
        }


def test_a_secret_is_found_wherever_it_is_planted() -> None:
    planted: dict[str, str] = {}
    with pytest.raises(AssertionError) as failed:
        plant_everywhere(planted)
    assert len(planted) == 8
    assert {name: what for name, what in planted.items() if what not in str(failed.value)} == {}
    assert not Path(planted["folder"]).exists()


def test_what_hands_a_secret_to_an_initiator_is_no_hit() -> None:
    with forked_daemon() as daemon, process(*SLEEPS, LIBISCSI_CHAP_PASSWORD=secret_of(daemon), SEEN="Z" * 20):
        sampled(daemon, "Z" * 20, 1)


def test_a_key_outside_its_file_is_found() -> None:
    with pytest.raises(AssertionError, match=r"/daemon\.log"):
        with forked_daemon() as daemon, daemon.log.open("a") as log:
            log.write(f"sealed with {sealed.keys(daemon.state)[0]}\n")


def test_a_daemon_that_is_no_child_of_the_nursery_is_watched_too() -> None:
    with pytest.raises(AssertionError, match=r"/daemon\.log"):
        with running_daemon() as daemon, daemon.log.open("a") as log:
            log.write(secret_of(daemon))


def store_in_the_clear() -> None:
    with forked_daemon() as daemon, daemon.session() as rest:
        attachment = rest.attach(rest.make_volume())
        daemon.kill()
        plain = '{"password": "' + attachment["connection_info"]["auth_password"] + '"}'
        sql(daemon, "UPDATE attachments SET credentials = ?", plain)


def test_a_secret_that_is_stored_in_the_clear_is_found() -> None:
    with pytest.raises(AssertionError, match=r"column attachments\.credentials"):
        store_in_the_clear()


def test_a_daemon_that_nobody_looks_through_is_missed() -> None:
    with forked_daemon():
        assert watcher.unfinished() >= 1


@pytest.mark.parametrize(
    ("asked", "status", "is_told"),
    [
        ("POST /attachments", 200, True),
        ("POST /attachments", 503, False),
        ("GET /attachments/0d1c8a4e-6d67-4d2c-9d1a-1c0f7c1b8f11", 200, True),
        ("PUT /attachments/0d1c8a4e-6d67-4d2c-9d1a-1c0f7c1b8f11", 200, True),
        ("GET /attachments", 200, False),
        ("GET /attachments/detail", 200, False),
        ("POST /volumes/0d1c8a4e-6d67-4d2c-9d1a-1c0f7c1b8f11/action", 200, True),
        ("GET /operations", 200, False),
        ("GET http://127.0.0.1:1/metrics", 200, False),
    ],
)
def test_only_the_answers_that_must_tell_a_secret_may(tmp_path: Path, asked: str, status: int, is_told: bool) -> None:
    watch, secret = watcher.Watch(tmp_path), new_credentials()["password"]
    (tmp_path / "log").touch()
    watch.notes.write_text(f"{secret}\n")
    method, path = asked.split()
    watch.answered(method, path, status, f'{{"auth_password": "{secret}"}}'.encode())
    hits = watch.end(tmp_path / "state", tmp_path / "log")
    assert hits == ([] if is_told else [f"answer {status} to {asked}"])
