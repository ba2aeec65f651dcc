"""The API tier as one WSGI application: its routes, and what every request passes on its way to them."""

from collections.abc import Callable, Mapping
from typing import Any

import falcon

from volumed.api import errors, idempotency
from volumed.api.accept.transaction import Reference, Repeated
from volumed.api.handlers import operations, versions, volumes
from volumed.api.middleware import Authentication, Bodies, Microversions, ProjectPaths, RequestIds
from volumed.api.policy import Policy
from volumed.api.request import ApiRequest
from volumed.api.settings import Settings
from volumed.api.tier import ApiParts, Tier
from volumed.db import volume_types
from volumed.identity.callers import identity_of

__all__ = ["ApiParts", "make_app"]

App = falcon.App[ApiRequest, falcon.Response]
Rebuild = Callable[[ApiRequest, falcon.Response, Reference], None]


def make_app(parts: ApiParts) -> App:
    """The application; the default volume type is made if the database has none."""
    settings = Settings.read(parts.conf)
    parts.database.write(volume_types.ensure_default, settings.default_volume_type)
    policy = Policy(parts.conf, parts.conf.api.policy_file)
    tier = Tier(parts.database, parts.scheduler, parts.volume, parts.ends, settings, policy)
    routes, rebuilds = _routes(tier)
    identity = identity_of(parts.conf.api.auth_strategy)
    collections = frozenset(path.split("/")[2] for path, _, _ in routes if path.startswith("/v3/"))
    app: App = falcon.App(
        request_type=ApiRequest,
        middleware=[
            RequestIds(),
            ProjectPaths(collections),
            Authentication(identity),
            Microversions(),
            Bodies(settings.max_body),
        ],
    )
    app.req_options.strip_url_path_trailing_slash = True
    app.req_options.keep_blank_qs_values = True
    app.req_options.auto_parse_qs_csv = False
    for path, resource, suffix in routes:
        app.add_route(path, resource, **({"suffix": suffix} if suffix else {}))
    errors.install(app, identity.challenge)
    app.add_error_handler(Repeated, _replay(rebuilds))
    return app


def _routes(tier: Tier) -> tuple[list[tuple[str, Any, str | None]], Mapping[str, Rebuild]]:
    version, volume, operation = versions.Versions(tier), volumes.Volumes(tier), operations.Operations(tier)
    routes: list[tuple[str, Any, str | None]] = [
        ("/", version, None),
        ("/v3", version, "v3"),
        ("/v3/volumes", volume, None),
        ("/v3/volumes/detail", volume, "detail"),
        ("/v3/volumes/{volume_id}", volume, "one"),
        ("/v3/volumes/{volume_id}/timeline", operations.Timeline(tier), None),
        ("/v3/volumes/{volume_id}/placement", operations.Placement(tier), None),
        ("/v3/operations", operation, None),
        ("/v3/operations/{operation_id}", operation, "one"),
    ]
    return routes, {"volume": volume.rebuild, "nothing": _nothing}


def _nothing(req: ApiRequest, resp: falcon.Response, reference: Reference) -> None:
    """The answer to a request that is answered without a body."""


def _replay(rebuilds: Mapping[str, Rebuild]) -> Any:
    def replay(req: ApiRequest, resp: falcon.Response, repeated: Repeated, params: Mapping[str, Any]) -> None:
        rebuilds[repeated.reference.resource_type](req, resp, repeated.reference)
        resp.status = repeated.reference.status
        resp.set_header(idempotency.REPLAYED_HEADER, "true")

    return replay
