"""Ceph's own Python modules, loaded when they are needed: they are no packages of an index, and may be missing."""

import importlib
import sys
from typing import Any, NamedTuple

from volumed.driver.errors import BackendInvalid


class Bindings(NamedTuple):
    """The modules ``rados`` and ``rbd``."""

    rados: Any
    rbd: Any


def load(backend: str) -> Bindings:
    """Raises ``BackendInvalid`` that says which package is missing, and for which Python it is made."""
    try:
        return Bindings(importlib.import_module("rados"), importlib.import_module("rbd"))
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
