"""iSCSI exports of local block devices by the kernel's LIO; every effect is the helper's.

Knows exports and accesses, and whom the helper calls what; knows nothing of configfs.
"""

import hashlib
import logging
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from volumed.driver.errors import (
    BackendInvalid,
)
from volumed.driver.interface import Access, ActualExport, Export, Leftover
from volumed.driver.registry import Setup
from volumed_drivers.helper.client import Client, Helper, Kind
from volumed_drivers.helper.errors import translated
from volumed_drivers.targets.lio.requests import (
    PROTOCOL,
    Acl,
    Apply,
    Exports,
    Names,
    Remove,
    Scope,
    Sessions,
    check,
)
from volumed_drivers.targets.portals import addresses_of, connection_info, portals_of

LOG = logging.getLogger(__name__)

#: Number of a volume's LUN.
LUN = 1


#: Seconds that a request may take: LIO waits for commands in flight when it cuts a session.
TIMEOUT = 45.0


def helper_for(*exportable: str) -> Kind:
    """The helper of LIO; one that we start ourselves may export the paths that begin so."""
    words = ("-m", "volumed_drivers.targets.lio.helper", "--load-modules")
    paths = (word for path in exportable for word in ("--path", path))
    return Kind("lio", PROTOCOL, TIMEOUT, (sys.executable, *words, *paths))


class LioTarget:
    """The ``lio`` target. Its exports are the kernel's: they outlive this service, and end with the node."""

    storage_protocol = "iSCSI"
    shows_growth = True

    def __init__(self, setup: Setup, helper: Helper | None = None) -> None:
        options = setup.options
        self._backend = setup.backend
        self._options = options
        portals = portals_of(addresses_of(options), options.target_port)
        self._scope = Scope(owner=_mark(setup), prefix=f"{options.target_prefix}volume-", portals=tuple(portals))
        exportable = ("/dev/", f"{setup.state_path.resolve()}/")
        self._helper = helper or Client(helper_for(*exportable), Path(options.lio_helper_socket))
        #: Volumes that have a target as far as we know: what a health check misses.
        self._known: set[str] = set()

    def setup(self) -> None:
        if not self._options.target_port:
            raise self._invalid("target_port = 0", "LIO's targets of a node share their port: name one, such as 3260")
        with translated(self._backend, "start"):
            self._helper.meet()

    def close(self) -> None:
        """Nothing runs here, so nothing ends: a restart finds every export as it was."""

    def check_health(self) -> bool:
        """Meet the helper, which is started again if it died: that loses nothing. True: a target of ours is gone."""
        with translated(self._backend, "check the exports"):
            self._helper.meet()
            return bool(self._known - set(self._helper.ask(Names(self._scope))))

    def apply(self, export: Export, force: bool = False) -> None:
        what = f"export volume {export.volume_id}"
        with translated(self._backend, what):
            request = Apply(
                scope=self._scope,
                volume_id=export.volume_id,
                path=export.path,
                size_bytes=export.size_bytes,
                write_cache=self._options.iscsi_write_cache,
                authenticates=self._options.use_chap_auth,
                acls=_merged(self._acl(what, access) for access in export.accesses),
                force=force,
            )
            check(request)
            self._helper.ask(request)
        self._known.add(export.volume_id)

    def remove(self, volume_id: str, force: bool = False) -> None:
        self._known.discard(volume_id)
        with translated(self._backend, f"remove the export of volume {volume_id}"):
            self._helper.ask(Remove(self._scope, volume_id, force))

    def exports(self) -> Mapping[str, ActualExport]:
        with translated(self._backend, "list exports"):
            found = [_actual(each) for each in self._helper.ask(Exports(self._scope))]
        self._known = {each.volume_id for each in found if each.path is not None}
        return {each.volume_id: each for each in found}

    def sessions(self, volume_id: str) -> tuple[str, ...]:
        with translated(self._backend, f"list the sessions of volume {volume_id}"):
            return tuple(self._helper.ask(Sessions(self._scope, volume_id)))

    def audit(self) -> Sequence[Leftover]:
        return [
            Leftover("export", volume_id, self._scope.prefix + volume_id, f"LIO export of {found.path or 'nothing'}")
            for volume_id, found in self.exports().items()
        ]

    def remove_leftover(self, leftover: Leftover) -> None:
        if leftover.id is not None:
            self.remove(leftover.id)

    def connection_info(self, export: Export, access: Access) -> dict[str, Any]:
        name = self._scope.prefix + export.volume_id
        return connection_info(export, access, self._scope.portals, name, LUN)

    def _acl(self, what: str, access: Access) -> Acl:
        if access.initiator is None:
            raise self._invalid(what, f"LIO lets in by name, and attachment {access.attachment_id} has no initiator")
        return Acl(access.initiator.lower(), access.username, access.password, access.read_only)

    def _invalid(self, what: str, reason: str) -> BackendInvalid:
        return BackendInvalid(backend=self._backend, what=what, reason=reason)


def _mark(setup: Setup) -> str:
    """12 hexadecimal digits for whose the exports are, on their backstores."""
    return hashlib.sha256(f"{setup.owner.deployment}/{setup.owner.backend}".encode()).hexdigest()[:12]


def _actual(told: Mapping[str, Any]) -> ActualExport:
    return ActualExport(
        volume_id=told["volume_id"],
        path=told["path"],
        size_bytes=told["size_bytes"],
        usernames=frozenset(told["accounts"].values()),
        initiators=frozenset(told["initiators"]),
        sessions=tuple(told["sessions"]),
    )


def _merged(acls: Iterable[Acl]) -> tuple[Acl, ...]:
    """One for each initiator that has one secret; it may write where one of its attachments may."""
    found: dict[tuple[str, str, str], Acl] = {}
    for acl in acls:
        key = (acl.initiator, acl.username, acl.password)
        known = found.setdefault(key, acl)
        found[key] = replace(known, read_only=known.read_only and acl.read_only)
    return tuple(found.values())
