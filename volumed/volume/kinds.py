"""Every kind of operation that may stand in the queue of a backend."""

from collections.abc import Callable, Sequence

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
from volumed.volume.manage import ManageVolume
from volumed.volume.manage_snapshot import ManageSnapshot
from volumed.volume.reset import ResetSnapshot, ResetVolume
from volumed.volume.revert import RevertVolume
from volumed.volume.unmanage import UnmanageSnapshot, UnmanageVolume


def procedures(
    backend: Backend, reporter: Reporter, unsettle: Callable[[], None], count_gigabytes: bool
) -> Sequence[Procedure]:
    """How each is done. ``unsettle`` has the exports compared again; ``count_gigabytes``: of snapshots, too."""
    return (
        CreateVolume(backend, reporter),
        DeleteVolume(backend, reporter, count_gigabytes),
        ExtendVolume(backend, reporter),
        CreateSnapshot(backend, reporter),
        DeleteSnapshot(backend, reporter, count_gigabytes),
        Attach(backend, unsettle),
        Detach(backend, unsettle),
        RevertVolume(backend, reporter),
        Cleanup(backend, reporter),
        ResetVolume(backend),
        ResetSnapshot(backend),
        ManageVolume(backend, reporter),
        UnmanageVolume(backend, reporter),
        ManageSnapshot(backend, reporter),
        UnmanageSnapshot(backend, reporter, count_gigabytes),
    )
