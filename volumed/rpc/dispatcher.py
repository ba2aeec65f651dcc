"""From a message to a method: version, method, arguments and context are checked before anything happens.

Knows endpoints only as objects that list what may be called. A bad message ends in an error of ``volumed.model.errors``
and changes nothing; whatever goes wrong inside a method is logged here once and told to the caller without a traceback.
"""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

from oslo_messaging.dispatcher import DispatcherBase
from oslo_messaging.rpc.dispatcher import ExpectedException

from volumed.model import tracing
from volumed.model.context import RequestContext
from volumed.model.errors import InternalError, InvalidMessage, NoSuchMethod, UnsupportedVersion, VolumedError
from volumed.model.subject import about
from volumed.rpc.arguments import Signature, is_plain

LOG = logging.getLogger(__name__)

#: What a message without a version counts as.
FIRST_VERSION = "1.0"

_VERSION = re.compile(r"[0-9]{1,6}\.[0-9]{1,6}")
_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_TEXTS = ("user_id", "project_id", "request_id", "user", "tenant", "global_request_id")


class Endpoint(Protocol):
    """What is callable: the methods listed in ``RPC_METHODS``, each with a ``RequestContext`` first."""

    @property
    def RPC_VERSION(self) -> str: ...

    @property
    def RPC_METHODS(self) -> tuple[str, ...]: ...


@dataclass(frozen=True, slots=True)
class Version:
    """``major.minor``: a major breaks, a minor adds."""

    major: int
    minor: int

    @classmethod
    def parse(cls, text: object) -> "Version | None":
        """The version that ``text`` names, None where it names none."""
        if not isinstance(text, str) or not _VERSION.fullmatch(text):
            return None
        major, minor = text.split(".")
        return cls(int(major), int(minor))

    def serves(self, asked: "Version") -> bool:
        """True when an endpoint of this version understands a message of ``asked``."""
        return self.major == asked.major and self.minor >= asked.minor


class _Callables:
    """The callable methods of one endpoint with their signatures, looked at once."""

    def __init__(self, endpoint: Endpoint) -> None:
        version = Version.parse(endpoint.RPC_VERSION)
        if version is None:
            raise ValueError(f"{type(endpoint).__name__}.RPC_VERSION is not MAJOR.MINOR: {endpoint.RPC_VERSION!r}")
        self.version = version
        self.methods = {name: getattr(endpoint, name) for name in endpoint.RPC_METHODS}
        self.signatures = {name: Signature.of(method) for name, method in self.methods.items()}


def highest_version(endpoints: Sequence[Endpoint]) -> str:
    """The newest version that one of them serves: what a service that consists of them says of itself."""
    return max((each.RPC_VERSION for each in endpoints), key=lambda text: tuple(map(int, text.split("."))))


class RpcDispatcher(DispatcherBase):  # type: ignore[misc]
    """Handed to oslo.messaging's server, which gives it every message."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self._endpoints = [_Callables(endpoint) for endpoint in endpoints]

    def dispatch(self, incoming: Any) -> Any:
        """Answer one message of oslo.messaging's; its errors reach the caller as they are, without our traceback."""
        with about(*_subject(incoming.message, incoming.ctxt)), _span(incoming.message, incoming.ctxt):
            return self._answer_or_tell(incoming.message, incoming.ctxt)

    def _answer_or_tell(self, message: Any, context: Any) -> Any:
        try:
            return self.answer(message, context)
        except VolumedError as error:
            LOG.info("%s was answered with %s: %s", _name(message), type(error).__name__, error)
            raise _answer_with(error) from None
        except Exception as error:
            LOG.exception("%s failed", _name(message))
            unexpected = InternalError(method=_name(message), reason=f"{type(error).__name__}; the log has the details")
            raise _answer_with(unexpected) from None

    def answer(self, message: Any, context: Any) -> Any:
        """Call the method that ``message`` names with its arguments.

        Raises ``UnsupportedVersion``, ``NoSuchMethod``, ``InvalidMessage``, or what the method raises.
        """
        if not isinstance(message, Mapping):
            raise InvalidMessage(method="?", reason="it is not a mapping")
        name = message.get("method")
        compatible = list(self._compatible(message))
        for endpoint in compatible:
            if isinstance(name, str) and name in endpoint.methods:
                asker = _context(name, context)
                bound = endpoint.signatures[name].bind(name, asker, message.get("args"))
                return endpoint.methods[name](*bound.args, **bound.kwargs)
        raise NoSuchMethod(method=_name(message))

    def _compatible(self, message: Mapping[str, Any]) -> Iterator[_Callables]:
        text = message.get("version")
        asked = Version.parse(FIRST_VERSION if text is None else text)
        found = [] if asked is None else [known for known in self._endpoints if known.version.serves(asked)]
        if not found or message.get("namespace") is not None:
            raise UnsupportedVersion(version=str(text)[:32], method=_name(message))
        yield from found


def _name(message: Any) -> str:
    return str(message.get("method"))[:64] if isinstance(message, Mapping) else "?"


def _subject(message: Any, context: Any) -> tuple[str | None, str | None]:
    """The ids of request and operation, as far as they look like ids: nobody's text makes up lines of the log."""
    args = message.get("args") if isinstance(message, Mapping) else None
    named = (context, "request_id"), (args, "operation_id")
    request_id, operation_id = (each.get(key) if isinstance(each, Mapping) else None for each, key in named)
    return _id_or_none(request_id), _id_or_none(operation_id)


def _span(message: Any, context: Any) -> AbstractContextManager[Any]:
    """Of what belongs to a span already; reports and the like are nobody's."""
    wanted = isinstance(context, Mapping) and tracing.PARENT in context
    return tracing.span(f"rpc {_name(message)}", context) if wanted else nullcontext()


def _id_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) and _ID.fullmatch(value) else None


def _context(name: str, values: Any) -> RequestContext:
    if not isinstance(values, Mapping):
        raise InvalidMessage(method=name, reason="its context is not a mapping")
    for key in _TEXTS:
        if not isinstance(values.get(key), str | None) or not is_plain(values.get(key)):
            raise InvalidMessage(method=name, reason=f"{key} of its context is not a text")
    if not isinstance(values.get("is_admin"), bool | None):
        raise InvalidMessage(method=name, reason="is_admin of its context is neither true nor false")
    if not isinstance(values.get("roles"), list | tuple | None) or not is_plain(values.get("roles")):
        raise InvalidMessage(method=name, reason="roles of its context is not a list of texts")
    return RequestContext.from_dict(dict(values))


def _answer_with(error: VolumedError) -> ExpectedException:
    expected = ExpectedException()
    expected.exc_info = (type(error), error, None)
    return expected
