"""A fleet on eventlet: it does what one on threads does, and nothing stops the hub of any of its processes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, cast

import pytest
import sqlalchemy
from sqlalchemy.pool import NullPool

from tests.functional.fleet import smoke
from tests.functional.fleet.conftest import QUICK, MakeFleet, until
from tests.lab import databases, rows
from tests.lab.certificates import Authority
from tests.lab.daemon import PATIENCE
from tests.lab.fleet import FleetDaemon
from tests.lab.green_fleet import GreenFleet
from tests.lab.rabbitmq import Vhost
from volumed.launch.concurrency import VARIABLE

#: Seconds for which rows are held that services wait for, and for which a hub may stand still at most.
HELD, LONGEST_STALL = 2.0, 1.0

TGT = QUICK.replace("target_helper = fake", "target_helper = tgt")


def make_green(make_fleet: MakeFleet, more: str = "", waits: str = TGT, **parts: Any) -> GreenFleet:
    return cast(GreenFleet, make_fleet(configuration=waits + more, kind=GreenFleet, **parts))


def tls_of(vhost: Vhost) -> str:
    access = vhost.access
    return (
        f"[oslo_messaging_rabbit]\nssl = true\nssl_ca_file = {access.authority}\n"
        f"ssl_cert_file = {access.certificate}\nssl_key_file = {access.key}\n"
    )


@contextmanager
def held(fleet: FleetDaemon, table: str) -> Iterator[None]:
    """Hold the rows of ``table`` in the block and for ``HELD`` seconds after it."""
    engine = sqlalchemy.create_engine(fleet.database_url, poolclass=NullPool)
    with engine.connect() as connection, connection.begin() as tx:
        connection.exec_driver_sql(f"UPDATE {table} SET updated_at = updated_at")
        yield
        time.sleep(HELD)
        tx.rollback()


def waiting(fleet: FleetDaemon) -> int:
    """How many services wait for a row."""
    asked = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    return len(rows.select(fleet.state, asked))


@pytest.mark.part("rabbitmq-server")
@pytest.mark.part("postgres")
@pytest.mark.part("tgtd")
def test_it_works_as_on_threads_and_no_hub_ever_stands_still(make_fleet: MakeFleet, vhost: Vhost) -> None:
    green = make_green(make_fleet, tls_of(vhost), broker_url=vhost.tls_url)
    smoke.live_a_volumes_life(green)
    smoke.ask_for_more_than_the_quota_at_once(green)
    with green.session(project="other") as rest, ThreadPoolExecutor(2) as threads:
        kept, goes = rest.make_volume(), rest.make_volume()
        with held(green, "quotas"):
            asked = threads.submit(rest.create_volume)
            until(lambda: waiting(green) == 1)
            assert rest.attach(kept)["connection_info"]
            assert not asked.done()
        rest.wait_for_status(f"/volumes/{asked.result()['id']}", "available")
        with held(green, "pools"):
            placed = rest.create_volume()["id"]
            assert rest.delete(f"/volumes/{goes}").status_code == 202
            until(lambda: waiting(green) >= 2)
            # The scheduler answers, and so does the backend.
            assert rest.get("/scheduler-stats/get_pools").json()["pools"]
            assert rest.get("/doctor").json()["doctor"]["not_looked_at"] == []
        rest.wait_for_status(f"/volumes/{placed}", "available")
        rest.wait_until_gone(f"/volumes/{goes}")
    reload(green)
    assert len(green.stalls()) == len(green.services) + len(green.backends())
    assert max(green.stalls().values()) < LONGEST_STALL, green.stalls()
    assert green.stop() == 0
    own_tls_is_refused(green)


def own_tls_is_refused(fleet: FleetDaemon) -> None:
    identity = Authority(fleet.state).issue("api")
    with (fleet.state / "volumed.conf").open("a") as file:
        file.write(f"[api]\ntls_certificate_file = {identity.certificate}\ntls_key_file = {identity.key}\n")
    done = chosen("eventlet", "-m", "volumed.cmd.service", "api", *fleet.files())
    assert done.returncode == 2
    assert done.stderr.endswith("break TLS of the API's own; let a proxy do that, or run it on threads\n")


def reload(fleet: FleetDaemon) -> None:
    for child in fleet.services.values():
        child.send_signal(signal.SIGHUP)
    until(lambda: fleet.output().count("the configuration was read again") == len(fleet.services))


@pytest.mark.fleet
@pytest.mark.part("rabbitmq-server")
@pytest.mark.part("mariadbd")
@pytest.mark.part("tgtd")
def test_it_works_on_mariadb_too(make_fleet: MakeFleet) -> None:
    fleet = make_green(make_fleet, database=databases.migrated("mariadb"))
    smoke.live_a_volumes_life(fleet)
    smoke.ask_for_more_than_the_quota_at_once(fleet)
    assert max(fleet.stalls().values()) < LONGEST_STALL, fleet.stalls()


@pytest.mark.part("rabbitmq-server")
@pytest.mark.part("postgres")
@pytest.mark.part("ceph")
def test_a_cluster_that_is_silent_stops_no_hub(make_fleet: MakeFleet) -> None:
    """librbd waits in C, and tells its progress from threads of its own."""
    from tests.lab.ceph import cluster, group

    with cluster.own() as own, own.pool() as client:
        flattened = group.only(client) + "rbd_flatten_volume_from_snapshot = true\n"
        green = make_green(make_fleet, flattened, waits=QUICK.partition("[file]")[0])
        smoke.live_a_life_anywhere(green)
        with green.session() as rest:
            try:
                own.pause("osd")
                asked = rest.create_volume()["id"]
                time.sleep(HELD)
                assert rest.get(f"/volumes/{asked}").json()["volume"]["status"] == "creating"
            finally:
                own.resume("osd")
            rest.wait_for_status(f"/volumes/{asked}", "available")
            assert rest.delete(f"/volumes/{asked}").status_code == 202
            rest.wait_until_gone(f"/volumes/{asked}")
        assert len(green.stalls()) == len(green.services) + len(green.backends())
        assert max(green.stalls().values()) < LONGEST_STALL, green.stalls()
        assert green.stop() == 0


#: Says for each call behind the door whether another thread than the hub's carries it out.
LOOK = """
import importlib, threading
from volumed.launch import concurrency
calls = [(name, each) for name, several in concurrency.BLOCKING.items() for each in several]
here, found = threading.get_native_id(), {}
for module, name in calls:
    setattr(importlib.import_module(module), name, threading.get_native_id)
