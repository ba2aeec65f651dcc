"""iSCSI exports of local paths, one target a volume, by a tgtd of the backend's own.

The order of the effects is what keeps strangers out: a target without an ACL lets nobody in, but one with an ACL and
without an account lets in everybody it names, unasked. So the ACL comes last and goes first. Knows exports and
accesses; knows nothing of what is behind a path.
"""

import hashlib
import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from volumed.driver.crash import crash_point
from volumed.driver.errors import BackendBusy, BackendError, BackendInvalid, BackendUnreachable, OutcomeUnknown
from volumed.driver.interface import Access, ActualExport, Export, Leftover
from volumed.driver.registry import Setup
from volumed_drivers.targets.portals import addresses_of, connection_info
from volumed_drivers.targets.tgt import listing
from volumed_drivers.targets.tgt.daemon import Daemon, Process
from volumed_drivers.targets.tgt.listing import Lun, Target
from volumed_drivers.targets.tgt.old_files import OldFiles
from volumed_drivers.targets.tgt.protocol import Code, NotListening, Refused, Unanswered

LOG = logging.getLogger(__name__)

#: Number of a volume's LUN; 0 is the target's controller.
LUN = 1

#: tgtd's word for every initiator.
EVERYBODY = "ALL"

#: What the doctor tells of a file of an earlier manager; the path follows.
OLD_FILE = "an earlier manager's, with an old secret in it: at each boot tgt-admin exports"

#: Seconds for a session's commands in flight to end after its connection was cut.
CUT_TIMEOUT = 5.0


