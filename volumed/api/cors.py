"""Which other sites' pages a browser may let talk to the API: none, unless ``[cors] allowed_origin`` says so.

oslo.middleware knows how; it is imported only where a file has the group.
"""

from typing import Any

from volumed.api.wsgi_types import Application

GROUP = "cors"


def known_options(conf: Any) -> list[tuple[str, list[Any]]]:
    """Every option that oslo.middleware reads, by group."""
    from oslo_middleware import cors

    return [(GROUP, list(cors.CORS_OPTS))]


def register_options(conf: Any) -> None:
    """Register them; what a page may send and see is ours by default."""
    from volumed.api import idempotency, microversions
    from volumed.api.answers import OPERATION_HEADER

    for group, options in known_options(conf):
        conf.register_opts(options, group=group)
    sent = ["X-Auth-Token", microversions.HEADER, idempotency.HEADER, "X-OpenStack-Request-ID", "Last-Event-ID"]
    seen = ["X-OpenStack-Request-ID", microversions.HEADER, OPERATION_HEADER, "Retry-After"]
    conf.set_default("allow_headers", sent, group=GROUP)
    conf.set_default("expose_headers", seen, group=GROUP)
    conf.set_default("allow_methods", ["GET", "POST", "PUT", "DELETE"], group=GROUP)


def before(application: Application, conf: Any) -> Application:
    """The application, for such pages too where they are configured."""
    if GROUP not in conf or not conf.cors.allowed_origin:
        return application
    from oslo_middleware import cors

    wrapped: Application = cors.CORS(application, conf=conf)
    return wrapped
