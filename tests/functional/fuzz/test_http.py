"""HTTP as no client should speak it, on the socket of a real ``volumed up``: a declared answer, and it goes on serving.

What can be parsed as a request is answered in OpenStack's form; what cannot is answered with a plain 4xx or closed.
"""

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.functional.fuzz.wire import Answer, Wire, request, wire
from tests.lab.daemon import Daemon
from tests.lab.published import published

pytestmark = pytest.mark.embedded_only("it speaks to one server with sockets of its own")

CREATE = json.dumps({"volume": {"size": 1, "name": "torture"}}).encode()

#: Threads that answer, by default; half requests are more than these.
THREADS = 8


@pytest.fixture
def url(shared_daemon: Daemon) -> Iterator[str]:
    """The address of a daemon that serves before and after the test, and that has made nothing it was not asked for."""
    yield shared_daemon.url
    with shared_daemon.session() as rest:
        assert rest.get("/volumes").json() == {"volumes": []}
        assert rest.get("/operations?state=live").json() == {"operations": []}
    assert "Traceback" not in shared_daemon.output()


@pytest.fixture
def line(url: str) -> Iterator[Wire]:
    with wire(url) as line:
        yield line


def lasts(line: Wire) -> bool:
    """Whether the connection can be used for another request, and the answer is that request's."""
    line.send(request("GET /v3/extensions/os-services"))
    found = line.answer()
    return found is not None and found.json["extension"]["alias"] == "os-services"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x00\x01\x02\x03\r\n\r\n", 400),
        (b"GET\r\n\r\n", 400),
        (b"GET /v3\r\n\r\n", 400),
        (b"GET /v3 HTTP/9.9\r\n\r\n", 505),
        (b"GET /v3 HTTP/x\r\n\r\n", 400),
        (b"get /v3 HTTP/1.1\r\n\r\n", 400),
        (b"GET v3 HTTP/1.1\r\n\r\n", 400),
        (b"GET //v3/volumes HTTP/1.1\r\n\r\n", 400),
        (b"GET /v3/volumes/\xff\xfe HTTP/1.1\r\n\r\n", 400),
        (b"GET /v3#part HTTP/1.1\r\n\r\n", 400),
        (b"GET http://elsewhere/v3 HTTP/1.1\r\n\r\n", 400),
        (b"CONNECT elsewhere:80 HTTP/1.1\r\n\r\n", 405),
        (b"GET /v3 HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET /v3 HTTP/1.1\r\nA\x00B: c\r\n\r\n", 400),
        (b"GET /v3 HTTP/1.1\r\nA: b\x00c\r\n\r\n", 400),
        (b"GET /v3 HTTP/1.1\r\nA: b\rSet-Cookie: c\r\n\r\n", 400),
        (b"GET /v3 HTTP/1.1\r\nA : b\r\n\r\n", 400),
        (b"GET /v3 HTTP/1.1\r\n folded: first\r\n\r\n", 400),
        (b"GET /v3 HTTP/1.1\r\nA: b\r\n folded: second\r\n\r\n", 400),
        (b"GET /v3 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET /v3 HTTP/1.1\r\nIdempotency-Key: a\r\nIdempotency-Key: b\r\n\r\n", 400),
        (b"POST /v3/volumes HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", 400),
        (b"GET /v3 HTTP/1.1\r\nA: b", 400),
        (b"GET /v3 HTTP/1.1\r\nContent-Length: many\r\n\r\n", 400),
        (b"POST /v3/volumes HTTP/1.1\r\nContent-Length: 5, 6\r\n\r\n", 400),
        (b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET /v3 HTTP/1.1\r\nX-Long: " + b"a" * 40_000 + b"\r\n\r\n", 413),
        (b"GET /v3 HTTP/1.1\r\n" + b"X-Many: a\r\n" * 4_000 + b"\r\n", 413),
        (b"POST /v3/volumes HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
    ],
)
def test_what_is_no_request_is_refused_and_the_connection_ends(line: Wire, sent: bytes, status: int) -> None:
    line.send(sent)
    with contextlib.suppress(OSError):  # it may have answered and closed already
        line.connection.shutdown(socket.SHUT_WR)
    answer = line.answer()
    assert answer is not None
    assert (answer.status, bool(answer.fault["message"])) == (status, True)
    assert line.is_closed()


