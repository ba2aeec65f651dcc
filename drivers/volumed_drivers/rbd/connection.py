"""One connection to the cluster, made by the process that uses it and made again when it is lost.

Knows rados; knows nothing of images. A connection brings threads of its own, so one that a fork left behind is never
touched: not even to close it.
"""

import json
import os
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from volumed.driver.errors import BackendError, BackendUnreachable
from volumed_drivers.rbd import bindings, errors
from volumed_drivers.rbd.bindings import Bindings
from volumed_drivers.rbd.fence import Fence
from volumed_drivers.rbd.options import CONNECT_TIMEOUT

#: Connections that were made before a fork; to forget one would be to close it.
_LEFT_BEHIND: Final[list[object]] = []


@dataclass(slots=True)
class Link:
    """One connection, as it was made: whoever does what belongs together by one client keeps it meanwhile.

    ``features``: of new images, once somebody asked for them.
    """

    process: int
    cluster: Any
    ioctx: Any
    features: int | None = None

    @property
    def client(self) -> str:
        """Its number in the cluster, in hex: the ids of images that it makes begin so."""
        return f"{self.cluster.get_instance_id():x}"


class Connection:
    """To one pool and namespace, by the options of the backend's group."""

    def __init__(self, backend: str, options: Any, fence: Fence) -> None:
        self.backend = backend
        self._options = options
        self._fence = fence
        self._guard = threading.Lock()
        self._held: Link | None = None
        self._bindings: Bindings | None = None

    @property
    def place(self) -> str:
        """The pool, with its namespace, as Ceph's commands spell it."""
        namespace = self._options.rbd_namespace
        return f"{self._options.rbd_pool}/{namespace}" if namespace else str(self._options.rbd_pool)

    @property
    def modules(self) -> Bindings:
        if self._bindings is None:
            self._bindings = bindings.load(self.backend)
        return self._bindings

    @property
    def ioctx(self) -> Any:
        """Where the pool is reached. Full pools answer with an error and not with silence (rados.h, FULL_TRY)."""
        return self.link.ioctx

    @property
    def fsid(self) -> str:
        return str(self.link.cluster.get_fsid())

    def close(self) -> None:
        """Let go of it. It ends when the last call that uses it has ended; the next use makes another."""
        with self._guard:
            self._held = None

    def ask(self, command: str, **arguments: str) -> Any:
        """A command to the monitors; its answer. Raises as rados does."""
        request = json.dumps({"prefix": command, "format": "json", **arguments})
        status, answer, complaint = self.link.cluster.mon_command(request, b"")
        if status:
            raise self.modules.rados.OSError(f"{command}: {complaint}", errno=abs(status))
        return json.loads(answer)

    @contextmanager
    def translated(self, what: str, changes: bool = False) -> Iterator[None]:
        """Say in the backend's family what Ceph says about ``what``; a lost connection is made anew next time.

        What does not exist is believed only where the pool does.
        """
        try:
            yield
        except BackendError:
            raise
        except self.modules.rados.Error as error:
            raise self._judged(what, error, changes) from error
        except self.modules.rbd.Error as error:
            raise self._judged(what, error, changes) from error

    def _judged(self, what: str, error: Exception, changes: bool) -> BackendError:
        if errors.is_lost(error):
            self.close()
            traceback.clear_frames(error.__traceback__)  # or whoever keeps the error keeps the connection and its locks
        elif errors.is_missing(error):
            self._confirm_pool()
        return errors.translated(self.backend, what, error, changes)

    def _confirm_pool(self) -> None:
        """Raise ``BackendUnreachable`` when the pool or the namespace is gone, or another has its name now."""
        held, pool, namespace = self.link, self._options.rbd_pool, self._options.rbd_namespace
        try:
            held.cluster.wait_for_latest_osdmap()
            is_same = held.cluster.pool_exists(pool) and held.cluster.pool_lookup(pool) == held.ioctx.get_pool_id()
            found = is_same and (not namespace or self.modules.rbd.RBD().namespace_exists(held.ioctx, namespace))
        except (self.modules.rados.Error, self.modules.rbd.Error) as error:
            self.close()
            raise errors.translated(self.backend, f"pool {self.place}", error, changes=False) from error
        if not found:
            self.close()
            raise BackendUnreachable(backend=self.backend, reason=f"pool {self.place} is gone")

    @property
    def link(self) -> Link:
        """The connection as it is now."""
        with self._guard:
            held = self._held
            if held is not None and held.process != os.getpid():
                _LEFT_BEHIND.append(held)
                held = None
            if held is None:
                held = _in_a_thread_of_its_own(self._connect)
            self._held = held
            return held

    def _connect(self) -> Link:
        """Raises ``BackendUnreachable`` or ``BackendInvalid``."""
        rados, options = self.modules.rados, self._options
        try:
            cluster = self.modules.client(
                conffile=options.rbd_ceph_conf or rados.Rados.DEFAULT_CONF_FILES,
                rados_id=options.rbd_user,
                clustername=options.rbd_cluster_name,
                conf=self._settings(),
            )
            cluster.connect()
        except (rados.Error, OSError) as error:
            raise self._unreachable(f"cluster {options.rbd_cluster_name}", error) from error
        try:
            ioctx = cluster.open_ioctx(options.rbd_pool)
        except rados.ObjectNotFound as error:
            reason = f"there is no pool {options.rbd_pool} ([{self.backend}] rbd_pool)"
            raise BackendUnreachable(backend=self.backend, reason=reason) from error
        except rados.Error as error:
            raise self._unreachable(f"pool {options.rbd_pool}", error) from error
        ioctx.set_namespace(options.rbd_namespace or "")
        ioctx.set_osdmap_full_try()
        try:
            self._fence.enter(self.backend, rados, cluster, ioctx)
        except rados.Error as error:
            raise self._unreachable(f"pool {options.rbd_pool}", error) from error
        return Link(os.getpid(), cluster, ioctx)

    def _unreachable(self, what: str, error: Exception) -> BackendError:
        user = self._options.rbd_user or "admin"
        reason = f"{what} as client.{user} with {self._options.rbd_ceph_conf or 'the default files'}: {error}"
        return BackendUnreachable(backend=self.backend, reason=" ".join(reason.split()))

    def _settings(self) -> Mapping[str, str]:
        """All three timeouts, or something hangs for ever; clones of snapshots that need no protection (format 2)."""
        options = self._options
        return {
            "client_mount_timeout": str(max(0, options.rados_connect_timeout) or CONNECT_TIMEOUT),
            "rados_mon_op_timeout": str(options.rados_mon_op_timeout),
            "rados_osd_op_timeout": str(options.rados_osd_op_timeout),
            "rbd_default_clone_format": "2",
        }


def _in_a_thread_of_its_own(connect: Callable[[], Link]) -> Link:
    """Connect so that nobody else has the same address.

    A client is known by a random number. librados draws it from a generator of the thread, and a fork copies that with
    all that it will ever draw: two clients of one address then fall together when one is cut off (blocklisted).
    """
    with ThreadPoolExecutor(1, "ceph") as thread:
        return thread.submit(connect).result()
