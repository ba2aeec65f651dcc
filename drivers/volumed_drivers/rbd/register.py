"""What the backend keeps beside its images: what it is about to make, and who was let in. One object a backend.

An entry is written before its effect, so that what a kill left half-made is known to be ours; and a volume that is
complete has none.
"""

import errno
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

from volumed.driver.crash import crash_point
from volumed.driver.errors import BackendUnreachable
from volumed.driver.interface import EVERYBODY, Access, Owner
from volumed_drivers.rbd.connection import Connection
from volumed_drivers.rbd.headers import omap
from volumed_drivers.rbd.together import Entries, Together

_MAKING: Final = "making/"
_FORMER: Final = "former/"
_EXPORT: Final = "export/"

#: Objects that exist from the start, so that a full pool, which takes no new one, still lets go of images.
_BESIDE: Final = ("rbd_trash",)


class Register:
    """Of ``owner``, whose ``backend`` is ``host@backend``. Raises as rados does."""

    def __init__(self, connection: Connection, owner: Owner) -> None:
        self._connection = connection
        self._name = f"volumed.{owner.deployment}.{owner.backend}"
        self._together = Together(self._write)

    def prepare(self) -> None:
        """Make the objects that are written to."""
        for name in (self._name, *_BESIDE):
            with self._connection.modules.rados.WriteOpCtx() as operation:
                operation.new(0)
                crash_point("rbd.register.before")
                self._connection.ioctx.operate_write_op(operation, name)
                crash_point("rbd.register.after")

    def confirm(self) -> None:
        """Raise ``BackendUnreachable`` unless the register is there: without it nothing that is missing is believed."""
        try:
            self._connection.ioctx.stat(self._name)
        except self._connection.modules.rados.ObjectNotFound as error:
            raise self._gone() from error

    def intend(self, volume_id: str, source: Mapping[str, str]) -> None:
        """``source``: ``image`` and ``snapshot`` that is taken for it, or nothing."""
        self._set("rbd.intend", _MAKING + volume_id, dict(source))

    def intent(self, volume_id: str) -> Mapping[str, str] | None:
        """The ``source`` of a volume that is being made; None where none is."""
        found: Mapping[str, str] | None = self._get(_MAKING + volume_id)
        return found

    def asking_intent(self, volume_id: str) -> AbstractContextManager[Callable[[], Mapping[str, str] | None]]:
        """The same, asked for while the block does something else; whoever calls for the answer waits for it."""
        return self._asking(_MAKING + volume_id)

    def forget_intent(self, volume_id: str) -> None:
        """Nobody waits for it: the entry of a complete volume does no harm, and its delete forgets it again."""
        crash_point("rbd.forget.before")
        self._together.remove_soon(_MAKING + volume_id)
        crash_point("rbd.forget.after")

    def intents(self) -> Iterator[str]:
        """Ids of volumes that are being made, or were left half-made."""
        for key, _ in self._entries(_MAKING):
            yield key

    def note_former(self, resource_id: str, former: Mapping[str, Any]) -> None:
        """What a volume (``name``, ``size`` in bytes) or snapshot (``name``) was before it was taken over."""
        self._set("rbd.note", _FORMER + resource_id, dict(former))

    def former(self, resource_id: str) -> Mapping[str, Any] | None:
        found: Mapping[str, Any] | None = self._get(_FORMER + resource_id)
        return found

    def forget_former(self, resource_id: str) -> None:
        """None is fine."""
        if self.former(resource_id) is not None:
            self._remove("rbd.forget_former", _FORMER + resource_id)

    def let_in(self, volume_id: str, accesses: list[Access]) -> None:
        """Exactly ``accesses``; what is so already is not written."""
        wanted = {
            "usernames": sorted({access.username for access in accesses}),
            "initiators": sorted({access.initiator or EVERYBODY for access in accesses}),
        }
        if self._get(_EXPORT + volume_id) != wanted:
            self._set("rbd.let_in", _EXPORT + volume_id, wanted)

    def shut_out(self, volume_id: str) -> None:
        if self._get(_EXPORT + volume_id) is not None:
            self._remove("rbd.shut_out", _EXPORT + volume_id)

    def let_in_now(self) -> Iterator[tuple[str, dict[str, list[str]]]]:
        """Every volume with ``usernames`` and ``initiators``."""
        yield from self._entries(_EXPORT)

    def _get(self, key: str) -> Any:
        with self._asking(key) as answer:
            return answer()

    @contextmanager
    def _asking(self, key: str) -> Iterator[Callable[[], Any]]:
        rados = self._connection.modules.rados
        with rados.ReadOpCtx() as operation:
            entries, _ = self._connection.ioctx.get_omap_vals_by_keys(operation, (key,))
            asked = self._connection.ioctx.operate_aio_read_op(operation, self._name)

            def answer() -> Any:
                asked.wait_for_complete()
                status = asked.get_return_value()
                if status == -errno.ENOENT:
                    raise self._gone()
                if status < 0:
                    raise rados.OSError(f"the register {self._name}", errno=-status)
                found = dict(entries)
                return json.loads(found[key]) if key in found else None

            try:
                yield answer
            finally:
                asked.wait_for_complete()

    def _set(self, point: str, key: str, value: object) -> None:
        self._change(point, key, json.dumps(value).encode())

    def _remove(self, point: str, key: str) -> None:
        self._change(point, key, None)

    def _change(self, point: str, key: str, value: bytes | None) -> None:
        crash_point(f"{point}.before")
        self._together.change(key, value)
        crash_point(f"{point}.after")

    def _write(self, entries: Entries, waits: bool) -> None:
        ioctx, there = self._connection.ioctx, {key: value for key, value in entries.items() if value is not None}
        gone = entries.keys() - there.keys()
        rados = self._connection.modules.rados
        with rados.WriteOpCtx() as operation:
            operation.omap_cmp("", "")  # of a register that is gone: nothing is written, and it is not made anew
            if gone:
                ioctx.remove_omap_keys(operation, tuple(gone))
            if there:
                ioctx.set_omap(operation, tuple(there), tuple(there.values()))
            try:
                (ioctx.operate_write_op if waits else ioctx.operate_aio_write_op)(operation, self._name)
            except rados.ObjectNotFound as error:
                raise self._gone() from error

    def _entries(self, prefix: str) -> Iterator[tuple[str, Any]]:
        try:
            for key, value in omap(self._connection, self._name, prefix):
                yield key.removeprefix(prefix), json.loads(value)
        except self._connection.modules.rados.ObjectNotFound as error:
            raise self._gone() from error

    def _gone(self) -> BackendUnreachable:
        self._connection.close()
        reason = f"pool {self._connection.place} is gone, or its object {self._name}, which the next start makes"
        return BackendUnreachable(backend=self._connection.backend, reason=reason)
