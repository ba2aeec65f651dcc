"""A driver that a test has for itself, and its pool as others see it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from volumed.driver.interface import Driver
from volumed.model import crash_points


def backend_of(client: Any, folder: Path, **options: Any) -> Any:
    """A backend on the client's pool, whose volumes are reached through librbd."""
    from tests.lab.ceph.data_paths import Librbd
    from tests.lab.rbd_backend import RbdBackend

    return RbdBackend(client, folder, Librbd(client.configuration), options=options)


def set_up(backend: Any) -> Driver:
    driver: Driver = backend.driver()
    driver.do_setup()
    return driver


@contextmanager
def pool_of(backend: Any) -> Iterator[Any]:
    """The pool as whoever has a key sees it."""
    import rados

    client = backend.client
    with rados.Rados(conffile=client.configuration, rados_id=client.user) as connected:
        with connected.open_ioctx(client.pool) as ioctx:
            yield ioctx


@contextmanager
def at(point: str, act: Callable[[], None]) -> Iterator[None]:
    """``act`` once when somebody passes the crash point inside the block."""
    done = threading.Event()

    def passed(name: str) -> None:
        if name == point and not done.is_set():
            done.set()
            act()

    crash_points.watch(passed)
    try:
        yield
    finally:
        crash_points.watch(None)
    assert done.is_set(), f"nobody passed {point}"


def killed() -> None:
    raise KeyboardInterrupt
