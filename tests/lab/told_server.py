"""A server that answers as it is told, so that the client's tests can have answers that no good server gives."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Json = dict[str, Any]


@dataclass
class Told:
    """``answers`` by ``METHOD path``; several are given one after another, the last one for ever.

    An answer is ``(status, document, headers)``; None breaks the connection without an answer, a document of None
    in the middle of one.
    """

    answers: dict[str, list[tuple[int, Any, dict[str, str]] | None]] = field(default_factory=dict)
    seen: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)
    url: str = ""

    def answer(self, request: str, document: Any, status: int = 200, **headers: str) -> None:
        spelled = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers.setdefault(request, []).append((status, document, spelled))

    def break_off(self, request: str) -> None:
        self.answers.setdefault(request, []).append(None)

    def requests(self) -> list[str]:
        return [request for request, _, _ in self.seen]


@contextmanager
def told_server() -> Iterator[Told]:
    """A server on a free port of this machine."""
    told = Told()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            request = f"{self.command} {self.path.partition('?')[0]}"
            told.seen.append((f"{self.command} {self.path}", dict(self.headers), json.loads(body) if body else None))
            waiting = told.answers.get(request, [(404, {"itemNotFound": {"code": 404, "message": "not told"}}, {})])
            answer = waiting.pop(0) if len(waiting) > 1 else waiting[0]
            if answer is None:
                self.close_connection = True
                return
            status, document, headers = answer
            if document is None:
                self.send_response(status)
                self.send_header("Content-Length", "1000")
                self.end_headers()
                self.wfile.write(b'{"half')
                self.close_connection = True
                return
            content = document.encode() if isinstance(document, str) else json.dumps(document).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = _serve

        def log_message(self, format: str, *args: Any) -> None:
            """Silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        told.url = f"http://127.0.0.1:{server.server_address[1]}"
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        try:
            yield told
        finally:
            server.shutdown()
            serving.join()
