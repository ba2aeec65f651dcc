"""The API tier as one WSGI application: its routes, and what every request passes on its way to them."""

from collections.abc import Mapping
from typing import Any

import falcon

from volumed.api import errors, idempotency
from volumed.api.accept.transaction import Repeated
from volumed.api.middleware import Authentication, Bodies, Microversions, PlainText, ProjectPaths, RequestIds
from volumed.api.policy import Policy
from volumed.api.rate_limit import RateLimit
from volumed.api.request import ApiRequest
from volumed.api.routes import Rebuild, Routes
from volumed.api.settings import Settings
from volumed.api.streams import Streams
from volumed.api.tier import ApiParts, Tier
from volumed.db import volume_types
from volumed.identity.callers import Identity, identity_of
from volumed.model.errors import VolumedError

__all__ = ["ApiParts", "make_app"]

App = falcon.App[ApiRequest, falcon.Response]


def make_app(parts: ApiParts) -> App:
    """The application; the default volume type is made if the database has none."""
    settings = Settings.read(parts.conf)
    parts.database.write(volume_types.ensure_default, settings.default_volume_type)
    policy = Policy(parts.conf, parts.conf.api.policy_file)
    routes = Routes(_tier(parts, settings, policy))
    identity = identity_of(parts.conf)
    app = _framework(routes, identity, settings)
    for path, resource, suffix in routes.all:
        app.add_route(path, resource, suffix=suffix)
    errors.install(app, identity.challenge)
    app.add_error_handler(Repeated, _replay(routes.rebuilds))
    return app


def _tier(parts: ApiParts, settings: Settings, policy: Policy) -> Tier:
    return Tier(
        database=parts.database,
        scheduler=parts.scheduler,
        volume=parts.volume,
        ends=parts.ends,
        rows=parts.rows,
        feed=parts.feed,
        streams=Streams(parts.feed, settings.streams),
        settings=settings,
        policy=policy,
    )


def _framework(routes: Routes, identity: Identity, settings: Settings) -> App:
    app: App = falcon.App(
        request_type=ApiRequest,
        middleware=[
            RequestIds(),
            PlainText(),
            ProjectPaths(routes.collections()),
            Authentication(identity),
            RateLimit(settings.rate_limit),
            Microversions(),
            Bodies(settings.max_body),
        ],
    )
    app.req_options.strip_url_path_trailing_slash = True
    app.req_options.keep_blank_qs_values = True
    app.req_options.auto_parse_qs_csv = False
    return app


def _replay(rebuilds: Mapping[str, Rebuild]) -> Any:
    """What answers a repeated request: the body built again, under the code of the first answer."""

    def replay(req: ApiRequest, resp: falcon.Response, repeated: Repeated, params: Mapping[str, Any]) -> None:
        reference = repeated.reference
        resp.set_header(idempotency.REPLAYED_HEADER, "true")
        try:
            rebuilds[reference.resource_type](req, resp, reference)
        except VolumedError as error:  # the framework asks no second handler
            errors.refuse(req, resp, error, params)
        else:
            resp.status = reference.status

    return replay
