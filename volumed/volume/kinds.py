"""Every kind of operation that may stand in the queue of a backend."""

from collections.abc import Callable, Sequence

from volumed.db.operations import NewOperation
from volumed.operations.procedure import Procedure
from volumed.volume.attach import Attach
from volumed.volume.backend import Backend
from volumed.volume.capabilities import Reporter
from volumed.volume.cleanup import Cleanup
from volumed.volume.create import CreateVolume
from volumed.volume.create_snapshot import CreateSnapshot
from volumed.volume.delete import DeleteVolume
from volumed.volume.delete_snapshot import DeleteSnapshot
from volumed.volume.detach import Detach
from volumed.volume.extend import ExtendVolume
from volumed.volume.flatten import FlattenVolume
from volumed.volume.manage import ManageVolume
from volumed.volume.manage_snapshot import ManageSnapshot
from volumed.volume.purge import PurgeVolume, Remainders
from volumed.volume.reset import ResetSnapshot, ResetVolume
from volumed.volume.revert import RevertVolume
from volumed.volume.unmanage import UnmanageSnapshot, UnmanageVolume


def procedures(
    backend: Backend,
    reporter: Reporter,
    unsettle: Callable[[], None],
    wake: Callable[[NewOperation], None],
    count_gigabytes: bool,
    count_until_purged: bool,
) -> Sequence[Procedure]:
    """How each is done.

    ``unsettle`` has the exports compared again; ``wake`` runs an operation that the end of another one queued;
    ``count_gigabytes``: of snapshots, too; ``count_until_purged``: a deleted volume, until what is left of it is free.
    """
    remainders = Remainders(wake)
    return (
        CreateVolume(backend, reporter, remainders, wake),
        DeleteVolume(backend, reporter, remainders, count_gigabytes, count_until_purged),
        ExtendVolume(backend, reporter, unsettle),
        CreateSnapshot(backend, reporter),
        DeleteSnapshot(backend, reporter, count_gigabytes),
        Attach(backend, unsettle),
        Detach(backend, unsettle),
        RevertVolume(backend, reporter),
        Cleanup(backend, reporter, remainders),
        PurgeVolume(backend, reporter),
        FlattenVolume(backend, reporter),
        ResetVolume(backend),
        ResetSnapshot(backend),
        ManageVolume(backend, reporter),
        UnmanageVolume(backend, reporter),
        ManageSnapshot(backend, reporter),
        UnmanageSnapshot(backend, reporter, count_gigabytes),
    )
