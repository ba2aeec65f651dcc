"""The REST connection: one request in, one document out, or one of two errors.

Knows HTTP and OpenStack's form of errors; knows no resource and prints nothing.
"""

import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import requests

Json = dict[str, Any]

#: The microversion that every document of ``--json`` has, whatever the server's newest is.
MICROVERSION = "3.66"

#: Seconds before each repetition of a request that may be repeated when the connection breaks.
PAUSES = (0.1, 0.3)

#: Seconds for the connection, and for an answer: longer than the server waits for an attachment.
TIMEOUTS = (5.0, 60.0)

#: Rows that are asked for in one page of a list.
PAGE = 1000

#: Header that names the operation which an accepted request became.
OPERATION_HEADER = "Volumed-Operation-Id"


class ClientError(Exception):
    """The command cannot be carried out; the text is for the user."""


class Misused(ClientError):
    """The options contradict each other in a way that only the command itself can see."""


class Refused(ClientError):
    """The server answered no. ``code`` is the HTTP status, ``request_id`` finds the request in the server's log."""

    def __init__(self, code: int, message: str, request_id: str | None) -> None:
        self.code = code
        self.message = message
        self.request_id = request_id
        super().__init__(f"{message} (HTTP {code}{', ' + request_id if request_id else ''})")


class Unreachable(ClientError):
    """No answer could be got."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A good answer: its document (empty without one) and the operation that the request became."""

    document: Json
    operation_id: str | None


class Rest:
    """A connection to one server as one user. ``token`` is ``USER:PROJECT`` under noauth."""

    def __init__(self, url: str, token: str) -> None:
        # Costs 90 ms, which --help and a wrong option need not pay.
        import requests

        self.url = url.rstrip("/").removesuffix("/v3")
        self._http = requests.Session()
        self._http.headers.update({"X-Auth-Token": token, "OpenStack-API-Version": f"volume {MICROVERSION}"})
        self._broken = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
        self._invalid = requests.RequestException

    def get(self, path: str, **query: Any) -> Json:
        """The document at ``path`` (below ``/v3``). Raises ``Refused`` or ``Unreachable``, as all of these do."""
        return self._request("GET", path, query=query).document

    def post(self, path: str, body: Json) -> Reply:
        """Send ``body``; a broken connection is tried again with the same Idempotency-Key, so it acts once."""
        return self._request("POST", path, body=body, headers={"Idempotency-Key": str(uuid.uuid4())})

    def delete(self, path: str, **query: Any) -> Reply:
        """Delete what is at ``path``."""
        return self._request("DELETE", path, query=query)

    def pages(
        self, path: str, collection: str, limit: int | None = None, page: int = PAGE, **query: Any
    ) -> Iterator[Json]:
        """Every row of a list, page after page, at most ``limit`` of them."""
        left = limit
        marker: str | None = None
        while left is None or left > 0:
            document = self.get(path, limit=page if left is None else min(left, page), marker=marker, **query)
            rows = document[collection]
            yield from rows
            # A page may be shorter than asked (the server has a limit of its own): only the link tells the end.
            if not rows or not document.get(f"{collection}_links"):
                return
            marker = rows[-1]["id"]
            left = None if left is None else left - len(rows)

    def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        body: Json | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        pauses = () if method == "DELETE" else PAUSES
        for pause in (*pauses, None):
            try:
                answer = self._http.request(
                    method, f"{self.url}/v3{path}", params=query, json=body, headers=headers, timeout=TIMEOUTS
                )
                return _reply(answer)
            except self._broken as error:
                if pause is None:
                    raise Unreachable(f"{self.url} cannot be reached: {_reason(error)}") from error
                time.sleep(pause)
            except self._invalid as error:
                raise Unreachable(f"{self.url} cannot be asked: {error}") from error
        raise AssertionError("the last attempt returns or raises")


def _reply(answer: "requests.Response") -> Reply:
    document = _document(answer)
    if answer.status_code < 400:
        return Reply(document, answer.headers.get(OPERATION_HEADER))
    # OpenStack's form: {"badRequest": {"code": 400, "message": "..."}}.
    fault = next(iter(document.values()), None)
    message = fault.get("message") if isinstance(fault, dict) else None
    raise Refused(
        answer.status_code, message or answer.reason or "no reason given", answer.headers.get("x-openstack-request-id")
    )


def _document(answer: "requests.Response") -> Json:
    if not answer.content:
        return {}
    try:
        document = answer.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _reason(error: Exception) -> str:
    """The innermost cause: ``Connection refused`` and not urllib3's wrapping of it."""
    reason = type(error).__name__
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, OSError) and inner.strerror:
            reason = inner.strerror
        inner = inner.__cause__ or inner.__context__
    return reason
