"""What the backend keeps beside its images: what it is about to make, and who was let in. One object a backend.

An entry is written before its effect, so that what a kill left half-made is known to be ours; and a volume that is
complete has none.
"""

import errno
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from volumed.driver.crash import crash_point
from volumed.driver.errors import BackendUnreachable
from volumed.driver.interface import EVERYBODY, Access, Owner
from volumed_drivers.rbd import errors
from volumed_drivers.rbd.connection import Connection
from volumed_drivers.rbd.headers import omap
from volumed_drivers.rbd.names import is_made_by
from volumed_drivers.rbd.together import Change, Together

_MAKING: Final = "making/"
_FORMER: Final = "former/"
_EXPORT: Final = "export/"

#: Clients that an intent has at most, the last ones.
_CLIENTS: Final = 16

#: Objects that exist from the start, so that a full pool, which takes no new one, still lets go of images.
_BESIDE: Final = ("rbd_trash",)


@dataclass(frozen=True, slots=True)
class Intent:
    """To make a volume, by the last of ``clients`` (their numbers, in hex); those before have tried, and may be late.

    ``image`` and ``snapshot``: what is taken for it.
    """

    clients: Sequence[str] = ()
    image: str = ""
    snapshot: str = ""

    def has_made(self, image_id: str) -> bool:
        """Whether one of them has made the image. Builds that named no client had looked before, so it is theirs."""
        return not self.clients or any(is_made_by(client, image_id) for client in self.clients)

    def after(self, earlier: "Intent") -> "Intent":
        """The same, by one who comes after those."""
        return replace(self, clients=[*earlier.clients, *self.clients][-_CLIENTS:])


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

    def intend(self, volume_id: str, intent: Intent) -> None:
        """Instead of an earlier one."""
        self._set("rbd.intend", _MAKING + volume_id, asdict(intent))

    def intend_first(self, volume_id: str, intent: Intent) -> bool:
        """The same, unless there is an earlier one; False where there may be: that is for the caller to look at."""
        try:
            self._set("rbd.intend", _MAKING + volume_id, asdict(intent), is_new=True)
        except self._connection.modules.rados.Error as error:
            if errors.is_not_as_compared(error):
                return False
            raise
        return True

    def intent(self, volume_id: str) -> Intent | None:
        """To make the volume; None where nobody is about to."""
        with self.asking_intent(volume_id) as answer:
            return answer()

    @contextmanager
    def asking_intent(self, volume_id: str) -> Iterator[Callable[[], Intent | None]]:
        """The same, asked for while the block does something else; whoever calls for the answer waits for it."""
        with self._asking(_MAKING + volume_id) as answer:

            def intent() -> Intent | None:
                found = answer()
                return None if found is None else Intent(**found)

            yield intent

    def making(self) -> AbstractContextManager[None]:
        """Around what makes a volume: its entry is forgotten with the next one's where there is one."""
        return self._together.more_to_come()

    def forget_made(self, volume_id: str) -> None:
        """Nobody waits for it: the entry of a complete volume does no harm, and its delete forgets it again."""
        crash_point("rbd.forget.before")
        self._together.remove_later(_MAKING + volume_id)
        crash_point("rbd.forget.after")

    def forget_intent(self, volume_id: str) -> None:
        """None is fine."""
        self._remove("rbd.forget", _MAKING + volume_id)

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

    def _set(self, point: str, key: str, value: object, is_new: bool = False) -> None:
        self._change(point, key, json.dumps(value).encode(), is_new)

    def _remove(self, point: str, key: str) -> None:
        self._change(point, key, None)

    def _change(self, point: str, key: str, value: bytes | None, is_new: bool = False) -> None:
        crash_point(f"{point}.before")
        while not self._changed(key, value, is_new):
            pass
        crash_point(f"{point}.after")

    def _changed(self, key: str, value: bytes | None, is_new: bool) -> bool:
        """Whether it is; not where the write was refused for the part of somebody else, who comes with it no more."""
        try:
            self._together.change(key, value, is_new)
        except self._connection.modules.rados.Error as error:
            if is_new or not errors.is_not_as_compared(error):
                raise
            return False
        return True

    def _write(self, change: Change) -> None:
        ioctx, rados = self._connection.ioctx, self._connection.modules.rados
        there = {key: value for key, value in change.entries.items() if value is not None}
        gone = change.entries.keys() - there.keys()
        with rados.WriteOpCtx() as operation:
            for key in change.new or {""}:  # of a register that is gone: nothing is written, and it is not made anew
                operation.omap_cmp(key, "")
            if gone:
                ioctx.remove_omap_keys(operation, tuple(gone))
            if there:
                ioctx.set_omap(operation, tuple(there), tuple(there.values()))
            try:
                (ioctx.operate_write_op if change.waits else ioctx.operate_aio_write_op)(operation, self._name)
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
