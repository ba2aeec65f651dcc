"""What a proxy in front says of a request: who asks, how, and for which host.

Anybody can send these headers, so that they are believed only where a proxy is known to set them.
"""

from collections.abc import Callable, Iterable
from typing import Any

from volumed.api.wsgi_types import Application


def before(application: Application, conf: Any) -> Application:
    """The application behind a proxy, where ``[api] trust_proxy_headers`` says that there is one."""
    return ThroughProxy(application) if conf.api.trust_proxy_headers else application


class ThroughProxy:
    """Believes ``X-Forwarded-For``, ``-Proto`` and ``-Host``; of several values the last, which our own proxy added."""

    def __init__(self, application: Application) -> None:
        self._application = application

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        address, scheme, host = (_last(environ, name) for name in ("FOR", "PROTO", "HOST"))
        if address:
            environ["REMOTE_ADDR"] = address
        if scheme in {"http", "https"}:
            environ["wsgi.url_scheme"] = scheme
        if host:
            environ["HTTP_HOST"] = host
        return self._application(environ, start_response)


def _last(environ: dict[str, Any], name: str) -> str:
    return str(environ.get(f"HTTP_X_FORWARDED_{name}", "")).rpartition(",")[2].strip()
