"""A span for each request, a child of the client's own where it sends one (W3C Trace Context).

Names and attributes are those of OpenTelemetry's "Semantic conventions for HTTP spans".
"""

from collections.abc import Callable, Iterable
from typing import Any

from volumed.api.wsgi_types import Application
from volumed.model import tracing
from volumed.model.tracing import PARENT, Note

#: In a request's environment: the template of its path, once it is known.
ROUTE = "volumed.route"


class Traced:
    """The application with spans. A stream's is over when it begins to flow."""

    def __init__(self, application: Application) -> None:
        self._application = application

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        with tracing.span(method, {PARENT: environ.get("HTTP_TRACEPARENT")}) as note:

            def begin(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
                _tell(note, environ, status, headers)
                return start_response(status, headers, *error)

            return self._application(environ, begin)


def _tell(note: Note, environ: dict[str, Any], status: str, headers: list[tuple[str, str]]) -> None:
    route = environ.get(ROUTE)
    method = environ["REQUEST_METHOD"]
    ids = {name.lower(): value for name, value in headers}
    told: dict[str, str | int] = {
        "http.request.method": method,
        "http.response.status_code": int(status[:3]),
        "volumed.request_id": ids.get("x-openstack-request-id", ""),
    }
    if route:
        told["http.route"] = route
    note(told, f"{method} {route}" if route else None)
