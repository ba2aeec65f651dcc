"""The pool folder: what is called how, whose it is, and what of it is used.

Knows names, the owner's mark and durability of directory entries; knows nothing of copying or exports.
"""

import contextlib
import json
import os
import re
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from volumed.driver.crash import crash_point
from volumed.driver.errors import BackendInvalid, BackendUnreachable
from volumed.driver.interface import Leftover, Owner, SnapshotRef, VolumeRef

OWNER_FILE = ".volumed-owner"

#: Seconds for which a measured use is good; a longer measurement is good for longer.
USAGE_INTERVAL = 10.0

#: A measurement may take this part of the time.
USAGE_SHARE = 0.01

_NAME = re.compile(r"(?P<part>\.)?(?P<kind>volume|snapshot)-(?P<id>[^/]+?)(?(part)\.part)")


class Pool:
    """One folder of sparse files that belongs to one backend of one deployment."""

    def __init__(self, path: Path, owner: Owner, host: str, note: Path) -> None:
        """``host`` is the node that we are on: a folder may be claimed by several of them at once.

        ``note``: a file of this node that says which storage was claimed, and where.
        """
        self.path = path
        self._host = host
        self._note = note
        self.storage_id = ""
        self._owner = owner
        self._used = 0
        self._used_until = 0.0

    def claim(self) -> None:
        """Make the folder, and mark it as ours. Raises ``BackendInvalid`` naming the owner when it is another's.

        ``BackendUnreachable`` where it is not the one that was claimed before: its file system is not mounted.
        """
        crash_point("file.pool.before")
        self.path.mkdir(parents=True, exist_ok=True)
        crash_point("file.pool.after")
        known, found = self._noted(), self._read_owner()
        if known is not None and (found is None or found["storage_id"] != known):
            raise self._away(known, found)
        if found is None:
            self._refuse_names_like_ours()
            found = self._write_owner()
        self._forget_draft()
        if (found["deployment"], found["backend"]) != (self._owner.deployment, self._owner.backend):
            raise BackendInvalid(
                backend=self._owner.backend,
                what=f"the pool {self.path}",
                reason=f"it belongs to backend {found['backend']} of deployment {found['deployment']}",
            )
        self.storage_id = found["storage_id"]
        if known is None:
            self._take_note()

    def confirm(self) -> None:
        """Raise ``BackendUnreachable`` unless the folder is the one that was claimed: else nothing missing is gone."""
        found = self._read_owner()
        if found is None or found["storage_id"] != self.storage_id:
            raise self._away(self.storage_id, found)

    def volume(self, volume: VolumeRef) -> Path:
        return self._file("volume", volume.id)

    def snapshot(self, snapshot: SnapshotRef) -> Path:
        return self._file("snapshot", snapshot.id)

    def temporary(self, final: Path) -> Path:
        """The one name under which ``final`` grows: known from the id, so that a repeat and a delete find it."""
        return final.with_name(f".{final.name}.part")

    def note(self, final: Path) -> Path:
        """The link that keeps what ``final`` was called before it was taken over."""
        return final.with_name(f".{final.name}.managed")

    @property
    def backend(self) -> str:
        """Whose the folder is, for errors."""
        return self._owner.backend

    def identify(self, name: str) -> tuple[str | None, str | None]:
        """Kind (volume, snapshot) and id of what one of our names stands for; both None for a stranger's."""
        match = _NAME.fullmatch(name)
        return (match["kind"], match["id"]) if match and not match["part"] else (None, None)

    def settle(self) -> None:
        """Bring the folder's entries to disk: what was made, renamed or removed is so after a power cut."""
        folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def remove(self, final: Path) -> bool:
        """Remove ``final`` with its temporary and its note; False when none of them was there."""
        temporary_was_there = unlink(self.temporary(final))
        crash_point("file.remove.temporary")
        was_there = unlink(final)
        crash_point("file.remove.note")
        found = unlink(self.note(final)) or was_there or temporary_was_there
        if not found:
            self.confirm()
        return found

    def used_bytes(self) -> int:
        """Bytes that our files take, measured now and then: a folder of 10,000 files is not read at each report."""
        now = time.monotonic()
        if now >= self._used_until:
            self._used = sum(_allocated(entry) for entry in os.scandir(self.path))
            spent = time.monotonic() - now
            self._used_until = now + max(USAGE_INTERVAL, spent / USAGE_SHARE)
        return self._used

    def contents(self) -> Iterator[Leftover]:
        """Every volume, snapshot and temporary in the folder."""
        self.confirm()
        for entry in os.scandir(self.path):
            match = _NAME.fullmatch(entry.name)
            if match:
                kind, size = "temporary" if match["part"] else match["kind"], _size(entry)
                yield Leftover(kind=kind, id=match["id"], where=entry.path, detail=f"{size} bytes", size_bytes=size)

    def discard(self, where: str) -> bool:
        """Remove one of ``contents`` by its place; False when it is gone. Raises ``BackendInvalid`` for any other."""
        path = Path(where)
        if path.parent != self.path or not _NAME.fullmatch(path.name):
            raise BackendInvalid(backend=self._owner.backend, what=where, reason="not a file of this pool")
        was_there = unlink(path)
        crash_point("file.discard.note")
        unlink(self.note(path))
        return was_there

    def _file(self, kind: str, resource_id: str) -> Path:
        if not resource_id or "/" in resource_id or "\0" in resource_id:
            raise BackendInvalid(backend=self._owner.backend, what=f"{kind} {resource_id!r}", reason="not an id")
        return self.path / f"{kind}-{resource_id}"

    def _away(self, known: str, found: dict[str, str] | None) -> BackendUnreachable:
        is_there = self.path.is_dir()
        there = f"is storage {found['storage_id']}" if found else "has no mark" if is_there else "is gone"
        reason = (
            f"the pool {self.path} {there}, and was storage {known}: is its file system mounted?"
            f" ({self._note} remembers it)"
        )
        return BackendUnreachable(backend=self._owner.backend, reason=reason)

    def _refuse_names_like_ours(self) -> None:
        """They would be volumes of ours that no row knows."""
        for entry in os.scandir(self.path):
            if _NAME.fullmatch(entry.name):
                reason = f"it holds {entry.name}, a name as ours are, and has no mark of ours ({OWNER_FILE})"
                raise BackendInvalid(backend=self._owner.backend, what=f"the pool {self.path}", reason=reason)

    def _noted(self) -> str | None:
        """The storage that was claimed at this path."""
        try:
            path, _, storage_id = self._note.read_text().partition("\n")
        except FileNotFoundError:
            return None
        return storage_id if path == str(self.path) else None

    def _take_note(self) -> None:
        draft = self._note.with_name(f"{self._note.name}.draft")
        crash_point("file.noted.before")
        self._note.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(f"{self.path}\n{self.storage_id}")
        crash_point("file.noted.written")
        os.replace(draft, self._note)
        crash_point("file.noted.after")

    def _read_owner(self) -> dict[str, str] | None:
        try:
            record = json.loads((self.path / OWNER_FILE).read_bytes())
            return {key: str(record[key]) for key in ("deployment", "backend", "storage_id")}
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise BackendInvalid(
                backend=self._owner.backend,
                what=f"the pool {self.path}",
                reason=f"{OWNER_FILE} is not readable: {error!r}",
            ) from error

    def _write_owner(self) -> dict[str, str]:
        """Mark the folder. A link never replaces another's mark, and makes ours appear whole."""
        record = {
            "deployment": self._owner.deployment,
            "backend": self._owner.backend,
            "storage_id": str(uuid.uuid4()),
        }
        draft = self._draft()
        crash_point("file.own.before")
        try:
            with draft.open("w") as stream:
                crash_point("file.own.opened")
                json.dump(record, stream)
                stream.flush()
                os.fsync(stream.fileno())
            crash_point("file.own.written")
            with contextlib.suppress(FileExistsError):
                os.link(draft, self.path / OWNER_FILE)
            crash_point("file.own.after")
        finally:
            self._forget_draft()
        self.settle()
        return self._read_owner() or record

    def _draft(self) -> Path:
        """The name under which our mark is written: always the same, so that a killed claim's is found again."""
        ours = f"{self._owner.deployment}/{self._host}/{self._owner.backend}"
        return self.path / f"{OWNER_FILE}.{uuid.uuid5(uuid.NAMESPACE_OID, ours)}"

    def _forget_draft(self) -> None:
        crash_point("file.forget.before")
        unlink(self._draft())
        crash_point("file.forget.after")


def unlink(path: Path) -> bool:
    """Remove the file; False when there is none, which a read-only file system does not say (EROFS comes first)."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError:
        if os.path.lexists(path):
            raise
        return False
    return True


def _allocated(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_blocks * 512
    except FileNotFoundError:
        return 0


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except FileNotFoundError:
        return 0
