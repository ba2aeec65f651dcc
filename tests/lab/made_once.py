"""What is made once on a machine, and kept in the user's cache."""

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path


def cache() -> Path:
    """Where the XDG base directory specification wants what can be made again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "volumed"


def is_made(folder: Path) -> bool:
    """Whether it is there and whole."""
    return (folder / "complete").exists()


def made(folder: Path, make: Callable[[Path], None]) -> None:
    """Have ``make`` fill the folder if nobody has; others wait for whoever does. A half-made one is made anew."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_made(folder):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            (folder / "complete").touch()
