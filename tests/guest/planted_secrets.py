"""Tests that fail by the watch over their guest, each with a password where none may be; and what may have one.

Run by ``tests/functional/lab/test_guest_watch.py`` only, which is why the file's name is no test's.
"""

import logging
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from volumed.driver.errors import BackendUnreachable
from volumed.driver.interface import Access
from volumed.model.credentials import new_credentials

pytestmark = pytest.mark.guest

TARGET = Path("/sys/kernel/config/target/iscsi/iqn.2026-01.test:planted")


@pytest.fixture
def secret() -> str:
    """A password that was handed to a driver."""
    return handed(new_credentials()["password"])


def handed(password: str) -> str:
    Access("attachment", None, False, "user", password)
    return password


@pytest.fixture
def slow() -> Iterator[int]:
    """What a shell reads from for a while, by itself: a program that it starts shows its command line too at first."""
    reads, writes = os.pipe()
    threading.Timer(1.0, os.close, [writes]).start()
    yield reads
    os.close(reads)


def test_argument(secret: str, slow: int) -> None:
    subprocess.run(["sh", "-c", "read _", secret], stdin=slow, check=False)


def test_environment(secret: str) -> None:
    subprocess.run(["sleep", "1"], env={"ANYTHING": f"it is {secret}2"}, check=True)


def test_log(secret: str) -> None:
    logging.getLogger("volumed").debug('a line: {"password":"%s"}', secret)


def test_output(secret: str) -> None:
    os.write(2, f"a program says {secret}\n".encode())


def test_error(secret: str) -> None:
    with pytest.raises(BackendUnreachable):
        raise BackendUnreachable(backend="lio", reason=f"{secret} is refused")


def test_failure(secret: str) -> None:
    assert {"auth_password": secret} == {}


@pytest.fixture
def target() -> Iterator[Path]:
    """Of LIO, without a volume."""
    group = TARGET / "tpgt_1"
    group.mkdir(parents=True)
    yield group
    group.rmdir()
    TARGET.rmdir()


def test_attribute(target: Path, secret: str) -> None:
    (target / "auth/password").write_text(secret)
    assert (target / "auth/password").stat().st_mode & 0o004


def test_of_a_forked_process() -> None:
    """Which alone knows it."""
    if (child := os.fork()) == 0:
        os.write(1, handed(new_credentials()["password"]).encode())
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_odd() -> None:
    """The watch would not find it."""
    handed("of-another-shape")


def test_what_may(tmp_path: Path, target: Path, secret: str, slow: int) -> None:
    """An initiator's programs, and what others than its owner cannot read."""
    subprocess.run(["sleep", "0.3"], env={"LIBISCSI_CHAP_PASSWORD": secret}, check=True)
    subprocess.run(["iscsiadm", "-c", "read _", secret], executable="/bin/sh", stdin=slow, check=False)
    (target / "auth/password").chmod(0o600)
    (target / "auth/password").write_text(secret)
    for path in (Path("/run/mine"), tmp_path / "readable"):
        path.write_text(secret)
    Path("/run/mine").chmod(0o600)


def test_file(secret: str) -> None:
    """The last of the module, when files are looked at."""
    for path in (Path("/run/left"), Path("/etc/left")):
        path.write_text(secret)
