"""One iSCSI target a volume, in the kernel: who may log in, through which portals, to which backstore.

Every call may be killed between two writes and asked again. The order is what keeps strangers out and finds leftovers:
the backstore, which carries the owner's mark, comes first and goes last; an initiator's disk is the last thing that it
gets and the first that it loses; a target is enabled when all is in place. One volume's call never waits for another's.
Knows configfs; knows nothing of sockets.
"""

import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from volumed.driver.crash import crash_point
from volumed_drivers.helper.wire import Refused
from volumed_drivers.targets.lio import tree
from volumed_drivers.targets.lio.backstores import Backstore, Backstores, name_of
from volumed_drivers.targets.lio.requests import Acl, Apply, Remove, Scope

CONFIGFS = Path("/sys/kernel/config/target")

#: Number of a volume's LUN, as tgt's.
LUN = 1

#: How the connection of an initiator's LUN with the target's is called.
CONNECTION = "lun"

#: Seconds that a call waits for an earlier one on the same volume, whose caller may have died.
PATIENCE = 20.0

#: Seconds for a session to end whose initiator has just logged out, or been told to: LIO ends it when it has answered.
LOGOUT_PATIENCE = 4.0

#: Nobody is let in unnamed; what is mapped to an initiator is read-only until it is said otherwise.
ATTRIBUTES = {"generate_node_acls": "0", "prod_mode_write_protect": "1"}

