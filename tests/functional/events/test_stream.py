"""``/v3/events`` as a stream from a real ``volumed up``: what clients see, and what they cost the server."""

import contextlib
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from tests.lab.daemon import Daemon, Session
from tests.lab.event_stream import PATIENCE, Closed, Stream, connect, following
from tests.lab.nursery import ForkedDaemon, forked_daemon

#: Threads and sockets that a server may have more without anything having leaked: it makes what it needs when it needs
#: it. Every test has more clients than that.
SLACK = 15

#: Nothing is exported here, so nothing needs a tgtd.
FAKE_TARGET = "[file]\ntarget_helper = fake\n"


def wait_until(true: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@pytest.fixture
def server() -> Iterator[ForkedDaemon]:
    with forked_daemon(FAKE_TARGET + "[api]\nevent_heartbeat = 0.2\nevent_streams = 40\n") as daemon:
        yield daemon


@pytest.fixture
def rest(server: Daemon) -> Iterator[Session]:
    with server.session() as session:
        yield session


def threads_of(daemon: Daemon) -> int:
    return psutil.Process(daemon.pid).num_threads()


def sockets_of(daemon: Daemon) -> int:
    """What a client costs; files of the database come and go as threads ask it."""
    folder, found = f"/proc/{daemon.pid}/fd", 0
    for name in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):
            found += os.readlink(f"{folder}/{name}").startswith("socket:")
    return found


def test_a_client_sees_what_happens_in_its_order(server: Daemon, rest: Session) -> None:
    with following(server.url) as stream:
        assert (stream.status, stream.headers["content-type"]) == (200, "text/event-stream")
        assert stream.headers["cache-control"] == "no-store"
        volume_id = rest.make_volume()
        told = [stream.next(), stream.next()]
        assert [each.event for each in told] == ["volume.create.start", "volume.create.end"]
        assert [each.data["resource_id"] for each in told] == [volume_id] * 2
        assert [int(each.id) for each in told] == [each.data["id"] for each in told]
        assert int(told[0].id) < int(told[1].id)
        assert stream.retry == 1000
        operation = rest.get(f"/operations/{told[1].data['operation_id']}").json()["operation"]
        assert told[1].data["request_id"] == operation["request_id"]
        stream.wait_for_heartbeat()


def test_two_projects_and_filters(server: Daemon) -> None:
    with contextlib.ExitStack() as held:
        one, two = (held.enter_context(server.session("alice", project)) for project in ("p1", "p2"))
        first, second = (
            held.enter_context(following(server.url, token, "?all_tenants=1")) for token in ("a:p1", "b:p2")
        )
        everything = held.enter_context(following(server.url, "admin:ops", "?all_tenants=1"))
        ends = held.enter_context(following(server.url, "admin:ops", "?all_tenants=1&event_type=volume.create.end"))
        mine, theirs = one.make_volume(), two.make_volume()
        for stream, volume_id in ((first, mine), (second, theirs)):
            assert [stream.next().data["resource_id"] for _ in range(2)] == [volume_id] * 2
        assert {everything.next().data["resource_id"] for _ in range(4)} == {mine, theirs}
        last = int(everything.last_id)
        assert {ends.next().data["resource_id"] for _ in range(2)} == {mine, theirs}
        for stream in (first, second, everything, ends):
            stream.wait_for_heartbeat(last)  # and nothing before it
        assert "host" not in connect_and_read_one(server, "a:p1").data["payload"]


def connect_and_read_one(server: Daemon, token: str) -> Any:
    with following(server.url, token, "?after=0") as stream:
        return stream.next()


def test_a_client_loses_nothing_and_hears_nothing_twice_over_kills_of_the_server(server: ForkedDaemon) -> None:
    seen: list[Any] = []
    stop, failures = threading.Event(), list[BaseException]()

    def follow() -> None:
        """As a browser does: connects again, where it was."""
        last_id = "0"
        while not stop.is_set():
            try:
                with following(server.url, last_id=last_id) as stream:
                    assert stream.status == 200, stream.status
                    while not stop.is_set():
                        with contextlib.suppress(TimeoutError):
                            seen.append(stream.next(0.2))
                            last_id = stream.last_id
            except (Closed, OSError):
                time.sleep(0.05)
            except BaseException as error:
                failures.append(error)
                return

    client = threading.Thread(target=follow)
    client.start()
    made: list[str] = []
    try:
        for _ in range(3):
            with server.session() as rest:
                made += [rest.create_volume()["id"] for _ in range(3)]
            server.kill()
            server.start()
        with server.session() as rest:
            for volume_id in made:
                rest.wait_for_status(f"/volumes/{volume_id}", "available")
            wanted = every_event(rest)
        wait_until(lambda: failures or len(seen) >= len(wanted), f"{len(seen)} of {len(wanted)} events have come")
    finally:
        stop.set()
        client.join(PATIENCE)
    assert not failures
    assert [each.data for each in seen] == wanted
    assert {each["resource_id"] for each in wanted if each["event_type"] == "volume.create.end"} == set(made)


def every_event(rest: Session) -> list[dict[str, Any]]:
    """What plain paging tells."""
    found: list[dict[str, Any]] = []
    position = 0
    while page := rest.get("/events", params={"after": position, "limit": 7}).json()["events"]:
        found += page
        position = page[-1]["id"]
    return found


