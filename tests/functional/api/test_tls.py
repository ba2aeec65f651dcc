"""TLS of the built-in server: who may connect, and that nobody holds a thread who has not sent a whole request."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.functional.fuzz.wire import PATIENCE, Wire
from tests.lab.certificates import Authority, Identity
from volumed.launch.http import Address, HttpService
from volumed.launch.tls import Tls
from volumed.model.errors import ConfigurationError

#: Threads of each server here: whoever holds one is noticed.
THREADS = 1


@dataclass
class Served:
    """A server whose application answers with what it was sent."""

    service: HttpService
    authority: Authority
    schemes: list[str] = field(default_factory=list)

    @property
    def address(self) -> tuple[str, int]:
        return self.service.address.host, self.service.address.port

    def application(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        self.schemes.append(environ["wsgi.url_scheme"])
        body = environ["wsgi.input"].read() or environ["PATH_INFO"].encode()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    def session(self, identity: Identity | None = None) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        session.verify = str(self.authority.file)
        session.cert = (str(identity.certificate), str(identity.key)) if identity else None
        return session

    @contextmanager
    def wire(self) -> Iterator[Wire]:
        """One sealed connection."""
        context = ssl.create_default_context(cafile=str(self.authority.file))
        with socket.create_connection(self.address, PATIENCE) as plain:
            with context.wrap_socket(plain, server_hostname="127.0.0.1") as sealed:
                yield Wire(sealed)


@contextmanager
def serving(folder: Path, with_clients: bool = False) -> Iterator[Served]:
    authority = Authority(folder)
    identity = authority.issue("server")
    tls = Tls(identity.certificate, identity.key, authority.file if with_clients else None)
    served = Served(HttpService(Address("127.0.0.1", 0), THREADS, 1, tls), authority)
    served.service.serve(served.application)
    served.service.start()
    try:
        yield served
    finally:
        served.service.stop()


def test_requests_one_after_another_are_answered_on_one_sealed_connection(tmp_path: Path) -> None:
    with serving(tmp_path) as served, served.session() as session:
        for size in (1, 8_000, 70_000, 300_000):
            answer = session.post(f"{served.service.url}/x", data=b"a" * size, timeout=PATIENCE)
            assert answer.content == b"a" * size
        assert session.get(f"{served.service.url}/path", timeout=PATIENCE).text == "/path"
        assert set(served.schemes) == {"https"}


def test_requests_sent_at_once_are_answered_in_order(tmp_path: Path) -> None:
    with serving(tmp_path) as served, served.wire() as wire:
        wire.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(20)))
        bodies = [wire.answer() for _ in range(20)]
        assert [answer.body for answer in bodies if answer] == [b"/%d" % number for number in range(20)]


def test_whoever_is_slow_in_the_handshake_or_in_a_request_holds_no_thread(tmp_path: Path) -> None:
    with serving(tmp_path) as served, served.wire() as half, served.session() as session:
        with socket.create_connection(served.address) as silent, socket.create_connection(served.address) as begun:
            begun.sendall(b"\x16\x03\x01\x02\x00\x01\x00")  # the first bytes of a ClientHello (RFC 8446, 4)
            half.send(b"POST /late HTTP/1.1\r\nHost: x\r\nContent-Le")
            assert session.get(f"{served.service.url}/quick", timeout=PATIENCE).text == "/quick"
            half.send(b"ngth: 4\r\n\r\nbo")
            assert session.get(f"{served.service.url}/again", timeout=PATIENCE).text == "/again"
            assert half.ask(b"dy").body == b"body"
            silent.close()


def test_a_client_that_speaks_plain_http_is_hung_up_on_and_others_are_served(tmp_path: Path) -> None:
    with serving(tmp_path) as served, served.session() as session:
        with socket.create_connection(served.address, PATIENCE) as plain:
            wire = Wire(plain)
            wire.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"HTTP/" not in received(plain)
        assert session.get(f"{served.service.url}/x", timeout=PATIENCE).status_code == 200


def received(connection: socket.socket) -> bytes:
    """Everything until the end."""
    parts = []
    try:
        while part := connection.recv(4096):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def test_the_end_of_an_answer_without_a_length_is_said_in_the_seal(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        context = ssl.create_default_context(cafile=str(served.authority.file))
        with socket.create_connection(served.address, PATIENCE) as plain:
            with context.wrap_socket(plain, server_hostname="127.0.0.1", suppress_ragged_eofs=False) as sealed:
                sealed.sendall(b"GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                assert received(sealed).endswith(b"/x")  # a ragged end would raise


def test_with_an_authority_for_clients_only_its_own_are_served(tmp_path: Path) -> None:
    strangers = tmp_path / "strangers"
    strangers.mkdir()
    stranger = Authority(strangers, "others").issue("stranger")
    with serving(tmp_path, with_clients=True) as served:
        for identity in (None, stranger):
            with served.session(identity) as session, pytest.raises(requests.ConnectionError):
                session.get(f"{served.service.url}/x", timeout=PATIENCE)
        with served.session(served.authority.issue("client")) as session:
            assert session.get(f"{served.service.url}/x", timeout=PATIENCE).status_code == 200


def test_a_new_certificate_is_taken_without_a_restart(tmp_path: Path) -> None:
    with serving(tmp_path) as served, served.session() as kept:
        kept.get(f"{served.service.url}/x", timeout=PATIENCE).raise_for_status()
        before = ssl.get_server_certificate(served.address)
        served.authority.issue("server")
        served.service.reset()
        assert ssl.get_server_certificate(served.address) != before
        kept.get(f"{served.service.url}/x", timeout=PATIENCE).raise_for_status()


@pytest.mark.parametrize("wrong", ["certificate", "key"])
def test_files_that_cannot_be_used_are_named_and_what_serves_goes_on(tmp_path: Path, wrong: str) -> None:
    with serving(tmp_path) as served, served.session() as session:
        (tmp_path / f"server.{'pem' if wrong == 'certificate' else 'key'}").write_text("no PEM")
        with pytest.raises(ConfigurationError, match=r"server\."):
            served.service.reset()
        session.get(f"{served.service.url}/x", timeout=PATIENCE).raise_for_status()


def test_many_clients_at_once_are_all_answered(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        found: list[str] = []

        def ask(number: int) -> None:
            with served.session() as session:
                found.extend(session.get(f"{served.service.url}/{number}/{n}", timeout=PATIENCE).text for n in range(5))

        asking = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join()
        assert sorted(found) == sorted(f"/{number}/{n}" for number in range(8) for n in range(5))
