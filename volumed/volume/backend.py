"""One backend as the operations see it: its driver and everything they need beside it.

Turns rows into the values a driver is told, and knows nothing of RPC or of how operations are claimed.
"""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

from volumed.db import attachments
from volumed.db.engine import Database
from volumed.driver.interface import Access, Driver
from volumed.driver.references import access_of, accesses_of, is_leaving, is_reachable, snapshot_ref, volume_ref
from volumed.model.errors import BackendUnreachable, SecretUnreadable
from volumed.model.records import Operation, Volume

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

    @cached_property
    def copies_in_one_instant(self) -> bool:
        """Whether a snapshot or copy of an attached volume is a true instant; asked once, since a measure costs."""
        return self.driver.capabilities().snapshot_attached_support

    @cached_property
    def extends_in_use(self) -> bool:
        """Whether those who are logged in see a volume's new size; asked once, too."""
        return self.driver.capabilities().online_extend_support

    def refuse_elsewhere(self, volume: Volume, operation: Operation) -> None:
        """Raise ``BackendUnreachable`` where the driver serves another storage now than the volume's.

        Another pool or folder was configured since: what is missing here is not gone there. An ``operation`` that is
        forced leaves the data there.
        """
        is_served = not self.storages or volume.storage_id is None or volume.storage_id in self.storages
        if is_served or operation.args.get("force"):
            return
        reason = (
            f"volume {volume.id} is on storage {volume.storage_id}, and this service serves"
            f" {', '.join(sorted(self.storages))} now: configure that again, or delete the volume by force and leave"
            " its data there"
        )
        raise BackendUnreachable(backend=self.host, reason=reason)

    def accesses_to(self, volume_id: str) -> list[Access]:
        """Who may reach the volume now, by its attachments; read under the lock of its export.

        Whoever is being detached is in until that very detach puts it out: another's neither cuts its session nor waits
        for the end of it.
        """
        with self.database.reading() as tx:
            rows = attachments.of_volume(tx, volume_id)
        found = [access_of(row) for row in rows if is_reachable(row)]
        for row in filter(is_leaving, rows):
            with suppress(SecretUnreadable):  # whoever leaves needs no secret any more
                found.append(access_of(row))
        return found

    def is_attached(self, operation: Operation, volume_id: str) -> bool:
        """Whether anybody may be writing to the volume that ``operation`` copies.

        An attachment that was made after the operation was accepted is not let in before the copy has ended.
        """
        with self.database.reading() as tx:
            rows = attachments.of_volume(tx, volume_id)
        may_write = (row for row in rows if is_reachable(row) or is_leaving(row))
        return any(row.created_at <= operation.created_at for row in may_write)