def test_a_negative_length_is_refused(line: Wire) -> None:
    answer = line.ask(request("POST /v3/volumes", "Content-Length: -1"))
    assert (answer.status, "badRequest" in answer.json) == (400, True)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (b"/v3/volumes/%00", 400),
        (b"/v3/volumes/a%0d%0aSet-Cookie:%20x", 400),
        (b"/v3/volumes/%7f", 400),
        (b"/v3/volumes/%ff%fe", 404),
        (b"/v3/admin//volumes", 404),
        (b"/v3/volumes/%c3%a9", 404),
        (b"/v3/volumes/%ed%a0%80", 404),
        (b"/v3/volumes/%zz", 404),
        (b"/v3/volumes/%", 404),
        (b"/v3/volumes/%252e%252e", 404),
        (b"/v3/volumes/..%2f..%2fetc%2fpasswd", 404),
        (b"/v3/volumes/../../etc/passwd", 404),
        (b"/v3/volumes/" + b"a" * 20_000, 404),
        (b"/v3//volumes", 404),
        (b"/v3/volumes//detail", 404),
        (b"/v3/volumes/detail/", 200),
        (b"/v3/volumes/", 200),
        (b"/v3/admin/volumes/", 200),
        (b"/v3/admin/volumes/detail", 200),
        (b"/v3/", 200),
        (b"/v3/admin", 200),
        (b"/v3/admin/", 200),
        (b"/v3%2fvolumes", 404),
        (b"/V3/volumes", 404),
        (b"/v2/volumes", 404),
        (b"/v3/volumed/nowhere", 404),
        (b"/nowhere", 404),
        (b"/v3/volumes/detail;a=b", 404),
        (b"/v3/volumes?", 200),
        (b"/v3/volumes?limit", 400),
        (b"/v3/volumes?limit=1&limit=2", 200),
        (b"/v3/volumes?&&&", 200),
        (b"/v3/volumes?name=%ff", 200),
        (b"/v3/volumes?name=%00", 400),
        (b"/v3/volumes?name=a%0ab", 400),
        (b"/v3/volumes?name=" + b"a" * 20_000, 200),
        (b"/v3/volumes?" + b"&".join(b"name=a" for _ in range(2_000)), 200),
        (b"/v3/volumes?metadata=" + b"[" * 5_000, 400),
    ],
)
def test_an_odd_path_has_a_declared_answer(line: Wire, path: bytes, status: int) -> None:
    answer = line.ask(request(b"GET " + path))
    assert answer.status == status, answer
    if status >= 400:
        assert answer.fault["message"]
    assert lasts(line)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (("Idempotency-Key: a b",), 400),
        (("Idempotency-Key:",), 400),
        (("Idempotency-Key: a\tb",), 400),
        (("Idempotency-Key: " + "k" * 192,), 400),
        (("Idempotency-Key: \xe9",), 400),
        (("OpenStack-API-Version: volume",), 400),
        (("OpenStack-API-Version: volume 3.x",), 400),
        (("OpenStack-API-Version: volume 3.67",), 406),
        (("OpenStack-API-Version: volume " + "9" * 5_000,), 400),
    ],
)
def test_an_odd_header_is_refused_and_nothing_is_made(line: Wire, headers: tuple[str, ...], status: int) -> None:
    answer = line.ask(request("POST /v3/volumes", *headers, body=CREATE))
    assert (answer.status, bool(answer.fault["message"])) == (status, True)
    assert lasts(line)


def test_a_request_id_of_a_client_is_not_repeated_in_the_answer(line: Wire) -> None:
    for asked in ("req-x Set-Cookie: y", "req-" + "a" * 9_000, "\xff\xfe", "req-11111111-1111-4111-8111-111111111111"):
        answer = line.ask(request("GET /v3/volumes", f"X-OpenStack-Request-ID: {asked}"))
        assert answer.status == 200
        assert "set-cookie" not in answer.headers
        assert asked not in answer.headers["x-openstack-request-id"]
    assert lasts(line)


def test_odd_tokens_are_strangers(line: Wire) -> None:
    for token in ("", ":", "a", "a:", ":b", "\xff:\xff", "a:" + "b" * 9_000, "admin:admin:admin", "a\tb:c"):
        answer = line.ask(request("GET /v3/volumes", token=token))
        assert answer.status in {200, 401}, (token[:20], answer)
        if answer.status == 401:
            assert answer.headers["www-authenticate"]
            assert answer.fault["message"]


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"\xff\xfe", b"\x00" * 100, b'{"volume": {"size": 1, "name": "\xc3\x28"}}', b"a=b&c=d"),
        *(b"[" * 50_000, b'{"volume": {"size": 1}}{"volume": {"size": 1}}', b"\xef\xbb\xbf" + CREATE, b"9" * 100_000),
    ],
)
def test_an_odd_body_is_refused(line: Wire, body: bytes) -> None:
    answer = line.ask(request("POST /v3/volumes", "Content-Type: application/x-www-form-urlencoded", body=body))
    assert (answer.status, bool(answer.fault["message"])) == (400, True)
    assert lasts(line)


def test_a_body_of_10_mb_is_refused_without_being_read(line: Wire) -> None:
    line.send(request("POST /v3/volumes", f"Content-Length: {10 * 1024 * 1024}"))
    answer = line.answer()
    assert answer is not None
    assert (answer.status, "overLimit" in answer.json) == (413, True)


