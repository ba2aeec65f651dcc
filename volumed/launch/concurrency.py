"""Chooses how services run side by side, before anything that depends on it is imported.

Importing oslo.messaging first would silently choose eventlet (docs/libraries.md). Under eventlet nothing may stop the
hub: sockets, locks and commands are eventlet's own, psycopg waits for its socket as they do, and whatever waits in the
kernel all the same goes through one door, eventlet's pool of real threads. See docs/decisions/0014.
"""

import os
import sys
from collections import deque
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

#: Seconds after which the green thread looks whether a real one has called back.
CALLED_BACK_INTERVAL = 0.02


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
    from eventlet import patcher, tpool

    from volumed.driver import native

    eventlet.monkey_patch()
    _put_behind_door(tpool.execute)
    native.use(carry_out, patcher.original("threading"))
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


def carry_out(call: Callable[..., Any], /, *arguments: Any, **options: Any) -> Any:
    """``call`` by a real thread of eventlet's pool; functions that it is given are called here, by the green thread.

    Whoever calls one there waits for its end. Locks, rows and logs are the green threads' own, so nothing of volumed
    may run in that thread.
    """
    import eventlet
    from eventlet import tpool

    if not any(_is_function(value) for value in (*arguments, *options.values())):
        return tpool.execute(call, *arguments, **options)
    asked: deque[_CalledBack] = deque()
    given = [_called_back(asked, value) for value in arguments]
    named = {name: _called_back(asked, value) for name, value in options.items()}
    worker = eventlet.spawn(tpool.execute, call, *given, **named)
    while not worker.dead:
        eventlet.sleep(0 if asked else CALLED_BACK_INTERVAL)
        while asked:
            asked.popleft().answer()
    return worker.wait()


class _CalledBack:
    """A call of a function of ours that a real thread waits for."""

    def __init__(self, call: Callable[[], Any]) -> None:
        from eventlet import patcher

        self._call = call
        self._answered = patcher.original("threading").Event()
        self._result: Any = None
        self._error: BaseException | None = None

    def answer(self) -> None:
        try:
            self._result = self._call()
        except BaseException as error:
            self._error = error
        self._answered.set()

    def wait(self) -> Any:
        self._answered.wait()
        if self._error is not None:
            raise self._error
        return self._result


def _called_back(asked: "deque[_CalledBack]", value: Any) -> Any:
    if not _is_function(value):
        return value

    def call(*arguments: Any) -> Any:
        pending = _CalledBack(lambda: value(*arguments))
        asked.append(pending)
        return pending.wait()

    return call


def _is_function(value: Any) -> bool:
    return callable(value) and not isinstance(value, type)


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