class TgtTarget:
    """The ``tgt`` target."""

    storage_protocol = "iSCSI"
    shows_growth = False  # only to those who log in anew

    def __init__(self, setup: Setup) -> None:
        options = setup.options
        self._options = options
        self._backend = setup.backend
        self._prefix = f"{options.target_prefix}volume-"
        folder = setup.state_path / "tgt" / setup.backend
        self._daemon = Daemon(setup.backend, folder, addresses_of(options), options.target_port)
        self._manage = self._daemon.management
        self._old_files = OldFiles(Path(options.volumes_dir) if options.volumes_dir else None, self._prefix)
        self._lock = threading.RLock()
        #: The tgtd that the following is about; ``_known``: it was read, and nothing failed since.
        self._process: Process | None = None
        self._known = False
        #: Every target by name. Only we change them, so an export's cost does not grow with their number;
        #: ``exports`` reads them again.
        self._targets: dict[str, Target] = {}
        #: Digests of the passwords of the accounts that this object made: tgtd does not tell them.
        self._passwords: dict[str, bytes] = {}
        self._restarted = False

    def setup(self) -> None:
        self._say_what_is_not_done()
        with self._working("start tgtd"):
            self._forget_old_files()

    def close(self) -> None:
        with self._lock:
            if self._daemon.find() is None:
                return
            with self._working("stop tgtd"):
                self._read_targets()
                held = {target.name: target.sessions for target in self._targets.values() if target.sessions}
                if held:
                    LOG.warning("tgtd stays, initiators are logged in: backend=%s sessions=%s", self._backend, held)
                    return
                for target in self._targets.values():
                    crash_point("tgt.close.before")
                    self._delete_when_idle(target.tid)
                    crash_point("tgt.close.after")
                self._daemon.stop()
                self._process = None

    def check_health(self) -> bool:
        with self._working("check tgtd"):
            return self._restarted

    def apply(self, export: Export, force: bool = False) -> None:
        _check_words(self._backend, export)
        with self._working(f"export volume {export.volume_id}"):
            name = self._name(export.volume_id)
            target = self._targets.get(name) or self._new_target(name)
            self._apply_lun(target, export)
            self._apply_accesses(target, export.accesses)
            self._old_files.remove(export.volume_id, export.path)

    def remove(self, volume_id: str, force: bool = False) -> None:
        with self._working(f"remove the export of volume {volume_id}"):
            target = self._targets.get(self._name(volume_id))
            path = None if target is None else _path(target)
            if target is not None:
                self._delete(target)
            self._old_files.remove(volume_id, path)

    def exports(self) -> Mapping[str, ActualExport]:
        with self._working("list exports"):
            self._read_targets()
            found = {target.name.removeprefix(self._prefix): _actual(target) for target in self._ours()}
            self._restarted = False
            return found

    def sessions(self, volume_id: str) -> tuple[str, ...]:
        with self._working(f"list the sessions of volume {volume_id}"):
            target = self._targets.get(self._name(volume_id))
            return () if target is None else self._sessions(target.tid)

    def audit(self) -> Sequence[Leftover]:
        with self._working("list exports"):
            self._read_targets()
            found = [
                Leftover("export", target.name.removeprefix(self._prefix), target.name, f"target {target.tid}")
                for target in self._ours()
            ]
            found += [Leftover("export", None, user, "account of no target") for user in self._unbound()]
            old = self._old_files.all()
            return found + [Leftover("export", of.volume_id, str(of.file), f"{OLD_FILE} {of.path}") for of in old]

    def remove_leftover(self, leftover: Leftover) -> None:
        if self._old_files.holds(Path(leftover.where)):
            with self._working(f"remove {leftover.where}"):
                self._old_files.remove_file(Path(leftover.where))
            return
        if leftover.id is not None:
            self.remove(leftover.id)
            return
        with self._working(f"remove account {leftover.where}"):
            self._read_targets()
            if leftover.where in self._unbound():  # since the audit somebody may have made a target for it
                self._delete_account(leftover.where)

    def connection_info(self, export: Export, access: Access) -> dict[str, Any]:
        return connection_info(export, access, self._daemon.portals, self._name(export.volume_id), LUN)

    # --- what there was before ----------------------------------------------------------------------------------

    def _say_what_is_not_done(self) -> None:
        """Both change nothing here, and are safe to leave out; who set them is told."""
        if not self._options.use_chap_auth:
            LOG.warning("[%s] use_chap_auth = false: tgt asks for the secret all the same", self._backend)
        if self._options.iscsi_write_cache:
            LOG.warning("[%s] iscsi_write_cache does nothing: tgt has a cache, and flushes as asked", self._backend)

    def _forget_old_files(self) -> None:
        """Those of what is exported go: such an export may be as it should be, and nobody makes it again."""
        found = self._old_files.all()
        for target in self._ours() if found else ():
            self._old_files.remove(target.name.removeprefix(self._prefix), _path(target))
        if left := self._old_files.all():
            LOG.info("an earlier manager left files of %d targets: backend=%s", len(left), self._backend)

    # --- targets ------------------------------------------------------------------------------------------------

    def _name(self, volume_id: str) -> str:
        return self._prefix + volume_id

    def _read_targets(self) -> None:
        self._targets = {target.name: target for target in listing.parse_targets(self._manage.show_targets())}

    def _ours(self) -> Iterator[Target]:
        return (target for target in self._targets.values() if target.name.startswith(self._prefix))

    def _new_target(self, name: str) -> Target:
        target = Target(tid=max((found.tid for found in self._targets.values()), default=0) + 1, name=name)
        crash_point("tgt.target.before")
        self._manage.new_target(target.tid, name)
        crash_point("tgt.target.after")
        self._targets[name] = target
        return target

    def _delete(self, target: Target) -> None:
        for username in self._shut(target, target.accounts):
            self._delete_account(username)
        self._cut(target.tid, frozenset())
        crash_point("tgt.delete.before")
        self._delete_when_idle(target.tid)
        self._targets.pop(target.name, None)
        crash_point("tgt.delete.after")

    def _delete_when_idle(self, tid: int) -> None:
        deadline = time.monotonic() + CUT_TIMEOUT
        while True:
            late = time.monotonic() >= deadline
            try:
                return self._manage.delete_target(tid, force=late)
            except Refused as error:
                if error.code == Code.NO_TARGET:
                    return None
                if late or error.code not in (Code.TARGET_ACTIVE, Code.LUN_ACTIVE):
                    raise
            time.sleep(0.01)

    # --- the LUN ------------------------------------------------------------------------------------------------

    def _apply_lun(self, target: Target, export: Export) -> None:
        found = target.luns.get(LUN)
        if found is not None and not _is_same(found, export):
            found = self._unmake_lun(target, found, export)
        if found is None:
            crash_point("tgt.lun.before")
            self._manage.new_lun(target.tid, LUN, export.path)
            crash_point("tgt.lun.after")
            found = target.luns[LUN] = Lun(LUN, path=export.path, megabytes=listing.megabytes(export.size_bytes))
        read_only = bool(export.accesses) and all(access.read_only for access in export.accesses)
        if (found.serial, found.read_only) != (export.volume_id, read_only):
            self._describe_lun(target.tid, export.volume_id, read_only)
            found.serial, found.read_only = export.volume_id, read_only

    def _unmake_lun(self, target: Target, found: Lun, export: Export) -> Lun | None:
        """A LUN keeps the size it had when it was made. It is made again, unless that would cut a session."""
        sessions = self._sessions(target.tid)
        if sessions:
            LOG.warning(
                "LUN keeps its size until the next login: volume=%s size_mb=%d sessions=%s",
                export.volume_id,
                found.megabytes,
                sessions,
            )
            return found
        crash_point("tgt.lun_delete.before")
        self._manage.delete_lun(target.tid, LUN)
        crash_point("tgt.lun_delete.after")
        return None

    def _describe_lun(self, tid: int, volume_id: str, read_only: bool) -> None:
        """Give the LUN the volume's identity: tgtd's own is made of the target's number, which is used again."""
        serial = volume_id[:36]
        crash_point("tgt.describe.before")
        self._manage.update_lun(
            tid,
            LUN,
            f"scsi_id={serial},scsi_sn={serial},vendor_id=volumed,product_id=volume,"
            f"thin_provisioning=1,readonly={read_only:d}",
        )
        crash_point("tgt.describe.after")

    # --- who may log in -------------------------------------------------------------------------------------------

    def _apply_accesses(self, target: Target, accesses: Sequence[Access]) -> None:
        right = {access.username for access in accesses if self._is_right(target, access)}
        for username in self._shut(target, target.accounts - right):
            self._delete_account(username)
            target.accounts.discard(username)
        for access in {access.username: access for access in accesses}.values():
            if access.username not in right:
                self._new_account(target.tid, access)
                target.accounts.add(access.username)
        wanted = {access.initiator or EVERYBODY for access in accesses}
        # A name beside ALL would shut everybody else out.
        wanted = {EVERYBODY} if EVERYBODY in wanted else wanted
        revoked = target.initiators - wanted
        for initiator in revoked:
            self._disallow(target, initiator)
        for initiator in wanted - target.initiators:
            crash_point("tgt.allow.before")
            self._manage.allow(target.tid, initiator)
            target.initiators.add(initiator)
            crash_point("tgt.allow.after")
        if EVERYBODY not in wanted:
            self._cut(target.tid, frozenset(wanted))

    def _is_right(self, target: Target, access: Access) -> bool:
        return access.username in target.accounts and self._passwords.get(access.username) == _digest(access)

    def _shut(self, target: Target, leaving: set[str]) -> set[str]:
        """Before the last accounts go, nobody is let in any more; returns ``leaving``."""
        if not target.accounts - leaving:
            for initiator in list(target.initiators):
                self._disallow(target, initiator)
        return set(leaving)

    def _disallow(self, target: Target, initiator: str) -> None:
        crash_point("tgt.disallow.before")
        self._manage.disallow(target.tid, initiator)
        target.initiators.discard(initiator)
        crash_point("tgt.disallow.after")

    def _new_account(self, tid: int, access: Access) -> None:
        """Make the account afresh: one that is there already may have another password."""
        self._delete_account(access.username)
        crash_point("tgt.account.before")
        self._manage.new_account(access.username, access.password)
        crash_point("tgt.account.after")
        self._manage.bind_account(tid, access.username)
        crash_point("tgt.bind.after")
        self._passwords[access.username] = _digest(access)

    def _delete_account(self, username: str) -> None:
        crash_point("tgt.account_delete.before")
        self._passwords.pop(username, None)
        try:
            self._manage.delete_account(username)
        except Refused as error:
            if error.code != Code.NO_USER:
                raise
        crash_point("tgt.account_delete.after")

    def _sessions(self, tid: int) -> tuple[str, ...]:
        try:
            return tuple(connection.initiator for connection in self._manage.connections(tid))
        except Refused as error:
            if error.code == Code.NO_TARGET:
                return ()
            raise

    def _cut(self, tid: int, staying: frozenset[str]) -> None:
        """Cut every session but those of the initiators ``staying``."""
        for connection in self._manage.connections(tid):
            if connection.initiator in staying:
                continue
            crash_point("tgt.cut.before")
            try:
                self._manage.cut(tid, connection)
            except Refused as error:
                if error.code not in (Code.NO_SESSION, Code.NO_CONNECTION):
                    raise
            crash_point("tgt.cut.after")
            LOG.info("cut a session: target=%d initiator=%s", tid, connection.initiator)

    # --- tgtd itself ------------------------------------------------------------------------------------------------

    @contextmanager
    def _working(self, what: str) -> Iterator[None]:
        """Hold tgtd's lock with tgtd alive and known; say in the backend's family what it says."""
        with self._lock:
            try:
                self._meet()
                yield
            except (Refused, NotListening, Unanswered, OSError) as error:
                self._known = False
                raise self._backend_error(what, error) from error
            except BaseException:
                self._known = False
                raise

    def _meet(self) -> None:
        """Know the tgtd that is there, starting it if it died; and sweep what a killed call left behind."""
        process = self._daemon.ensure()
        if process != self._process:
            self._restarted = self._restarted or self._process is not None
            self._process, self._known = process, False
            self._passwords.clear()
        if not self._known:
            self._daemon.ensure_portals()
            self._read_targets()
            for username in self._unbound():
                self._delete_account(username)
            self._known = True

    def _unbound(self) -> set[str]:
        """Accounts of no target: made by somebody who died before binding them."""
        accounts = listing.parse_accounts(self._manage.show_accounts())
        if not accounts:
            return accounts
        return accounts - {account for target in self._targets.values() for account in target.accounts}

    def _backend_error(self, what: str, error: Exception) -> BackendError:
        if isinstance(error, Unanswered):
            return OutcomeUnknown(what=what, backend=self._backend, reason=str(error))
        if isinstance(error, Refused) and error.code in (Code.TARGET_ACTIVE, Code.LUN_ACTIVE):
            return BackendBusy(what=what, backend=self._backend, reason=str(error))
        return BackendUnreachable(backend=self._backend, reason=f"cannot {what}: {error}")


