"""A process that follows a killed one shuts it out: what that held is free at once, and nothing of it lands late."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.functional.rbd.drivers import set_up
from volumed.driver.errors import BackendError, BackendUnreachable
from volumed.driver.interface import Access, Driver, SnapshotRef, VolumeRef, unwatched

pytestmark = [pytest.mark.part("ceph"), pytest.mark.embedded_only("it is about the driver alone")]

MIB = 1024**2

SOURCE, COPY = VolumeRef("source", 1, "pool"), VolumeRef("copy", 1, "pool")
SNAPSHOT = SnapshotRef("monday", SOURCE, 1)
ANYBODY = Access(attachment_id="a", initiator=None, read_only=False, username="a", password="not-used-here")


@contextmanager
def another_process(backend: Any, work: Callable[[Driver, Callable[[], object]], object]) -> Iterator[int]:
    """One that does ``work`` with a driver of its own, up to where that calls for others; killed at the end."""
    told, tells = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            work(set_up(backend), lambda: (os.write(tells, b"."), signal.pause()))
        finally:
            os._exit(1)
    os.close(tells)
    try:
        assert os.read(told, 1) == b".", "the other process has died"
        yield child
    finally:
        os.close(told)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def shut_out() -> set[str]:
    """The addresses that the cluster refuses."""
    from tests.lab.ceph import cluster

    return set(cluster.shared().ask("osd", "dump")["blocklist"])


def address_of(backend: Any) -> str:
    """Of the client that was here last, by its note in the pool."""
    return addresses_of(backend)[-1]


def addresses_of(backend: Any) -> list[str]:
    """Of all connections of that process."""
    from tests.lab.ceph.cluster import command

    client = backend.client
    owner = f"{backend.owner.deployment}.{backend.setup().service}"
    words = ["rados", "-c", client.configuration, "--id", client.user, "-p", client.pool]
    return [str(each) for each in json.loads(command(*words, "get", f"volumed.{owner}/client", "-"))["addresses"]]


def test_an_image_that_a_killed_process_had_open_is_not_in_use(backend: Any) -> None:
    """Without it a delete is busy for as long as the cluster waits for the dead client."""
    driver = set_up(backend)
    driver.create(SOURCE)
    backend.data.write_pattern(driver.connection_info(SOURCE, ANYBODY), 0xA5, 0, 16 * MIB)
    driver.create_snapshot(SNAPSHOT, False, unwatched)
    driver.create_from_snapshot(COPY, SNAPSHOT, unwatched)
    with another_process(backend, lambda theirs, stay: theirs.flatten(COPY, lambda done, total: stay())):
        dead = address_of(backend)
    following = set_up(backend)
    following.delete(COPY)
    following.purge(COPY, unwatched)
    assert dead in shut_out()
    following.delete_snapshot(SNAPSHOT)
    following.delete(SOURCE)
    following.purge(SOURCE, unwatched)
    assert not following.audit()


def test_each_connection_of_a_killed_process_is_shut_out(backend: Any) -> None:
    def reconnect(driver: Driver, stay: Callable[[], object]) -> None:
        driver.close()
        driver.has_volume(SOURCE)
        stay()

    with another_process(backend, reconnect):
        dead = addresses_of(backend)
    set_up(backend)
    assert len(dead) == 2
    assert set(dead) <= shut_out()


def test_what_a_process_was_before_it_replaced_itself_is_shut_out(
    backend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its number and its start are the same (execve), and what it had sent may wait."""
    from volumed_drivers.rbd import fence

    set_up(backend)
    before = address_of(backend)
    monkeypatch.setattr(fence, "_IMAGE", "another-image")
    set_up(backend)
    assert before in shut_out()
    assert address_of(backend) not in shut_out()


def test_a_process_that_lives_is_not_shut_out(backend: Any) -> None:
    ours = set_up(backend)
    ours.create(SOURCE)
    with another_process(backend, lambda theirs, stay: stay()):
        theirs = address_of(backend)
        set_up(backend)
        assert not {theirs, address_of(backend)} & shut_out()
    ours.delete(SOURCE)
    ours.purge(SOURCE, unwatched)


def test_of_two_machines_of_one_name_the_later_one_works_and_the_other_says_why_not(
    backend: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from volumed_drivers.rbd import fence

    first = set_up(backend)
    with monkeypatch.context() as other_machine:
        boot = tmp_path / "boot_id"
        boot.write_text("00000000-0000-4000-8000-000000000000\n")
        other_machine.setattr(fence, "_BOOT", boot)
        later = set_up(backend)
    with pytest.raises(BackendError):
        first.create(SOURCE)
    with pytest.raises(BackendUnreachable, match="another machine"):
        first.create(SOURCE)
    later.create(SOURCE)
    later.delete(SOURCE)
    later.purge(SOURCE, unwatched)
    assert not later.audit()


def test_a_client_that_may_not_shut_out_works_and_says_so(backend: Any, caplog: pytest.LogCaptureFixture) -> None:
    from tests.lab.ceph import cluster

    client = backend.client
    caps = ["mon", "allow r", "osd", f"profile rbd pool={client.pool}"]
    with another_process(backend, lambda theirs, stay: stay()):
        pass
    cluster.shared().ask("auth", "caps", f"client.{client.user}", *caps)
    driver = set_up(backend)
    assert "may not shut out" in caplog.text
    driver.create(SOURCE)
    driver.delete(SOURCE)
    driver.purge(SOURCE, unwatched)