concurrency.choose()
print([name for module, name in calls if getattr(importlib.import_module(module), name)() == here])
"""


def chosen(way: str, *command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *command],
        env={**os.environ, VARIABLE: way},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_whatever_waits_in_the_kernel_is_done_by_another_thread() -> None:
    assert chosen("eventlet", "-c", LOOK).stdout == "[]\n"


#: Says where a library of C works whose calls are made behind the door, and where it finds what it calls back.
LIBRARY = """
import json, os, threading
from volumed.launch import concurrency
concurrency.choose()
from volumed.driver import native
here = threading.get_native_id()

class Library:
    Error = KeyError
    def __init__(self, back): self.found = {"made": threading.get_native_id() == here, "told": back()}
    def __enter__(self): return self
    def __exit__(self, *error): self.found["left"] = threading.get_native_id() == here
    def __iter__(self): yield threading.get_native_id() == here
    def other(self, of): return of.found
    def fail(self, back): back()

def is_here(): return threading.get_native_id() == here
def fail(): raise native.behind(Library).Error("said by what was called back")

with native.behind(Library)(is_here) as library:
    found = {"looped": [*library]}
    try:
        library.fail(back=fail)
    except KeyError as error:
        found["error"] = str(error)
print(json.dumps(found | library.other(library)))
"""


@pytest.mark.parametrize(("way", "is_here"), [("eventlet", False), ("threading", True)])
def test_a_library_of_c_works_elsewhere_and_what_it_calls_back_is_done_here(way: str, is_here: bool) -> None:
    told = json.loads(chosen(way, "-c", LIBRARY).stdout)
    assert told == {
        "made": is_here,
        "told": True,
        "looped": [is_here],
        "left": is_here,
        "error": "'said by what was called back'",
    }


@pytest.mark.parametrize(
    ("way", "command", "reason"),
    [
        ("asyncio", ("volumed.cmd.service", "api"), "'asyncio' is neither threading nor eventlet"),
        ("eventlet", ("volumed.cmd.volumed", "up"), "SQLite, which would stop eventlet's hub; it runs on threads"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(way: str, command: tuple[str, ...], reason: str) -> None:
    done = chosen(way, "-m", *command)
    assert done.returncode == 2
    assert done.stderr.endswith(f"{reason}\n")
    assert VARIABLE in done.stderr
