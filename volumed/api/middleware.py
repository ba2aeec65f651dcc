"""What every request passes before its handler, in this order; each class is one idea.

Requests get an id, the project leaves the path, the caller is identified, the microversion settled, the body read.
"""

import logging
import re
from uuid import uuid4

import falcon

from volumed.api import microversions, paths
from volumed.api.answers import OPERATION_HEADER
from volumed.api.request import ApiRequest
from volumed.api.traced import ROUTE
from volumed.identity.callers import Identity, Unauthenticated
from volumed.model import subject
from volumed.model.errors import Invalid
from volumed.model.subject import Subject

LOG = logging.getLogger(__name__)

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ESCAPED_CONTROL = re.compile(r"%(?:[01][0-9a-fA-F]|7[fF])|[\x00-\x1f\x7f]")
_GLOBAL_REQUEST_ID = re.compile(r"req-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class RequestIds:
    """Gives each request its id, names it in the answer and logs what was answered: changes at info, looks at debug."""

    def process_request(self, req: ApiRequest, resp: falcon.Response) -> None:
        req.request_id = f"req-{uuid4()}"
        subject.begin(Subject(req.request_id))
        asked = req.get_header("X-OpenStack-Request-ID")
        req.global_request_id = asked if asked and _GLOBAL_REQUEST_ID.fullmatch(asked) else None
        resp.set_header("x-openstack-request-id", req.request_id)
        resp.set_header("x-compute-request-id", req.request_id)

    def process_response(self, req: ApiRequest, resp: falcon.Response, resource: object, req_succeeded: bool) -> None:
        level = logging.DEBUG if req.method in {"GET", "HEAD"} else logging.INFO
        with subject.about(operation_id=resp.get_header(OPERATION_HEADER)):
            LOG.log(level, "%s %s from %s: %s", req.method, req.path, req.remote_addr, resp.status_code)
        subject.begin(subject.NOTHING)
        req.env[ROUTE] = req.uri_template


class PlainText:
    """Refuses control characters in paths and queries: no id or name has one, and not every database takes them."""

    def process_request(self, req: ApiRequest, resp: falcon.Response) -> None:
        if _CONTROL.search(req.path) or _ESCAPED_CONTROL.search(req.query_string):
            raise Invalid(reason="The path or the query has control characters.")


class ProjectPaths:
    """Makes ``/v3/PROJECT/volumes`` and ``/v3/volumes`` the same. ``collections``: what may follow ``/v3``."""

    def __init__(self, collections: frozenset[str]) -> None:
        self._collections = collections

    def process_request(self, req: ApiRequest, resp: falcon.Response) -> None:
        parts = req.path.split("/", 3)
        if len(parts) < 3 or parts[1] != "v3" or not parts[2] or parts[2] in self._collections:
            return
        req.path_project = parts[2]
        req.path = "/v3/" + parts[3] if len(parts) == 4 else "/v3"


class Authentication:
    """Identifies the caller; the project of the path must be the caller's, unless that is an administrator."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    def process_request(self, req: ApiRequest, resp: falcon.Response) -> None:
        if req.path in paths.OPEN:
            return
        caller = self._identity.caller(req.env, req.request_id, req.global_request_id)
        if caller is None:
            raise Unauthenticated
        if req.path_project is not None and req.path_project != caller.project_id and not caller.is_admin:
            raise Invalid(reason="Malformed request url")
        req.caller = caller


class Microversions:
    """Settles the version that the request is answered in, and names it in the answer."""

    def process_request(self, req: ApiRequest, resp: falcon.Response) -> None:
        if not req.path.startswith("/v3"):
            return
        resp.set_header("Vary", microversions.HEADER)
        req.minor = microversions.minor_of(req.get_header(microversions.HEADER))
        resp.set_header(microversions.HEADER, f"{microversions.SERVICE} {microversions.spelled(req.minor)}")


class Bodies:
    """Reads the body, of ``limit`` bytes at most."""

    def __init__(self, limit: int) -> None:
        self._limit = limit

    def process_request(self, req: ApiRequest, resp: falcon.Response) -> None:
        if req.method in {"GET", "HEAD", "DELETE", "OPTIONS"}:
            return
        length = req.content_length
        if length is None and req.get_header("Transfer-Encoding", default="").lower() != "chunked":
            return  # without a length only a chunked body has an end of its own; any other would be waited for in vain
        if (length or 0) > self._limit:
            raise self._too_large()
        try:
            req.body = (req.stream if length is None else req.bounded_stream).read(self._limit + 1)
        except (ValueError, OverflowError, ConnectionError) as error:
            raise Invalid(reason="The body breaks off, or its chunks are malformed.") from error
        except TimeoutError as error:
            raise falcon.HTTPError("408 Request Timeout", description="The body has not come.") from error
        except OSError as error:  # cheroot's, of a chunk that is larger than the server takes
            raise self._too_large() from error
        if len(req.body) > self._limit:
            raise self._too_large()
        if length is not None and len(req.body) < length:
            raise Invalid(reason=f"The body has {len(req.body)} bytes of the {length} that Content-Length says.")

    def _too_large(self) -> falcon.HTTPContentTooLarge:
        return falcon.HTTPContentTooLarge(description=f"The body has more than {self._limit} bytes.")
