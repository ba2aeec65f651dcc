"""Ceph's own Python modules, loaded when they are needed: they are no packages of an index, and may be missing."""

import functools
import importlib
import os
import sys
from typing import Any, NamedTuple

from volumed.driver import native
from volumed.driver.errors import BackendInvalid


class Bindings(NamedTuple):
    """The modules ``rados`` and ``rbd``, and the class of a client of theirs that ends by itself."""

    rados: Any
    rbd: Any
    client: Any


def load(backend: str) -> Bindings:
    """Raises ``BackendInvalid`` that says which package is missing, and for which Python it is made."""
    try:
        rados, rbd = importlib.import_module("rados"), importlib.import_module("rbd")
    except ImportError as error:
        ours = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise BackendInvalid(
            backend=backend,
            what="volume_driver = rbd",
            reason=(
                f"{error}: install python3-rados and python3-rbd of the distribution and make them known to this Python"
                f" {ours} (tools/setup does); they load only in the 3.x that the distribution made them for"
            ),
        ) from error
    return Bindings(native.behind(rados), native.behind(rbd), native.behind(_client(rados)))


@functools.cache
def _client(rados: Any) -> Any:
    """``rados.Rados`` that ends when nobody refers to it any more; the module's own stays, with its threads.

    An ``Ioctx`` refers to its client and an ``Image`` to its ``Ioctx``, so whoever is in a call keeps it. To end it
    under a call would leave that waiting for ever (measured with librados 16).
    """

    class Client(rados.Rados):  # type: ignore[misc]
        def __init__(self, **options: Any) -> None:
            self._process = os.getpid()
            super().__init__(**options)

        def __del__(self) -> None:
            if self._process == os.getpid() and not sys.is_finalizing():
                # Not here: this may be one of the client's own threads, which would wait for itself.
                native.start(self.shutdown, "ceph-end")

    return Client