def _path(target: Target) -> str | None:
    lun = target.luns.get(LUN)
    return None if lun is None else lun.path


def _is_same(lun: Lun, export: Export) -> bool:
    return lun.path == export.path and lun.megabytes == listing.megabytes(export.size_bytes)


def _digest(access: Access) -> bytes:
    return hashlib.sha256(access.password.encode()).digest()


def _actual(target: Target) -> ActualExport:
    """Without an ACL nobody logs in, whatever accounts there are: so is an export that was not finished."""
    lun = target.luns.get(LUN)
    return ActualExport(
        volume_id=target.name.rpartition("volume-")[2],
        path=lun.path if lun else None,
        size_bytes=lun.size_bytes if lun else 0,
        usernames=frozenset(target.accounts) if target.initiators else frozenset(),
        initiators=frozenset(target.initiators),
        sessions=tuple(target.sessions),
    )


def _check_words(backend: str, export: Export) -> None:
    """The protocol separates words by commas and knows no quotes."""
    words = [export.path, export.volume_id, *(access.username for access in export.accesses)]
    words += [access.initiator for access in export.accesses if access.initiator]
    for word in words:
        if "," in word or "\0" in word or "\n" in word:
            raise BackendInvalid(backend=backend, what=f"export {word!r}", reason="tgtd takes no comma in it")