def test_many_streams_cost_descriptors_and_one_thread_and_the_api_answers_meanwhile(
    server: Daemon, rest: Session
) -> None:
    rest.get("/volumes")
    before = threads_of(server)
    with contextlib.ExitStack() as held:
        streams = [held.enter_context(following(server.url)) for _ in range(40)]
        assert {stream.status for stream in streams} == {200}
        with following(server.url) as one_more:
            assert one_more.status == 503
            assert int(one_more.headers["retry-after"]) > 0
        assert threads_of(server) <= before + SLACK
        volume_id = rest.make_volume()
        for stream in streams:
            assert [stream.next().data["resource_id"] for _ in range(2)] == [volume_id] * 2
    with contextlib.ExitStack() as held:
        wait_until(lambda: place_is_free(server, held), "the places are not given back")


def place_is_free(server: Daemon, held: contextlib.ExitStack) -> bool:
    return held.enter_context(following(server.url)).status == 200


def test_dead_clients_leave_no_thread_and_no_descriptor(server: Daemon, rest: Session) -> None:
    rest.get("/volumes")
    threads, sockets = threads_of(server), sockets_of(server)
    for ending in (hang_up, reset, hang_up_at_once) * 2:
        streams = [connect(server.url) for _ in range(20)]
        assert {stream.status for stream in streams} == {200}
        for stream in streams:
            ending(stream)
        wait_until(lambda: sockets_of(server) <= sockets + 2, "descriptors are left")
    wait_until(lambda: threads_of(server) <= threads + SLACK, "threads are left")
    assert "Traceback" not in server.output()


def hang_up(stream: Stream) -> None:
    stream.wait_for_heartbeat()
    stream.connection.close()


def reset(stream: Stream) -> None:
    stream.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.connection.close()


def hang_up_at_once(stream: Stream) -> None:
    stream.connection.close()


def test_a_client_that_reads_nothing_holds_nobody_up(server: Daemon, rest: Session) -> None:
    with contextlib.ExitStack() as held:
        deaf = held.enter_context(following(server.url, query="?after=0"))
        deaf.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        other = held.enter_context(following(server.url))
        volume_id = rest.make_volume()
        for number in range(60):
            body = {"metadata": {"key": str(number)}}
            assert rest.post(f"/volumes/{volume_id}/metadata", json=body).status_code == 200
        second = rest.make_volume()
        assert [other.next().data["resource_id"] for _ in range(4)] == [volume_id, volume_id, second, second]
        assert [deaf.next().data["resource_id"] for _ in range(4)] == [volume_id, volume_id, second, second]


@pytest.mark.parametrize("number", ["stop", "kill"])
def test_a_server_that_ends_ends_its_streams_at_once(server: ForkedDaemon, number: str) -> None:
    with contextlib.ExitStack() as held:
        streams = [held.enter_context(following(server.url)) for _ in range(10)]
        server.stop() if number == "stop" else server.kill()
        for stream in streams:
            assert stream.until_closed() == []
    server.start()


def test_a_stream_ends_after_its_time_and_the_next_one_goes_on_where_it_was() -> None:
    configuration = FAKE_TARGET + "[api]\nevent_stream_seconds = 0.5\nevent_heartbeat = 0.1\n"
    with forked_daemon(configuration) as server, server.session() as rest:
        made, seen, last_id = [], [], "0"
        for _ in range(3):
            made.append(rest.make_volume())
            with following(server.url, last_id=last_id) as stream:
                seen += stream.until_closed()
                last_id = stream.last_id
        assert [each.data["resource_id"] for each in seen if each.event == "volume.create.end"] == made
        assert len(seen) == 6


def test_a_client_that_was_silent_for_long_resumes_by_the_position_of_its_heartbeat(
    server: ForkedDaemon, rest: Session
) -> None:
    """Events of others go on; a quiet project's last event is old, and its stream still knows where it is."""
    with following(server.url, "alice:quiet") as stream:
        stream.wait_for_heartbeat()
        rest.make_volume()
        wait_until(lambda: heard(stream) >= 2, "no heartbeat tells the position")
        position = stream.last_id
    with server.session("alice", "quiet") as quiet:
        answer = quiet.get("/events", params={"after": position})
        assert answer.json() == {"events": [], "position": int(position)}


def heard(stream: Stream) -> int:
    """The position that the stream has told so far."""
    with contextlib.suppress(TimeoutError):
        stream.next(0.3)
    return int(stream.last_id or 0)


def test_the_servers_own_descriptors_are_closed_after_a_stream_of_another_protocol(server: Daemon) -> None:
    """HTTP/1.0, and a client that goes on talking: the rest is not taken for a request."""
    address = server.url.removeprefix("http://").split(":")
    with socket.create_connection((address[0], int(address[1])), timeout=PATIENCE) as connection:
        head = b"GET /v3/events HTTP/1.0\r\nX-Auth-Token: a:p\r\nAccept: text/event-stream\r\n\r\n"
        connection.sendall(head + b"GET /v3/volumes HTTP/1.0\r\n\r\n")
        received = b""
        while received.count(b": ") < 8 or b"\n\n: " not in received:
            part = connection.recv(65536)
            assert part, received
            received += part
        assert received.count(b"HTTP/1.1 200 OK") == 1
        assert b"Transfer-Encoding" not in received
