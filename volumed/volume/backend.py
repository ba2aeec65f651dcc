"""One backend as the operations see it: its driver and everything they need beside it.

Turns rows into the values a driver is told, and knows nothing of RPC or of how operations are claimed.
"""

from collections.abc import Collection
from dataclasses import dataclass

from volumed.db import attachments
from volumed.db.engine import Database
from volumed.driver.interface import Access, Driver
from volumed.driver.references import access_of, accesses_of, is_reachable, snapshot_ref, volume_ref
from volumed.model.records import Operation

__all__ = ["Backend", "access_of", "accesses_of", "snapshot_ref", "volume_ref"]


@dataclass(frozen=True)
class Backend:
    """``host`` is ``host@backend``; ``export_on_create``: a volume is exported from its creation on.

    ``storages``: ids of what the driver serves, from when it is up.
    """

    host: str
    driver: Driver
    database: Database
    export_on_create: bool
    storages: Collection[str] = ()

    def accesses_to(self, volume_id: str) -> list[Access]:
        """Who may reach the volume now, by its attachments; read under the lock of its export."""
        with self.database.reading() as tx:
            rows = attachments.of_volume(tx, volume_id)
        return [access_of(row) for row in rows if is_reachable(row)]

    def is_attached(self, operation: Operation, volume_id: str) -> bool:
        """Whether anybody may be writing to the volume that ``operation`` copies.

        An attachment that was made after the operation was accepted is not let in before the copy has ended.
        """
        with self.database.reading() as tx:
            rows = attachments.of_volume(tx, volume_id)
        return any(is_reachable(row) and row.created_at <= operation.created_at for row in rows)
