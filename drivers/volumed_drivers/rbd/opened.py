"""An image while it is open, and who else has it open.

Knows librbd; knows nothing of marks.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from volumed.driver.errors import BackendBusy
from volumed_drivers.rbd.connection import Connection


@contextmanager
def opened(
    connection: Connection, name: str | None = None, image_id: str | None = None, read_only: bool = False
) -> Iterator[Any]:
    """The image by its name, or by its id in the trash too. Raises as rbd does."""
    image = connection.modules.rbd.Image(connection.ioctx, name, read_only=read_only, image_id=image_id)
    try:
        yield image
    finally:
        image.close()


def refuse_if_watched(connection: Connection, what: str, image_id: str) -> None:
    """Raise ``BackendBusy`` that names the clients that have the image open for writing.

    Whoever has it open only for reading leaves no trace in the cluster. One whose parent is gone cannot be opened, and
    counts as free.
    """
    try:
        with opened(connection, image_id=image_id, read_only=True) as image:
            found = sorted({str(watcher["addr"]) for watcher in image.watchers_list()})
    except connection.modules.rbd.ImageNotFound:
        return
    if found:
        raise BackendBusy(what=what, backend=connection.backend, reason=f"in use by the clients {', '.join(found)}")
