"""The database servers that tests start: shared by all who run together, gone with the last of them."""

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from types import ModuleType

import psutil
import pytest
import sqlalchemy
from sqlalchemy import text

from tests.lab import mariadb, postgresql

KINDS = [
    pytest.param(postgresql, marks=pytest.mark.part("postgres"), id="postgresql"),
    pytest.param(mariadb, marks=pytest.mark.part("mariadbd"), id="mariadb"),
]

#: A member of a test run: it asks for the server, says where it is, and stays until its input ends.
MEMBER = """
import sys
from tests.lab import mariadb, postgresql
server = {kind}.shared()
print(server.port, server.folder, flush=True)
sys.stdin.read()
"""


def member(kind: ModuleType, run: str) -> "subprocess.Popen[str]":
    script = MEMBER.format(kind=kind.RECIPE.name)
    environment = os.environ | {"PYTEST_XDIST_TESTRUNUID": run}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", script], env=environment, text=True, **pipes)


def wait_until(condition, what: str) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def processes_of(folder: str) -> list[psutil.Process]:
    return [
        each for each in psutil.process_iter(["cmdline"]) if any(folder in part for part in each.info["cmdline"] or [])
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_has_one_server_and_nothing_of_it_is_left_when_the_last_member_is_killed(kind: ModuleType) -> None:
    run = uuid.uuid4().hex
    members = [member(kind, run) for _ in range(3)]
    said = [each.stdout.readline().split() for each in members]
    assert said[0] == said[1] == said[2]
    port, folder = said[0]
    members[0].communicate()
    members[1].send_signal(signal.SIGKILL)
    members[1].communicate()
    with sqlalchemy.create_engine(
        kind.RECIPE.url(int(port), "information_schema" if kind is mariadb else "postgres")
    ).connect() as tx:
        assert tx.execute(text("SELECT 1")).scalar() == 1
    members[2].send_signal(signal.SIGKILL)
    members[2].communicate()
    wait_until(lambda: not Path(folder).exists(), "the folder stays")
    wait_until(lambda: not processes_of(folder), "a process stays")


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_is_killed_has_what_was_committed_when_it_starts_again(kind: ModuleType) -> None:
    with kind.server() as server, server.database() as url:
        engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
        with engine.begin() as tx:
            tx.execute(text("CREATE TABLE kept (number INTEGER)"))
        with engine.begin() as tx:
            tx.execute(text("INSERT INTO kept VALUES (7)"))
        server.kill()
        with pytest.raises(sqlalchemy.exc.OperationalError):
            engine.connect()
        server.start()
        with engine.begin() as tx:
            assert tx.execute(text("SELECT number FROM kept")).scalar() == 7


@pytest.mark.parametrize("kind", KINDS)
def test_a_private_server_dies_with_its_keeper(kind: ModuleType) -> None:
    with kind.server() as server:
        family = server.family()
        assert len(family) > 1
        family[0].kill()
        psutil.wait_procs(family, 60)
        assert [each for each in family if each.is_running() and each.status() != psutil.STATUS_ZOMBIE] == []
