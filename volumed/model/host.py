"""The name of a place: ``host@backend#pool``.

Source: the Block Storage API's ``os-vol-host-attr:host``.
"""

from volumed.model.records import Volume


def backend_of(host: str) -> str:
    """``host@backend`` of a place: the service, and the queue of its operations."""
    return host.partition("#")[0]


def pool_of(host: str) -> str | None:
    """The pool's name of a place, None where it names none."""
    return host.partition("#")[2] or None


def place(backend: str, pool: str) -> str:
    """The place of ``pool`` on ``host@backend``."""
    return f"{backend}#{pool}"


def is_placed_at(volume: Volume, service: str, storage_id: str | None) -> bool:
    """Whether the volume is on the service ``host@backend``, or on that storage by whichever service."""
    if volume.host is None:
        return False
    return backend_of(volume.host) == service or (storage_id is not None and volume.storage_id == storage_id)
