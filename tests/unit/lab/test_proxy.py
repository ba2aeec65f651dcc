"""The bad network that other tests rely on."""

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.lab.proxy import Proxy

#: Seconds without a byte that show a silence.
SILENCE = 0.3


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """In front of a server that returns what it gets."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_echo, args=(server,), daemon=True).start()
        with Proxy(server.getsockname()[1]) as proxy:
            yield proxy
        server.shutdown(socket.SHUT_RDWR)


def _echo(server: socket.socket) -> None:
    while True:
        try:
            client, _ = server.accept()
        except OSError:
            return
        threading.Thread(target=_return, args=(client,), daemon=True).start()


def _return(client: socket.socket) -> None:
    try:
        while data := client.recv(100):
            client.sendall(data)
    except OSError:
        pass
    client.close()


def connect(proxy: Proxy) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", proxy.port))
    connection.settimeout(60)
    return connection


def asked(connection: socket.socket, data: bytes) -> bytes:
    connection.sendall(data)
    return connection.recv(100)


def test_bytes_are_passed_both_ways(proxy: Proxy) -> None:
    with connect(proxy) as connection:
        assert asked(connection, b"one") == b"one"
        assert proxy.connections == 1


def test_a_silence_holds_bytes_and_new_connections_until_its_end(proxy: Proxy) -> None:
    with connect(proxy) as old:
        assert asked(old, b"one") == b"one"
        proxy.drop()
        with connect(proxy) as new:
            for connection, data in ((old, b"two"), (new, b"three")):
                connection.settimeout(SILENCE)
                with pytest.raises(TimeoutError):
                    asked(connection, data)
                connection.settimeout(60)
            proxy.restore()
            assert old.recv(100) == b"two"
            assert new.recv(100) == b"three"


def test_one_connection_falls_silent_at_a_marker(proxy: Proxy) -> None:
    with connect(proxy) as connection:
        met = proxy.drop_from(b"MARK")
        assert asked(connection, b"one") == b"one"
        assert not met.is_set()
        connection.settimeout(SILENCE)
        with pytest.raises(TimeoutError):
            asked(connection, b"a MARK")
        assert met.wait(60)
        with connect(proxy) as other:
            assert asked(other, b"MARK") == b"MARK"
        with pytest.raises(TimeoutError):
            connection.recv(100)


def test_a_connection_that_is_lost_stays_silent_while_others_work(proxy: Proxy) -> None:
    with connect(proxy) as connection:
        assert asked(connection, b"one") == b"one"
        proxy.lose()
        with connect(proxy) as other:
            assert asked(other, b"two") == b"two"
        connection.settimeout(SILENCE)
        with pytest.raises(TimeoutError):
            asked(connection, b"three")


def test_a_cut_resets_what_there_is_and_takes_what_comes(proxy: Proxy) -> None:
    with connect(proxy) as connection:
        assert asked(connection, b"one") == b"one"
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            connection.recv(100)
    with connect(proxy) as connection:
        assert asked(connection, b"two") == b"two"


def test_who_refuses_takes_nobody_until_it_is_restored(proxy: Proxy) -> None:
    with connect(proxy) as connection:
        assert asked(connection, b"one") == b"one"
        proxy.refuse()
        with pytest.raises(ConnectionResetError):
            connection.recv(100)
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
    proxy.restore()
    with connect(proxy) as connection:
        assert asked(connection, b"two") == b"two"
