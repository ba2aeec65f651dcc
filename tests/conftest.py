"""What all tests share: a test names the real parts it needs, and says how to get the one that is missing."""

import glob
import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from volumed.launch.concurrency import choose_threading

if TYPE_CHECKING:
    from tests.lab.rabbitmq import Vhost

#: Programs that tests need, and the Debian packages they come in.
PACKAGES = {
    "tgtd": "tgt",
    "strace": "strace",
    "qemu-io": "qemu-utils qemu-block-extra",
    "iscsi-ls": "libiscsi-bin",
    "iscsi-inq": "libiscsi-bin",
    "rabbitmq-server": "rabbitmq-server",
    "mkfs.xfs": "xfsprogs",
    "mkfs.ext4": "e2fsprogs",
    "systemd-analyze": "systemd",
    "postgres": "postgresql",
    "mariadbd": "mariadb-server",
    "ceph": "ceph-mon ceph-osd ceph-mgr python3-rados python3-rbd",
    "lvm": "lvm2 thin-provisioning-tools open-iscsi kmod udev",
}

#: Where Debian keeps what only root runs by name, and PostgreSQL: a folder a major version.
_PATH = ":".join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin", *glob.glob("/usr/lib/postgresql/*/bin")])

#: Parts that are mounted, which only root may.
_MOUNTED = {"mkfs.xfs", "mkfs.ext4"}


#: Runs what is marked ``guest`` in a guest.
pytest_plugins = ("tests.lab.guest.plugin",)

#: Set where a test runs in the guest.
GUEST = "VOLUMED_GUEST"

# The same concurrency as in a service, chosen before anything that depends on it is imported: this file is the first.
choose_threading()


@pytest.fixture(scope="session", autouse=True)
def watcher() -> Iterator[None]:
    """Every daemon that was started was looked through for secrets."""
    yield
    from tests.lab import watcher

    assert watcher.unfinished() == 0


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long begins first: no worker is left alone with it at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture
def vhost() -> "Iterator[Vhost]":
    """A vhost of this test's own on the run's one RabbitMQ; the test needs the part ``rabbitmq-server``."""
    from tests.lab import rabbitmq

    with rabbitmq.shared().vhost() as vhost:
        yield vhost


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A missing part fails the test where CI is set, and skips it elsewhere; both name the remedy."""
    for marker in item.iter_markers("part"):
        require(marker.args[0])
    if item.get_closest_marker("guest") is not None and GUEST not in os.environ:
        require("guest")


def require(part: str) -> None:
    """Fail or skip, as ``pytest_runtest_setup`` does."""
    reason = missing(part)
    if reason:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)


def missing(part: str) -> str | None:
    """What the part lacks here and how to get it; None where it is there."""
    if part == "guest":
        from tests.lab.guest import machine

        return missing("lvm") or machine.missing()
    if part == "keystone":
        from tests.lab import keystone

        return keystone.missing()
    if part == "ceph":
        return _missing_ceph()
    if shutil.which(part, path=_PATH) is None:
        return f"{part} is missing: apt-get install {PACKAGES.get(part, part)}"
    if part == "strace" and subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True).returncode:
        return "strace: tracing is forbidden here (ptrace(2))"
    if part in _MOUNTED and os.geteuid() != 0:
        return f"{part}: mounting needs root"
    return None


def _missing_ceph() -> str | None:
    absent = [name for name in ("ceph-mon", "ceph-osd", "ceph-mgr") if shutil.which(name, path=_PATH) is None]
    absent += [name for name in ("rados", "rbd") if importlib.util.find_spec(name) is None]
    if absent:
        return (
            f"{', '.join(absent)}: apt-get install {PACKAGES['ceph']}, then make setup (with Debian's own Python 3.x)"
        )
    return None
