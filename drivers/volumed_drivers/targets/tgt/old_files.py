"""Files of targets that an earlier manager wrote for tgt-admin, one a volume: ``volumes_dir``.

They would make tgt-admin export the volumes again, with the passwords that are in them, at each boot. A volume whose
export is ours needs its file no more. Knows the file's words (targets.conf(5)); reads no password.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from volumed.driver.crash import crash_point

_TARGET = re.compile(r"^\s*<target\s+(\S+?)\s*>", re.MULTILINE)
_PATH = re.compile(r"^\s*(?:backing-store|direct-store)\s+(\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class OldTarget:
    """A target that a file describes; ``path`` is what it exports."""

    file: Path
    volume_id: str
    path: str


class OldFiles:
    """Those in ``folder`` (None: there is none) whose target's name begins with ``prefix``; others are strangers'."""

    def __init__(self, folder: Path | None, prefix: str) -> None:
        self._folder = folder
        self._prefix = prefix
        #: As they were read last: nobody writes such files any more.
        self._known: Sequence[OldTarget] = ()

    def all(self) -> Sequence[OldTarget]:
        """Those that are there now."""
        files = sorted(self._folder.iterdir()) if self._folder is not None and self._folder.is_dir() else ()
        self._known = [found for file in files if (found := self._read(file)) is not None]
        return self._known

    def remove(self, volume_id: str, path: str | None) -> None:
        """Remove what would export the volume, by its id or, where it had another one, by its ``path``."""
        if self._folder is None:
            return
        of_the_path = {old.file for old in self._known if old.path == path}
        for file in sorted({self._folder / f"volume-{volume_id}", *of_the_path}):
            found = self._read(file)
            if found is not None and (found.volume_id == volume_id or found.path == path):
                _unlink(file)

    def remove_file(self, file: Path) -> None:
        """Remove the file, if it is one of those still."""
        if self.holds(file) and self._read(file) is not None:
            _unlink(file)

    def holds(self, file: Path) -> bool:
        """Whether it is in the folder."""
        return self._folder is not None and file.parent == self._folder

    def _read(self, file: Path) -> OldTarget | None:
        """None for what is no file, or describes something else than one target of ours."""
        try:
            descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            return None
        with open(descriptor, errors="replace") as stream:
            try:
                text = stream.read(1 << 16)
            except OSError:
                return None
        names, paths = _TARGET.findall(text), _PATH.findall(text)
        if len(names) != 1 or len(paths) != 1 or not names[0].startswith(self._prefix):
            return None
        return OldTarget(file, names[0].removeprefix(self._prefix), paths[0])


def _unlink(file: Path) -> None:
    crash_point("tgt.old_file.before")
    file.unlink(missing_ok=True)
    crash_point("tgt.old_file.after")
