"""Chooses how services run side by side, before anything that depends on it is imported.

Importing oslo.messaging first would silently choose eventlet (docs/libraries.md). Under eventlet nothing may stop the
hub: sockets, locks and commands are eventlet's own, psycopg waits for its socket as they do, and whatever waits in the
kernel all the same goes through one door, eventlet's pool of real threads. See docs/decisions/0014.
"""

import os
import sys
from collections.abc import Callable
from typing import Any

from volumed.model.errors import ConfigurationError

#: Environment variable that names the way; a file of configuration would be read too late.
VARIABLE = "VOLUMED_CONCURRENCY"

#: Calls that wait for a disk or another machine and not for a socket, by module.
BLOCKING = {
    "os": ("fsync", "fdatasync", "copy_file_range", "posix_fallocate", "sendfile", "pread", "pwrite", "unlink"),
    "fcntl": ("ioctl",),
    "socket": ("getaddrinfo",),
}


def choose() -> None:
    """As the environment says: ``threading``, which is the default, or ``eventlet``. Raises ``ConfigurationError``."""
    ways = {"threading": choose_threading, "eventlet": choose_eventlet}
    wanted = os.environ.get(VARIABLE, "threading")
    if wanted not in ways:
        raise ConfigurationError(option=VARIABLE, reason=f"{wanted!r} is neither threading nor eventlet")
    ways[wanted]()


def choose_threading() -> None:
    """Native threads for this process; nothing in it can load eventlet any more.

    futurist imports eventlet wherever it is installed: a tenth of a second and 14 MB for nothing.
    """
    sys.modules.setdefault("eventlet", None)  # type: ignore[arg-type]
    _init_backend("THREADING")


def choose_eventlet() -> None:
    """Green threads for this process."""
    # Its own resolver knows less than the system's, which goes through the door.
    os.environ["EVENTLET_NO_GREENDNS"] = "yes"
    # In C it would wait for each answer without the hub's knowing (psycopg's "waiting").
    os.environ["PSYCOPG_WAIT_FUNC"] = "wait_selector"
    import eventlet
    from eventlet import tpool

    eventlet.monkey_patch()
    _put_behind_door(tpool.execute)
    _init_backend("EVENTLET")


def refuse_eventlet(reason: str) -> None:
    """Raise ``ConfigurationError`` with the ``reason`` where eventlet is wanted."""
    if os.environ.get(VARIABLE) == "eventlet":
        raise ConfigurationError(option=VARIABLE, reason=reason)


def is_green() -> bool:
    """Whether this process runs on eventlet."""
    return getattr(sys.modules.get("eventlet"), "patcher", None) is not None


def begin_child() -> None:
    """A forked process's own hub: the parent's waits for the parent's descriptors."""
    if is_green():
        from eventlet import hubs

        hubs.use_hub()


def _put_behind_door(execute: Callable[..., Any]) -> None:
    for module_name, names in BLOCKING.items():
        module = __import__(module_name)
        for name in names:
            setattr(module, name, _behind(execute, getattr(module, name)))


def _behind(execute: Callable[..., Any], call: Callable[..., Any]) -> Callable[..., Any]:
    def through_the_door(*arguments: Any, **options: Any) -> Any:
        return execute(call, *arguments, **options)

    return through_the_door


def _init_backend(name: str) -> None:
    from oslo_service import backend

    backend.init_backend(backend.BackendType[name])
