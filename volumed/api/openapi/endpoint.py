"""What is published of one method of one path, and the parameters that many of them have."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from volumed.api import idempotency, microversions
from volumed.api.openapi.words import COUNT, TEXT, Schema, named, one_of

#: Codes with which any request that is asked who it comes from may be refused.
REFUSALS: Final = (400, 401, 403, 404, 406, 429, 503)

#: Codes of a request that is accepted once for its key.
KEY_REFUSALS: Final = (409, 413, 422)

TEXT_MEDIA: Final = "text/plain"

#: Source: WHATWG HTML, 9.2 (server-sent events).
STREAM_MEDIA: Final = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """``answers`` are the bodies by code (None: no body), ``body`` is the schema of the request's."""

    method: str
    path: str
    summary: str
    tag: str
    answers: Mapping[int, Schema | None]
    body: Schema | None = None
    #: The microversion, of major 3, that it came with.
    since: int = 0
    queries: tuple[Mapping[str, Any], ...] = ()
    #: Codes of refusals beside ``REFUSALS``.
    refusals: tuple[int, ...] = ()
    #: Whether it may name an operation in its answer.
    operates: bool = False
    #: Whether an Idempotency-Key is kept.
    keyed: bool = False
    #: Whether it answers with an entity tag, and may ask for one.
    tagged: bool = False
    is_open: bool = False
    media: str = "application/json"
    #: Media types beside it in which the answer goes on, for those who accept them.
    streams: tuple[str, ...] = ()
    values: Mapping[str, Schema] = field(default_factory=dict)


def query(name: str, schema: Schema = TEXT, description: str = "") -> Mapping[str, Any]:
    """A parameter of the query that need not be given."""
    told = {"name": name, "in": "query", "required": False, "schema": schema}
    return told | ({"description": description} if description else {})


def header(name: str, description: str, schema: Schema = TEXT) -> Mapping[str, Any]:
    """A header that a request need not have."""
    return {"name": name, "in": "header", "required": False, "schema": schema, "description": description}


#: Parameters that say which page of a list in which order.
PAGE: Final = (
    query("limit", COUNT, "Entries of a page at most; the service has a limit of its own."),
    query("offset", COUNT, "Entries to pass over."),
    query("marker", TEXT, "The id of the entry behind which the page begins."),
    query("sort", TEXT, "Keys with directions: `name:asc,created_at:desc`."),
    query("sort_key", TEXT, "Keys to sort by, the older way."),
    query("sort_dir", TEXT, "The directions of `sort_key`."),
)
EVERY_PROJECT: Final = query("all_tenants", TEXT, "For administrators: the things of all projects.")
WITH_COUNT: Final = query("with_count", TEXT, "Whether to tell how many there are, since 3.45.")


def filters(names: Iterable[str]) -> tuple[Mapping[str, Any], ...]:
    """A filter for each name."""
    return tuple(query(name) for name in names)


VERSION: Final = header(
    microversions.HEADER,
    "The microversion: `volume 3.N` or `volume latest`; without it 3.0.",
    {"type": "string", "examples": [f"volume {microversions.spelled(microversions.MAXIMUM)}"]},
)
REQUEST_ID: Final = header("X-OpenStack-Request-ID", "The id of the request this one is part of: `req-UUID`.")
KEY: Final = header(
    idempotency.HEADER,
    "Chosen by the client: a key's request is carried out once, and answered again when it is repeated. Kept 24 h.",
    {"type": "string", "pattern": r"^[\x21-\x7e]{1,191}$"},
)
LAST_EVENT: Final = header(
    "Last-Event-ID",
    "The position up to which a stream was received; goes before `after`.",
    {"type": "string", "pattern": r"^[0-9]{1,18}$"},
)
IF_MATCH: Final = header("If-Match", "Since 3.15: refuse with 412 when the metadata are not those of this ETag.")

#: Parameters that many have, written once.
SHARED: Final = (*PAGE, EVERY_PROJECT, WITH_COUNT, VERSION, REQUEST_ID, KEY, IF_MATCH)

#: Headers of answers, by the name of their component.
ANSWER_HEADERS: Final[Mapping[str, Mapping[str, Any]]] = {
    "RequestId": {"description": "The id under which the log has this request.", "schema": TEXT, "required": True},
    "Version": {"description": "The microversion of the answer.", "schema": TEXT, "required": True},
    "Operation": {
        "description": "The operation that the request became, or that it is refused because of: /v3/operations/{id}.",
        "schema": {"type": "string"},
    },
    "Replayed": {"description": "The key's request was carried out before.", "schema": one_of(("true",))},
    "RetryAfter": {"description": "Seconds to wait.", "schema": {"type": "integer"}, "required": True},
    "Challenge": {"description": "How to say who asks.", "schema": TEXT, "required": True},
    "Tag": {"description": "Of the metadata, since 3.15.", "schema": TEXT},
}

ERROR: Final = named("Error")
