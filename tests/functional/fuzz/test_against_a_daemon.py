"""Some generated requests to a real ``volumed up``: answers as published, also through sockets and real services."""

import random

import pytest

from tests.functional.fuzz.wire import wire
from tests.lab.daemon import Daemon
from tests.lab.generated_requests import CASES, SEED, Request, labels, requests_of, share_of_each
from tests.lab.published import published

pytestmark = pytest.mark.embedded_only("the application is the same; 5,000 requests are enough once")

#: Of all cases this part is asked of a daemon.
SHARE = 10


@pytest.mark.parametrize("part", range(3))
def test_generated_requests_are_answered_as_published(shared_daemon: Daemon, part: int) -> None:
    with shared_daemon.session("admin", "p1") as rest:
        volume_id = rest.make_volume(metadata={"k": "v"})
    asked = labels()
    random.Random(SEED).shuffle(asked)

    def known(kind: str, pick: int) -> str | None:
        return {"volumes": volume_id, "projects": "p1", "classes": "default", "keys": "k"}.get(kind)

    def ask(request: Request) -> None:
        with wire(shared_daemon.url) as line:
            answer = line.ask(_bytes(request))
        assert answer.status < 500, (request, answer)
        is_json = answer.body and answer.headers.get("content-type", "").startswith("application/json")
        told = answer.json if is_json else None
        published().judge(request.method, request.template, answer.status, answer.headers, told)

    for label in asked[part::3]:
        requests_of(label, share_of_each(CASES // SHARE), known, ask)
    assert "Traceback" not in shared_daemon.output()


def _bytes(request: Request) -> bytes:
    target = f"{request.path}?{request.query}" if request.query else request.path
    lines = [f"{request.method} {target} HTTP/1.1", "Host: volumed", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in request.headers.items() if name.lower() not in {"host", "expect"}]
    body = request.body or b""
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode("latin-1") + body
