"""The kernel that guests run: User-Mode Linux from Debian, unpacked into a cache, never installed.

``python -m tests.lab.guest.kernel`` fetches it, once on a machine. What is fetched is pinned by its checksum, as long
as Debian has it; README.md beside this says what happens after that.
"""

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.lab import made_once

#: The archive where the host names none, and where Debian keeps every file for ever, by its SHA-1.
ARCHIVE = "http://deb.debian.org/debian/"
SNAPSHOT = "http://snapshot.debian.org/file/"

#: apt's own client: uses the proxies and the transports that the host is configured for, and checks the sum.
APT_HELPER = "/usr/lib/apt/apt-helper"

#: Seconds that one package may take to come.
PATIENCE = 300.0


@dataclass(frozen=True, slots=True)
class Package:
    """One file of Debian's archive. ``sha256`` is what it must be, ``sha1`` its name in the snapshots."""

    path: str
    sha256: str
    sha1: str


#: From 6.16 on User-Mode Linux runs the guest's programs under seccomp, three times as fast as before under ptrace. It
#: is in Debian's unstable, and wants a newer C library than the host has, which is lent to it (see ``launch``).
FAST = (
    Package(
        "pool/main/u/user-mode-linux/user-mode-linux_7.2um1_amd64.deb",
        "f947c9244fd79d481299df2ad68961f6b3b7703bff38c4b0e726f861161da62c",
        "208109fd4d364d1dc9f0473ec63f814f44011cf3",
    ),
    Package(
        "pool/main/g/glibc/libc6_2.43-7_amd64.deb",
        "5c71715c51103beb4fbba9fe9f8dff604af6610dfa71c70bff342f54a7860803",
        "d3b47ff25250d1e0065ca0b39417fc55b4e8e341",
    ),
)

#: What the host's own release calls it: older and slower, but there as long as the release is.
STABLE = "user-mode-linux"


class Unavailable(Exception):
    """The kernel could not be fetched; the sentence says what was tried."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """``program`` is the kernel, ``modules`` a folder with ``lib/modules`` in it. ``libraries``: None where the host's
    C library will do."""

    program: Path
    modules: Path
    libraries: Path | None


def missing() -> str | None:
    """How to get it, where it is not there; where everything must be (in CI) it is fetched when it is wanted."""
    if os.environ.get("CI") == "true" or made_once.is_made(_folder()):
        return None
    return "the guest's kernel is missing: python -m tests.lab.guest.kernel fetches it from Debian, in half a minute"


def installed() -> Kernel:
    """The kernel, fetched if it is not there yet; others wait for whoever fetches it. Raises ``Unavailable``."""
    folder = _folder()
    made_once.made(folder, _make)
    library = folder / "usr/lib/x86_64-linux-gnu/libc.so.6"
    return Kernel(folder / "usr/bin/linux.uml", folder / "modules", library.parent if library.exists() else None)


def _folder() -> Path:
    sums = "\n".join(package.sha256 for package in FAST)
    return made_once.cache() / f"guest-{hashlib.sha256(sums.encode()).hexdigest()[:12]}"


def _make(folder: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="volumed-debs-") as downloads:
        for package in _fetch(Path(downloads)):
            subprocess.run(["dpkg-deb", "--extract", str(package), str(folder)], check=True)
    (folder / "modules/lib").mkdir(parents=True)
    (folder / "modules/lib/modules").symlink_to(folder / "usr/lib/uml/modules")


def _fetch(downloads: Path) -> Sequence[Path]:
    tried: list[str] = []
    archive = _archive()
    for source in (lambda package: archive + package.path, lambda package: SNAPSHOT + package.sha1):
        try:
            return [_download(source(package), package, downloads) for package in FAST]
        except Unavailable as error:
            tried.append(str(error))
    done = _run(["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", STABLE], downloads)
    if done.returncode == 0:
        return list(downloads.glob(f"{STABLE}_*.deb"))
    tried.append(f"apt-get download {STABLE}: {_last_line(done)}")
    raise Unavailable("no kernel for the guest: " + "; ".join(tried))


def _download(url: str, package: Package, downloads: Path) -> Path:
    target = downloads / Path(package.path).name
    quiet = ["-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=1"]
    done = _run([APT_HELPER, *quiet, "download-file", url, str(target), f"SHA256:{package.sha256}"], downloads)
    if done.returncode != 0:
        raise Unavailable(f"{url}: {_last_line(done)}")
    return target


def _archive() -> str:
    """The archive that this host installs from, with a slash at its end."""
    done = _run(["apt-get", "indextargets", "--format", "$(REPO_URI)"], Path("/"))
    found = [line for line in done.stdout.split() if line.rstrip("/").endswith("/debian")]
    return found[0] if found else ARCHIVE


def _run(command: list[str], folder: Path) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            command, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=PATIENCE
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{command[0]}: {error}") from error


def _last_line(done: "subprocess.CompletedProcess[str]") -> str:
    return ([line for line in done.stderr.splitlines() if line.startswith("E:")] or ["it failed"])[0]


if __name__ == "__main__":
    print(installed().program)
