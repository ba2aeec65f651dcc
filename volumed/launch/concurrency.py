"""Chooses how services run side by side, before anything that depends on it is imported.

Importing oslo.messaging first would silently choose eventlet (docs/libraries.md).
"""

import sys

from oslo_service import backend


def choose_threading() -> None:
    """Native threads for this process; nothing in it can load eventlet any more.

    futurist imports eventlet wherever it is installed: a tenth of a second and 14 MB for nothing.
    """
    sys.modules.setdefault("eventlet", None)  # type: ignore[arg-type]
    backend.init_backend(backend.BackendType.THREADING)
