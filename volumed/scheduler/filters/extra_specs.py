"""The operators of extra specs: ``<in> nvme``, ``>= 10``, ``s== gold``, ``<or> a <or> b``, ...

Without an operator the capability must equal the text. A number asked of something that is none does not match, and
neither does a malformed requirement: a wish that is not understood must not be taken for granted.
Source: the administrator's guides of Block Storage and Compute (``<all-in>``).
"""

import operator
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from oslo_utils.strutils import bool_from_string

Matcher = Callable[[Any], bool]

#: ``=`` means "at least", as it always did in OpenStack.
_NUMBERS: dict[str, Callable[[float, float], bool]] = {
    "=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}

_TEXTS: dict[str, Callable[[str, str], bool]] = {
    "s==": operator.eq,
    "s!=": operator.ne,
    "s>=": operator.ge,
    "s<=": operator.le,
    "s>": operator.gt,
    "s<": operator.lt,
}


@lru_cache(maxsize=1024)
def matcher(requirement: str) -> Matcher:
    """What tells whether a capability's value meets ``requirement``."""
    word, *rest = requirement.split() or [""]
    if word in _NUMBERS:
        return _number(_NUMBERS[word], rest)
    if word in _TEXTS:
        return _text(_TEXTS[word], " ".join(rest))
    if word == "<or>":
        return _any_of(requirement)
    if word in _WORDS:
        return _WORDS[word](rest)
    return lambda found: _equal(found, requirement)


def _number(compare: Callable[[float, float], bool], rest: list[str]) -> Matcher:
    def match(found: Any) -> bool:
        try:
            return len(rest) == 1 and compare(float(found), float(rest[0]))
        except (TypeError, ValueError):
            return False

    return match


def _text(compare: Callable[[str, str], bool], wanted: str) -> Matcher:
    return lambda found: bool(wanted) and compare(str(found), wanted)


def _any_of(requirement: str) -> Matcher:
    wanted = [part.strip() for part in requirement.split("<or>")]
    return lambda found: any(_equal(found, each) for each in wanted if each)


def _contains(rest: list[str]) -> Matcher:
    wanted = " ".join(rest)
    return lambda found: bool(wanted) and wanted in _members(found)


def _contains_all(rest: list[str]) -> Matcher:
    return lambda found: bool(rest) and all(each in _members(found) for each in rest)


def _is(rest: list[str]) -> Matcher:
    if len(rest) != 1:
        return lambda found: False
    wanted = bool_from_string(rest[0])
    return lambda found: (found if isinstance(found, bool) else bool_from_string(found)) is wanted


_WORDS: dict[str, Callable[[list[str]], Matcher]] = {"<in>": _contains, "<all-in>": _contains_all, "<is>": _is}


def _members(found: Any) -> Any:
    """A list's members as texts; anything else as a text, in which a part is looked for."""
    return [str(each) for each in found] if isinstance(found, list | tuple | set | frozenset) else str(found)


def _equal(found: Any, wanted: str) -> bool:
    if isinstance(found, bool):
        return str(found).lower() == wanted.strip().lower()
    if isinstance(found, int | float):
        return _number(operator.eq, [wanted])(found)
    return str(found) == wanted
