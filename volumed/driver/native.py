"""Libraries in C whose calls wait: made so that only the caller waits.

On threads that is a plain call. On eventlet it would stop everybody, so there each call is carried out by a real
thread, and what the library calls back is done by the green one that waits (``volumed.launch.concurrency``).
"""

import threading
from collections.abc import Callable, Iterator
from types import ModuleType, TracebackType
from typing import Any, Final, Protocol


class CarryOut(Protocol):
    """Has a real thread carry out a call; its result, or its error."""

    def __call__(self, call: Callable[..., Any], /, *arguments: Any, **options: Any) -> Any: ...


class _Threads:
    """How it is done in this process."""

    carry_out: CarryOut | None = None
    real: ModuleType = threading


#: Results that are data, whose use makes nobody wait.
_DATA: Final = (type(None), bool, int, float, str, bytes, tuple, list, dict, set)


def use(carry_out: CarryOut, real: ModuleType) -> None:
    """From now on, in this process; ``real`` is the module ``threading`` as it was before it was made green."""
    _Threads.carry_out, _Threads.real = carry_out, real


def behind(library: Any) -> Any:
    """The module, class or object of C with every call that it has, and that its results have, made as said above.

    Its exceptions are themselves, and so are data.
    """
    return library if _Threads.carry_out is None else _guarded(library)


def start(work: Callable[[], object], name: str) -> None:
    """Have a real thread do ``work``; any thread may ask for it."""
    _Threads.real.Thread(target=work, name=name).start()


class _Behind:
    """What is behind the door, in front of it."""

    __slots__ = ("_it",)

    def __init__(self, it: Any) -> None:
        self._it = it

    def __getattr__(self, name: str) -> Any:
        return _guarded(getattr(self._it, name))

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        bare = {name: _bare(value) for name, value in options.items()}
        return _carried_out(self._it, *map(_bare, arguments), **bare)

    def __enter__(self) -> Any:
        return _carried_out(self._it.__enter__)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Any:
        return _carried_out(self._it.__exit__, kind, error, trace)

    def __iter__(self) -> Iterator[Any]:
        return iter([_guarded(each) for each in _carried_out(list, self._it)])


def _carried_out(call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    assert _Threads.carry_out is not None
    return _guarded(_Threads.carry_out(call, *arguments, **options))


def _guarded(value: Any) -> Any:
    is_error = isinstance(value, type) and issubclass(value, BaseException)
    return value if is_error or isinstance(value, _DATA) else _Behind(value)


def _bare(value: Any) -> Any:
    return value._it if isinstance(value, _Behind) else value
