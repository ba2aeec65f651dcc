"""Files of targets that an earlier manager wrote for tgt-admin, one a volume: ``volumes_dir``.

They would make tgt-admin export the volumes again, with the passwords that are in them, at each boot. A volume whose
export is ours needs its file no more. Knows the file's words (targets.conf(5)); reads no password.
"""

import os
import re
from collections.abc import Iterator
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

    def all(self) -> Iterator[OldTarget]:
        if self._folder is None or not self._folder.is_dir():
            return
        for file in sorted(self._folder.iterdir()):
            found = self._read(file)
            if found is not None:
                yield found

    def remove(self, volume_id: str) -> None:
        """Remove the volume's file, if it has one."""
        if self._folder is None:
            return
        file = self._folder / f"volume-{volume_id}"
        found = self._read(file)
        if found is not None and found.volume_id == volume_id:
            crash_point("tgt.old_file.before")
            file.unlink(missing_ok=True)
            crash_point("tgt.old_file.after")

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
