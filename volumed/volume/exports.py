"""Which initiator reaches which volume: what the attachments want, made so on the backend.

One mechanism for attach, detach and restart: the wanted set is read from the rows under the export's lock, and the
driver makes it true. An export that is right already is not touched.
"""

import logging

from volumed.db import attachments, volumes
from volumed.driver.exported import is_as_wanted
from volumed.driver.interface import Access, Prepares, VolumeRef
from volumed.model.errors import BackendError
from volumed.model.records import Volume
from volumed.model.states import WHOLE_VOLUME, VolumeStatus
from volumed.operations.locks import Claims, NodeLocks, ResourceLocked, export_lock
from volumed.volume.backend import Backend, accesses_of, volume_ref

LOG = logging.getLogger(__name__)

#: Volumes that a driver is told of at once: the first of them are not to wait for the last.
TOLD_AT_ONCE = 50

#: The lock of a volume's export, beside the lock of its data.
lock_of = export_lock


def settle(backend: Backend, volume: Volume, without: str | None = None, force: bool = False) -> None:
    """Make the export of ``volume`` what its attachments want; ``without`` leaves one of them out.

    ``force`` cuts a session of whoever loses its access. The caller holds the export's lock.
    """
    wanted = [access for access in backend.accesses_to(volume.id) if access.attachment_id != without]
    if wanted or backend.export_on_create:
        backend.driver.ensure_export(volume_ref(volume), wanted, force)
    else:
        backend.driver.remove_export(volume_ref(volume), force)


def reconcile(backend: Backend, locks: NodeLocks) -> bool:
    """Apply the difference between the actual exports and the wanted ones; False when some could not be settled.

    Actual first, wanted after: whatever came between is either seen as wanted or read again under its lock.
    """
    actual = backend.driver.exports()
    with backend.database.reading() as tx:
        reachable = attachments.reachable_on(tx, backend.host)
        always = volumes.placed_on(tx, backend.host) if backend.export_on_create else []
    wanted: dict[str, list[Access]] = {volume.id: [] for volume in always if volume.status in WHOLE_VOLUME}
    accesses, unreadable = accesses_of(reachable)
    wanted |= accesses
    # Whoever extends one that nobody is let in to settles it at the end: its export may be in the way until then.
    growing = {volume.id for volume in always if volume.status == VolumeStatus.EXTENDING} - accesses.keys()
    # Those that somebody uses first: after a reboot of the node their initiators wait.
    different = [
        volume_id
        for volume_id in sorted(
            (actual.keys() | wanted.keys()) - unreadable - growing, key=lambda each: (not wanted.get(each), each)
        )
        if not is_as_wanted(actual.get(volume_id), wanted.get(volume_id))
    ]
    settled = 0
    for at in range(0, len(different), TOLD_AT_ONCE):
        part = different[at : at + TOLD_AT_ONCE]
        _prepare(backend, [volume_id for volume_id in part if volume_id in wanted])
        settled += sum(_apply(backend, locks, volume_id) for volume_id in part)
    if different:
        LOG.info("exports of %s: %d differed, %d of them settled", backend.host, len(different), settled)
    return settled == len(different)


def _prepare(backend: Backend, volume_ids: list[str]) -> None:
    if isinstance(backend.driver, Prepares) and volume_ids:
        try:
            backend.driver.prepare_exports(volume_ids)
        except BackendError as error:
            LOG.warning("%d exports of %s cannot be prepared together: %s", len(volume_ids), backend.host, error)


def _apply(backend: Backend, locks: NodeLocks, volume_id: str) -> bool:
    try:
        with locks.holding(Claims(exclusive=[lock_of(volume_id)]), patience=0):
            with backend.database.reading() as tx:
                volume = volumes.find(tx, volume_id)
            if volume is None:
                backend.driver.remove_export(VolumeRef(id=volume_id, size=0, pool=""))
            elif volume.status != VolumeStatus.DELETING:
                settle(backend, volume)
            return True
    except ResourceLocked:
        return False  # an operation works on it and settles it, or the doctor looks at it: the next round sees
    except BackendError as error:
        LOG.warning("export of volume %s cannot be restored: %s", volume_id, error)
        return False