_SESSION = re.compile(r"^InitiatorName: (\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Exported:
    """An export as it is found. ``path`` None: it is not whole. ``accounts`` has those who can log in, by initiator."""

    volume_id: str
    path: str | None
    size_bytes: int
    initiators: tuple[str, ...]
    accounts: Mapping[str, str]
    sessions: tuple[str, ...]


class Fabric:
    """LIO below ``root``; ``allowed`` are the folders whose devices and files may be exported."""

    def __init__(self, allowed: tuple[str, ...] = ("/dev/",), root: Path = CONFIGFS) -> None:
        self._root = root
        self._iscsi = root / "iscsi"
        self._stores = Backstores(root / "core", allowed)
        self._volumes = _Volumes()

    def meet(self) -> None:
        """Find LIO, and have its iSCSI part loaded. Raises ``Refused`` with the command that helps."""
        if not (self._root / "core").is_dir():
            helps = "modprobe target_core_mod, and mount -t configfs none /sys/kernel/config"
            raise Refused("unreachable", f"{self._root} is not there: {helps}")
        try:
            tree.make(self._iscsi)  # the kernel loads iscsi_target_mod (request_module)
        except OSError as error:
            reason = f"the kernel has no iSCSI target: modprobe iscsi_target_mod: {error.strerror}"
            raise Refused("unreachable", reason) from error

    def apply(self, wanted: Apply, peer: int) -> None:
        """Make the export exactly this one, touching only what differs; ``peer`` is the user who asks.

        Raises ``Refused``: ``busy`` when an initiator that is to lose its access is logged in and it is not forced, or
        a disk that must be made again.
        """
        with self._volumes.one(wanted.volume_id):
            target = self._target(wanted.scope, wanted.volume_id)
            target.refuse_stranger()
            found = self._stores.find(wanted.scope.owner, wanted.volume_id)
            if found is not None and not self._stores.is_right(found, wanted, peer):
                target.refuse_if_logged_in(f"its disk is {found.path()} and shall be {wanted.path}")
                target.remove()
                self._stores.remove(wanted.scope.owner, wanted.volume_id)
                found = None
            backstore = self._stores.ensure(wanted, peer, found)
            target.ensure(backstore, wanted)
            crash_point("lio.applied")

    def remove(self, asked: Remove) -> None:
        """Remove the export, whole or half-made; an absent one is fine.

        Raises ``Refused`` (``busy``) when an initiator is logged in and it is not forced.
        """
        with self._volumes.one(asked.volume_id):
            target = self._target(asked.scope, asked.volume_id)
            if not target.is_strangers():
                if not asked.force:
                    target.refuse_if_logged_in("it was not forced")
                target.remove()
            self._stores.remove(asked.scope.owner, asked.volume_id)
            crash_point("lio.removed")

    def exports(self, scope: Scope) -> list[Exported]:
        """Every export of the owner, half-made ones among them. Strangers' targets are looked at only by name."""
        stores = self._stores.all_of(scope.owner)
        return [self._exported(scope, volume_id, store) for volume_id, store in sorted(stores.items())]

    def names(self, scope: Scope) -> list[str]:
        """The volumes that have a target with the scope's prefix."""
        return [name.removeprefix(scope.prefix) for name in tree.entries(self._iscsi) if name.startswith(scope.prefix)]

    def sessions(self, scope: Scope, volume_id: str) -> list[str]:
        """The initiators that are logged in to the volume's export."""
        target = self._target(scope, volume_id)
        return [] if target.is_strangers() else target.sessions()

    def _target(self, scope: Scope, volume_id: str) -> "_Target":
        return _Target(self._iscsi / (scope.prefix + volume_id), name_of(scope.owner, volume_id))

    def _exported(self, scope: Scope, volume_id: str, store: Backstore) -> Exported:
        target = self._target(scope, volume_id)
        initiators = target.initiators()
        path = store.path()
        return Exported(
            volume_id=volume_id,
            path=path if target.is_whole(store, scope.portals) else None,
            size_bytes=store.size_bytes(path),
            initiators=tuple(initiators),
            accounts=target.accounts(initiators),
            sessions=tuple(target.sessions(initiators)),
        )


class _Target:
    """One target; ``mark`` is the name of the backstore that makes it ours."""

    def __init__(self, folder: Path, mark: str) -> None:
        self._folder = folder
        self._group = folder / "tpgt_1"
        self._acls = self._group / "acls"
        self._lun = self._group / "lun" / f"lun_{LUN}"
        self._mark = mark

    # --- whose it is, and who is there --------------------------------------------------------------------------

    def is_strangers(self) -> bool:
        """Whether it exports something that is not the volume's backstore of this owner."""
        for lun in tree.entries(self._group / "lun"):
            for connection in tree.links(self._group / "lun" / lun):
                if connection.readlink().name != self._mark:
                    return True
        return any(group != "tpgt_1" for group in tree.entries(self._folder) if group.startswith("tpgt_"))

    def refuse_stranger(self) -> None:
        if self.is_strangers():
            raise Refused("invalid", f"there is a target {self._folder.name} that is not ours; who made it removes it")

    def initiators(self) -> list[str]:
        return tree.entries(self._acls)

    def accounts(self, initiators: Sequence[str]) -> dict[str, str]:
        """User names by initiator, of those who have a disk and a secret: so is an access that was finished."""
        found = {}
        for initiator in initiators:
            acl = self._acls / initiator
            username = tree.read(acl / "auth/userid")
            if username and _has_disk(acl / f"lun_{LUN}"):
                found[initiator] = username
        return found

    def sessions(self, initiators: Sequence[str] | None = None) -> list[str]:
        """Those of ``initiators`` (None: of all) that are logged in."""
        return [each for each in (self.initiators() if initiators is None else initiators) if self._is_logged_in(each)]

    def refuse_if_logged_in(self, why: str, initiators: Sequence[str] | None = None) -> None:
        """Wait for the end of the sessions of ``initiators`` (None: of all). Raises ``Refused`` (``busy``)."""
        deadline = time.monotonic() + LOGOUT_PATIENCE
        while sessions := self.sessions(initiators):
            if time.monotonic() >= deadline:
                raise Refused("busy", f"logged in: {', '.join(sessions)}, and {why}")
            time.sleep(0.02)

    def is_whole(self, store: Backstore, portals: tuple[str, ...]) -> bool:
        return (
            tree.read(self._group / "enable") == "1"
            and self._is_linked(store)
            and all((self._group / "np" / portal).is_dir() for portal in portals)
        )

    def _is_logged_in(self, initiator: str) -> bool:
        return _SESSION.search(tree.read(self._acls / initiator / "info")) is not None

    def _is_linked(self, store: Backstore) -> bool:
        """By the name that we give the connection, or by another's."""
        mark = store.folder.name
        return tree.linked(self._lun / self._mark) == mark or any(
            tree.linked(connection) == mark for connection in tree.links(self._lun)
        )

    # --- made as it is wanted -----------------------------------------------------------------------------------

    def ensure(self, store: Backstore, wanted: Apply) -> None:
        tree.make(self._folder)
        new = tree.make(self._group)
        attributes = ATTRIBUTES | {"authentication": f"{wanted.authenticates:d}"}
        for name, value in attributes.items():
            tree.ensure_if_known(self._group / "attrib" / name, value, new)
        if tree.make(self._lun, new) or not self._is_linked(store):
            tree.link(self._lun / self._mark, store.folder)
        self._ensure_portals(wanted.scope.portals, new)
        for acl in wanted.acls:
            self._ensure_acl(acl)
        tree.ensure(self._group / "enable", "1", new)
        if not new:
            self._revoke_others(wanted.acls, wanted.force)

    def _revoke_others(self, acls: tuple[Acl, ...], force: bool) -> None:
        """Last of all: those who are to come are in, whoever does not leave yet. Who is not logged in goes first."""
        leaving = set(self.initiators()) - {acl.initiator for acl in acls}
        for initiator in sorted(leaving, key=lambda each: (bool(self.sessions([each])), each)):
            if not force:
                self.refuse_if_logged_in("its access ends, and it was not forced", [initiator])
            self._remove_acl(initiator)

    def _ensure_acl(self, acl: Acl) -> None:
        """The disk is mapped when the secret is there; LIO lets nobody in whose secret is not set."""
        folder = self._acls / acl.initiator
        new = tree.make(folder)
        password = folder / "auth/password"
        if new or password.stat().st_mode & 0o077:
            password.chmod(0o600)
        tree.ensure(folder / "auth/userid", acl.username, new)
        tree.ensure(password, acl.password, new)
        mapped = folder / f"lun_{LUN}"
        unmapped = tree.make(mapped, new)
        if unmapped or not _has_disk(mapped):
            tree.link(mapped / CONNECTION, self._lun)
        tree.ensure(mapped / "write_protect", "1" if acl.read_only else "0", unmapped)

    def _ensure_portals(self, portals: tuple[str, ...], new: bool) -> None:
        """Listen there. Where it listened before stays for those who are logged in."""
        found = set() if new else set(tree.entries(self._group / "np"))
        for portal in portals:
            if portal not in found:
                self._listen(portal, new)
        surplus = found - set(portals)
        if surplus and not self.sessions():
            for portal in surplus:
                tree.remove(self._group / "np" / portal)

    def _listen(self, portal: str, new: bool) -> None:
        try:
            tree.make(self._group / "np" / portal, new)
        except OSError as error:  # whatever keeps the kernel from listening is "Invalid argument" here
            reason = f"LIO cannot listen on {portal}, as perhaps another program does (target_port): {error.strerror}"
            raise Refused("unreachable", reason) from error

    # --- removed --------------------------------------------------------------------------------------------------

    def remove(self) -> None:
        """Remove it, whole or half-made; whoever is logged in is cut."""
        if tree.read(self._group / "enable") == "1":
            tree.write(self._group / "enable", "0")
        for initiator in self.initiators():
            self._remove_acl(initiator)
        for lun in tree.entries(self._group / "lun"):
            for connection in tree.links(self._group / "lun" / lun):
                tree.unlink(connection)
            tree.remove(self._group / "lun" / lun)
        for portal in tree.entries(self._group / "np"):
            tree.remove(self._group / "np" / portal)
        tree.remove(self._group)
        tree.remove(self._folder)

    def _remove_acl(self, initiator: str) -> None:
        folder = self._acls / initiator
        for mapped in tree.entries(folder):
            if mapped.startswith("lun_"):
                for connection in tree.links(folder / mapped):
                    tree.unlink(connection)
                tree.remove(folder / mapped)
        tree.remove(folder)


def _has_disk(mapped: Path) -> bool:
    """Whether an initiator's LUN is connected with the target's: by the name that we give it, or by another's."""
    return bool(tree.linked(mapped / CONNECTION) or tree.links(mapped))


@dataclass
class _Volumes:
    """A lock for each volume that is worked on, and for no longer."""

    _guard: threading.Lock = field(default_factory=threading.Lock)
    _held: dict[str, list[Any]] = field(default_factory=dict)

    @contextmanager
    def one(self, volume_id: str) -> Iterator[None]:
        with self._guard:
            held = self._held.setdefault(volume_id, [threading.Lock(), 0])
            held[1] += 1
        try:
            if not held[0].acquire(timeout=PATIENCE):
                raise Refused("busy", f"an earlier call on it has not ended after {PATIENCE:.0f} s")
            try:
                yield
            finally:
                held[0].release()
        finally:
            with self._guard:
                held[1] -= 1
                if not held[1]:
                    self._held.pop(volume_id, None)
