"""An event as JSON, and as a part of a stream; not part of OpenStack's API.

Source of the stream's form: WHATWG HTML, 9.2.5 (parsing an event stream) and 9.2.6 (interpreting it).
"""

from typing import Any

import orjson

from volumed.api.moments import spelled
from volumed.model.records import Event

#: Milliseconds that a client waits before it connects again.
RETRY = 1000


def event(told: Event, shows_host: bool) -> dict[str, Any]:
    """The event; ``shows_host``: also on which backend its resource is."""
    return {
        "id": told.position,
        "event_type": told.event_type,
        "resource_type": told.resource_type,
        "resource_id": told.resource_id,
        "sequence": told.sequence,
        "project_id": told.project_id,
        "operation_id": told.operation_id,
        "request_id": told.request_id,
        "payload": {name: value for name, value in told.payload.items() if shows_host or name != "host"},
        "created_at": spelled(told.created_at),
    }


def block(told: Event, shows_host: bool) -> bytes:
    """The event in a stream: ``data`` is one line, since JSON has no line end of its own."""
    data = orjson.dumps(event(told, shows_host))
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (told.position or 0, told.event_type.encode(), data)


def opening(position: int) -> bytes:
    """The first block: when to connect again, and from where even if no event comes."""
    return b"retry: %d\nid: %d\n\n" % (RETRY, position)


def heartbeat(position: int) -> bytes:
    """A comment, and the position: without data no event is dispatched, but the next connection begins there."""
    return b": %d\nid: %d\n\n" % (position, position)
