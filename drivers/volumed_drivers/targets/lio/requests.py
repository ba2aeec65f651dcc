"""What the helper can be asked, and nothing else: each request a value that is checked before anything is done.

Both ends of the socket read this; it knows names and limits, and nothing of configfs. Standard library only: the helper
holds what the service must not have, so it loads little.
"""

import re
from dataclasses import dataclass, field
from typing import Any, ClassVar

from volumed_drivers.helper import wire
from volumed_drivers.helper.wire import Hello, Refused

#: Raised when a request's words change, so that an old helper says so.
PROTOCOL = 2

_OWNER = re.compile(r"[0-9a-f]{12}")
_VOLUME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
#: RFC 7143, 4.2.7: names are lower case on the wire; LIO compares with what it made so.
_NAME = re.compile(r"(iqn|eui|naa)\.[a-z0-9.:_-]{1,218}")
_PORTAL = re.compile(r"(\d{1,3}(\.\d{1,3}){3}|\[[0-9a-f:.]{2,45}\]):\d{1,5}")
_PATH = re.compile(r"/[^\x00-\x1f,\x7f]{1,254}")
#: LIO takes 255 bytes, and "NULL" at the beginning for none at all.
_SECRET = re.compile(r"(?!NULL)[\x21-\x7e]{1,255}")
#: What an initiator says is a number to LIO where it begins so, its user name too (RFC 7143, 6.1): it never matches.
_USER = re.compile(rf"(?!0[xXbB]){_SECRET.pattern}")


@dataclass(frozen=True, slots=True)
class Acl:
    """One initiator that may log in, by name, with its CHAP credentials."""

    initiator: str
    username: str
    password: str = field(repr=False)
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose exports: ``owner`` is the mark on their backstores, ``prefix`` the beginning of their targets' names."""

    owner: str
    prefix: str
    #: Each as ``address:port``, an IPv6 address in brackets.
    portals: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Apply:
    """Make the volume's export exactly this one; ``path`` is a block device or a file of ``size_bytes``."""

    CHANGES: ClassVar[bool] = True
    scope: Scope
    volume_id: str
    path: str
    size_bytes: int
    write_cache: bool
    #: Whether an initiator needs its secret, or only its name.
    authenticates: bool
    acls: tuple[Acl, ...]
    #: Cuts initiators that are logged in and lose their access; else that is ``busy``.
    force: bool = False


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove the volume's export, whole or half-made. ``force`` cuts whoever is logged in; else that is ``busy``."""

    CHANGES: ClassVar[bool] = True
    scope: Scope
    volume_id: str
    force: bool


@dataclass(frozen=True, slots=True)
class Exports:
    """Every export of the scope, read in one pass."""

    CHANGES: ClassVar[bool] = False
    scope: Scope


@dataclass(frozen=True, slots=True)
class Names:
    """The volumes that have a target of the scope's prefix; one look at a folder, whoever owns them."""

    CHANGES: ClassVar[bool] = False
    scope: Scope


@dataclass(frozen=True, slots=True)
class Sessions:
    """The initiators that are logged in to the volume's export."""

    CHANGES: ClassVar[bool] = False
    scope: Scope
    volume_id: str


Request = Hello | Apply | Remove | Exports | Names | Sessions

_KINDS = (Hello, Apply, Remove, Exports, Names, Sessions)


def of_words(words: bytes) -> Request:
    """The request that was sent, checked to the last letter. Raises ``Refused`` (``invalid``), quoting no value."""
    request: Request = wire.of_words(words, _KINDS, _shaped)
    check(request)
    return request


def _shaped(told: dict[str, Any]) -> dict[str, Any]:
    if "scope" in told:
        told["scope"] = Scope(**told["scope"] | {"portals": tuple(told["scope"]["portals"])})
    if "acls" in told:
        told["acls"] = tuple(Acl(**acl) for acl in told["acls"])
    return told


def check(request: Request) -> None:
    """Raise ``Refused`` unless every word of the request is one that LIO and its folders can take."""
    if isinstance(request, Hello):
        return
    _check_scope(request.scope)
    if isinstance(request, Apply | Remove | Sessions):
        _fits("volume's id", _VOLUME, request.volume_id)
        _fits("target's name", _NAME, request.scope.prefix + request.volume_id)
    if isinstance(request, Remove):
        _is("force", bool, request.force)
    if isinstance(request, Apply):
        _check_apply(request)


def _check_scope(scope: Scope) -> None:
    _fits("owner", _OWNER, scope.owner)
    _fits("prefix", _NAME, scope.prefix)
    if not 1 <= len(scope.portals) <= 16:
        raise Refused("invalid", "an export has 1 to 16 portals")
    for portal in scope.portals:
        _fits("portal", _PORTAL, portal)


def _check_apply(request: Apply) -> None:
    _fits("path", _PATH, request.path)
    _is("size", int, request.size_bytes)
    _is("write cache", bool, request.write_cache)
    _is("authenticates", bool, request.authenticates)
    _is("force", bool, request.force)
    for acl in request.acls:
        _fits("initiator's name", _NAME, acl.initiator)
        _fits("user name", _USER, acl.username, secret=True)
        _fits("password", _SECRET, acl.password, secret=True)
        _is("read only", bool, acl.read_only)
    names = [acl.initiator for acl in request.acls]
    if len(set(names)) != len(names):
        raise Refused("invalid", "LIO knows one secret for an initiator, and there are two for one")


def _fits(what: str, pattern: re.Pattern[str], value: object, secret: bool = False) -> None:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise Refused("invalid", f"LIO takes no such {what}" + ("" if secret else f": {value!r}"))


def _is(what: str, kind: type, value: object) -> None:
    if type(value) is not kind or (kind is int and not 0 <= int(value) < 1 << 63):  # type: ignore[call-overload]
        raise Refused("invalid", f"{what} is no {kind.__name__}")
