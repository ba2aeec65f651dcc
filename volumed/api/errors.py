"""Every error as HTTP: the one place that knows which family is which code, and OpenStack's form of the body."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import falcon
import orjson
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from volumed.api.endings import WorkFailed, WorkRefused
from volumed.api.microversions import InvalidMicroversion, UnsupportedMicroversion
from volumed.api.request import ApiRequest
from volumed.identity.callers import Unauthenticated
from volumed.model import errors

LOG = logging.getLogger(__name__)

#: Seconds after which a client may ask again what is away for now.
RETRY_AFTER = 5

#: The first class that an error is an instance of says its code: the narrow ones first.
_CODES: tuple[tuple[type[errors.VolumedError], HTTPStatus], ...] = (
    (errors.IdempotencyKeyReused, HTTPStatus.UNPROCESSABLE_ENTITY),
    (errors.Invalid, HTTPStatus.BAD_REQUEST),
    (WorkRefused, HTTPStatus.BAD_REQUEST),
    (InvalidMicroversion, HTTPStatus.BAD_REQUEST),
    (UnsupportedMicroversion, HTTPStatus.NOT_ACCEPTABLE),
    (errors.IllegalMove, HTTPStatus.BAD_REQUEST),
    (errors.NotFound, HTTPStatus.NOT_FOUND),
    (errors.Conflict, HTTPStatus.CONFLICT),
    (errors.Gone, HTTPStatus.GONE),
    (errors.Forbidden, HTTPStatus.FORBIDDEN),
    (errors.QuotaError, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (errors.ServiceUnavailable, HTTPStatus.SERVICE_UNAVAILABLE),
    (Unauthenticated, HTTPStatus.UNAUTHORIZED),
    (WorkFailed, HTTPStatus.INTERNAL_SERVER_ERROR),
    (errors.SecretUnreadable, HTTPStatus.INTERNAL_SERVER_ERROR),
)

#: What OpenStack calls each code in a body.
_NAMES: Mapping[int, str] = {
    400: "badRequest",
    401: "unauthorized",
    403: "forbidden",
    404: "itemNotFound",
    405: "badMethod",
    406: "notAcceptable",
    409: "conflictingRequest",
    410: "gone",
    413: "overLimit",
    415: "badMediaType",
    422: "unprocessableEntity",
    429: "overLimit",
    501: "notImplemented",
    503: "serviceUnavailable",
}


def code_of(error: errors.VolumedError) -> HTTPStatus | None:
    """The HTTP code of an error; None for one that no request should meet."""
    return next((code for family, code in _CODES if isinstance(error, family)), None)


def fault(code: int, message: str) -> bytes:
    """The body of an error in OpenStack's form."""
    return orjson.dumps({_NAMES.get(code, "computeFault"): {"code": int(code), "message": message}})


def answer(resp: falcon.Response, code: int, message: str) -> None:
    """Fill the response with an error in OpenStack's form."""
    resp.status = code
    resp.content_type = falcon.MEDIA_JSON
    resp.text = None
    resp.data = fault(code, message)
    if code == HTTPStatus.SERVICE_UNAVAILABLE:
        resp.set_header("Retry-After", str(RETRY_AFTER))


def install(app: "falcon.App[Any, Any]", challenge: str) -> None:
    """Let every error of ``app`` end here. ``challenge`` is what a stranger is told."""

    def stranger(req: ApiRequest, resp: falcon.Response, error: Unauthenticated, params: Mapping[str, Any]) -> None:
        refuse(req, resp, error, params)
        resp.set_header("WWW-Authenticate", challenge)

    app.add_error_handler(Exception, unforeseen)
    app.add_error_handler(errors.VolumedError, refuse)
    app.add_error_handler(Unauthenticated, stranger)
    app.add_error_handler(falcon.HTTPError, _falcons)
    app.add_error_handler(OperationalError, _database_away)
    app.add_error_handler(PoolTimeout, _database_away)


def refuse(req: ApiRequest, resp: falcon.Response, error: errors.VolumedError, params: Mapping[str, Any]) -> None:
    """Answer with an error of ours; the operation that it is about is named in a header, too."""
    code = code_of(error)
    if code is None:
        unforeseen(req, resp, error, params)
        return
    answer(resp, code, str(error))
    if operation_id := error.fields.get("operation_id"):
        resp.set_header("Volumed-Operation-Id", operation_id)


def unforeseen(req: ApiRequest, resp: falcon.Response, error: Exception, params: Mapping[str, Any]) -> None:
    """Answer 500 without telling a stranger what went wrong; the log has it under the request's id."""
    LOG.error("%s %s failed", req.method, req.path, exc_info=error)
    answer(resp, 500, f"The server has an error that was not foreseen; the log has it under {req.request_id}.")


def _database_away(req: ApiRequest, resp: falcon.Response, error: Exception, params: Mapping[str, Any]) -> None:
    LOG.warning("%s %s: the database cannot be used: %s", req.method, req.path, error)
    answer(resp, 503, "The database cannot be used now.")


def _falcons(req: Any, resp: falcon.Response, error: falcon.HTTPError, params: Mapping[str, Any]) -> None:
    messages = {404: "The resource could not be found.", 405: "The method is not allowed for this resource."}
    code = error.status_code
    answer(resp, code, messages.get(code) or error.description or error.title or "")
    for name, value in error.headers.items() if isinstance(error.headers, Mapping) else error.headers or ():
        resp.set_header(name, value)
