"""What the helper of LVM can be asked, and nothing else: each request a value that is checked to the last letter.

A change is one of LVM's commands with the options that this driver uses, on a volume group that the helper was given.
Standard library only: the helper holds what the service must not have, so it loads little.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from volumed_drivers.helper import wire
from volumed_drivers.helper.wire import Hello, Refused

#: Raised when a request's words change, so that an old helper says so.
PROTOCOL = 1

#: Seconds that a command may be given at most.
LONGEST = 3600.0

# Source: lvm(8), "Valid names", and the tags' letters there.
_NAME = re.compile(r"[A-Za-z0-9_.+][A-Za-z0-9_.+-]{0,126}")
_TAG = re.compile(r"[A-Za-z0-9_+.\-/=!:&#]{1,1024}")
_BYTES = re.compile(r"\+?\d{1,19}b")
_NUMBER = re.compile(r"\d{1,6}")
_FIELD = re.compile(r"[a-z_]{1,40}")

#: Commands that change something, and what each must name: a group, a logical volume or several, or a group and two
#: names in it.
_VERBS = {
    "vgchange": "group",
    "lvcreate": "either",
    "lvremove": "volume",
    "lvchange": "volumes",
    "lvextend": "volume",
    "lvrename": "names",
}
_FLAGS = {"-y", "-s", "-K", "-ay", "-an", "-Wn", "-Zn", "-Zy", "--nosync"}
_VALUES = {
    "-L": _BYTES,
    "-V": _BYTES,
    "-c": _BYTES,
    "--poolmetadatasize": _BYTES,
    "-l": re.compile("100%ORIGIN"),
    "-k": re.compile("[yn]"),
    "-m": _NUMBER,
    "-R": _NUMBER,
    "-n": _NAME,
    "--addtag": _TAG,
    "--deltag": _TAG,
}


@dataclass(frozen=True, slots=True)
class Change:
    """Run one command. Answered with its ``status``, ``output`` and ``complaint``, or ``ended`` with why it was."""

    CHANGES: ClassVar[bool] = True
    words: tuple[str, ...]
    timeout: float


@dataclass(frozen=True, slots=True)
class Report:
    """What LVM says of a group, as JSON. Answered as a change is."""

    CHANGES: ClassVar[bool] = False
    group: str
    fields: tuple[str, ...]
    timeout: float


@dataclass(frozen=True, slots=True)
class Open:
    """A descriptor of a logical volume's device, handed over with the answer."""

    CHANGES: ClassVar[bool] = False
    group: str
    name: str
    writable: bool


@dataclass(frozen=True, slots=True)
class Holders:
    """Who has a logical volume open: a sentence."""

    CHANGES: ClassVar[bool] = False
    group: str
    name: str


Request = Hello | Change | Report | Open | Holders

_KINDS = (Hello, Change, Report, Open, Holders)


def of_words(words: bytes, groups: Sequence[str]) -> Request:
    """The request that was sent, checked to the last letter. Raises ``Refused`` (``invalid``)."""
    request: Request = wire.of_words(words, _KINDS, _shaped)
    check(request, groups)
    return request


def _shaped(told: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in told.items()}


def check(request: Request, groups: Sequence[str]) -> None:
    """Raise ``Refused`` unless every word is one that this driver has a use for, in one of ``groups``."""
    match request:
        case Hello():
            return
        case Change(words, timeout):
            _check_words(words)
            _check_time(timeout)
            _check_command(words, groups)
        case Report(group, fields, timeout):
            _check_words(fields)
            _check_time(timeout)
            _check_group(group, groups)
            for field in fields:
                _fits("field", _FIELD, field)
        case Open(group, name, writable):
            _check_group(group, groups)
            _fits("name", _NAME, name)
            if type(writable) is not bool:
                raise Refused("invalid", "writable is no bool")
        case Holders(group, name):
            _check_group(group, groups)
            _fits("name", _NAME, name)


def _check_command(words: tuple[str, ...], groups: Sequence[str]) -> None:
    if not words or words[0] not in _VERBS:
        raise Refused("invalid", f"the helper runs {', '.join(_VERBS)}, not {words[:1]!r}")
    places = list(_places(iter(words[1:])))
    wanted = _VERBS[words[0]]
    if wanted == "names":
        fits = len(places) == 3 and places[0] in groups and all(_NAME.fullmatch(name) for name in places[1:])
    else:
        found = [_is_volume(place, groups) for place in places]
        is_one = len(found) == 1 or (wanted == "volumes" and len(found) > 1)
        fits = is_one and (wanted == "either" or all(each == (wanted != "group") for each in found))
    if not fits:
        raise Refused("invalid", f"{words[0]} names {places}, which are not what it is for here")


def _places(words: Iterator[str]) -> Iterator[str]:
    """What is named beside the options, which are checked."""
    for word in words:
        if word in _VALUES:
            _fits(f"value of {word}", _VALUES[word], next(words, ""))
        elif word == "-T":  # what follows is the pool, and what is made is in it
            continue
        elif word.startswith("-") and word not in _FLAGS:
            raise Refused("invalid", f"the helper does not know the option {word!r}")
        elif word not in _FLAGS:
            yield word


def _is_volume(place: str, groups: Sequence[str]) -> bool:
    """Whether the place is a logical volume, and not the group itself. Raises ``Refused`` where it is neither."""
    group, slash, name = place.partition("/")
    _check_group(group, groups)
    if slash:
        _fits("name", _NAME, name)
    return bool(slash)


def _check_group(group: object, groups: Sequence[str]) -> None:
    if group not in groups:
        raise Refused("invalid", f"{group!r} is none of the groups that the helper was given: {', '.join(groups)}")


def _check_words(words: object) -> None:
    if not isinstance(words, tuple) or not all(isinstance(word, str) for word in words):
        raise Refused("invalid", "a command is a list of words")


def _check_time(timeout: object) -> None:
    if not isinstance(timeout, int | float) or isinstance(timeout, bool) or not 0 < timeout <= LONGEST:
        raise Refused("invalid", f"the time is 0 to {LONGEST:g} seconds, not {timeout!r}")


def _fits(what: str, pattern: re.Pattern[str], value: object) -> None:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise Refused("invalid", f"LVM takes no such {what}: {value!r}")