def test_a_chunked_body_of_10_mb_is_refused(url: str) -> None:
    with wire(url) as line:
        line.send(request("POST /v3/volumes", "Transfer-Encoding: chunked"))
        for _ in range(160):
            line.send(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        line.send(b"0\r\n\r\n")
        found = line.answer()
        assert found is None or found.status == 413  # the kernel may drop the answer with what was not read


@pytest.mark.parametrize("chunks", [b"zz\r\nabc\r\n0\r\n\r\n", b"-5\r\nabc\r\n", b"ffffffffffffffff\r\n", b"\r\n\r\n"])
def test_chunked_garbage_is_refused(line: Wire, chunks: bytes) -> None:
    line.send(request("POST /v3/volumes", "Transfer-Encoding: chunked") + chunks)
    line.connection.shutdown(socket.SHUT_WR)
    answer = line.answer()
    assert answer is None or 400 <= answer.status < 500, answer
    assert line.is_closed()


def test_a_truncated_body_changes_nothing(url: str) -> None:
    for sent in (len(CREATE), len(CREATE) - 1, 1, 0):
        with wire(url) as line:
            line.send(request("POST /v3/volumes", f"Content-Length: {len(CREATE) + 1}") + CREATE[:sent])
            line.connection.shutdown(socket.SHUT_WR)
            answer = line.answer()
            assert answer is not None
            assert answer.status == 400, answer


def test_what_follows_a_body_is_the_next_request(line: Wire) -> None:
    """A length that is too short: the rest of the body is no request, and is refused as such."""
    line.send(request("POST /v3/volumes", "Content-Length: 5") + CREATE)
    first = line.answer()
    assert first is not None
    assert first.status == 400
    line.connection.shutdown(socket.SHUT_WR)
    second = line.answer()
    assert second is None or second.status == 400


@pytest.mark.parametrize("method", ["GET", "DELETE", "POST", "OPTIONS"])
def test_an_unread_chunked_body_is_never_taken_for_a_request(line: Wire, method: str) -> None:
    hidden = request("POST /v3/types", body=b'{"volume_type": {"name": "smuggled"}}')
    chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (len(hidden), hidden)
    first = line.ask(request(f"{method} /v3/volumes/x", "Transfer-Encoding: chunked", token="") + chunk)
    assert first.status == 401
    assert line.is_closed()


def test_an_unread_body_of_known_length_is_passed_over(line: Wire) -> None:
    hidden = request("POST /v3/types", body=b'{"volume_type": {"name": "smuggled"}}')
    for method, status in (("GET", 404), ("DELETE", 404)):
        assert line.ask(request(f"{method} /v3/volumes/x", body=hidden)).status == status
    assert lasts(line)


def test_pipelined_requests_are_answered_in_their_order(line: Wire) -> None:
    paths = ["/v3/extensions/os-services", "/v3/volumes/x", "/v3/limits", "/nowhere", "/v3/extensions/os-quota-sets"]
    line.send(b"".join(request(f"GET {path}") for path in paths))
    statuses = [answer.status for path in paths if (answer := line.answer()) is not None]
    assert statuses == [200, 404, 200, 404, 200]
    assert lasts(line)


def test_a_client_that_asks_before_it_sends_is_answered(line: Wire) -> None:
    line.send(request("POST /v3/volumes", "Expect: 100-continue", "Content-Length: 2"))
    assert line.connection.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert line.ask(b"{}").status == 400


def test_a_request_that_comes_byte_by_byte_is_answered(line: Wire) -> None:
    sent = request("POST /v3/volumes", body=b'{"volume": {"size": 0}}')
    for position in range(len(sent)):
        line.send(sent[position : position + 1])
        time.sleep(0.001)
    answer = line.answer()
    assert answer is not None
    assert "size" in answer.fault["message"]
    assert lasts(line)


def test_half_requests_keep_nobody_waiting(url: str) -> None:
    """They are more than there are threads, and others are served while not one of them has come to its end."""
    halves = (
        b"",
        b"GET /v3/vol",
        b"GET /v3/volumes HTTP/1.1\r\nX-Half: ",
        request("POST /v3/volumes", "Content-Length: 1000") + b"{",
    )
    with ExitStack() as stack:
        lines = [stack.enter_context(wire(url)) for _ in range(THREADS * 5)]
        for number, half in enumerate(lines):
            half.send(halves[number % len(halves)])
        time.sleep(0.2)
        for _ in range(5):
            with wire(url) as other:
                assert lasts(other)
        assert all(half.is_waiting() for half in lines), "others were served after a half request was given up"
        lines[1].send(b"umes/x HTTP/1.1\r\nX-Auth-Token: admin:admin\r\n\r\n")
        late = lines[1].answer()
        assert late is not None
        assert late.status == 404


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PATCH", "TRACE", "PROPFIND", "X"])
def test_a_method_that_no_route_has_is_refused_in_openstacks_form(url: str, method: str) -> None:
    with wire(url) as line:
        for template in published().paths:
            path = template.replace("{", "").replace("}", "")
            answer = line.ask(request(f"{method} {path}"))
            if method == "OPTIONS":
                assert (answer.status, bool(answer.headers["allow"])) in {(200, True), (204, True)}, (path, answer)
            else:
                assert answer.status in {400, 405}, (path, answer)
                assert method == "HEAD" or _is_fault(answer), (path, answer)
        assert lasts(line)


def _is_fault(answer: Answer) -> bool:
    return bool(answer.fault["message"])
