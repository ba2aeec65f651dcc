"""The driver's ability to manage what others made: the one door to it, and pages of what it lists.

Knows nothing of rows, operations or RPC.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from volumed.driver.interface import Driver, Manageable, Manages, Reference
from volumed.model.errors import BackendInvalid, Invalid
from volumed.model.records import Json


def able(driver: Driver, host: str) -> Manages:
    """The driver, when it can. Raises ``BackendInvalid``."""
    if not isinstance(driver, Manages):
        raise BackendInvalid(
            backend=host, what="to manage or unmanage volumes and snapshots", reason="its driver cannot do that"
        )
    return driver


def listed(driver: Manages, resource_type: str) -> Sequence[Manageable]:
    """What could be a ``resource_type`` (volume, snapshot) on the backend."""
    return driver.manageable_snapshots() if _is_snapshot(resource_type) else driver.manageable_volumes()


def size_of(driver: Manages, resource_type: str, reference: Reference) -> int:
    """GiB of what could become a ``resource_type``."""
    if _is_snapshot(resource_type):
        return driver.managed_snapshot_size(reference)
    return driver.managed_size(reference)


def check_reference(reference: Mapping[str, object]) -> None:
    """Raise ``Invalid`` where a reference has other than texts."""
    if not all(isinstance(each, str) for pair in reference.items() for each in pair):
        raise Invalid(reason="Invalid input received: a reference must have texts only.")


def _is_snapshot(resource_type: str) -> bool:
    if resource_type not in {"volume", "snapshot"}:
        raise Invalid(reason=f"Invalid input received: {resource_type[:40]!r} is neither volume nor snapshot.")
    return resource_type == "snapshot"


def _text(found: Manageable) -> str:
    return json.dumps(dict(sorted(found.reference.items())), ensure_ascii=False)


#: What a list may be sorted by.
SORT_KEYS: Mapping[str, Callable[[Manageable], Any]] = {"reference": _text, "size": lambda found: found.size}

#: Directions that may stand behind a key, each with whether it descends.
DIRECTIONS: Mapping[str, bool] = {"": False, "asc": False, "desc": True}


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list. ``sort``: keys, each with whether it descends.

    ``marker``: the reference behind which it begins, as JSON or, where it has one value only, that value.
    """

    sort: Sequence[tuple[str, bool]]
    marker: str | None
    offset: int
    limit: int | None

    @classmethod
    def checked(cls, sort: Sequence[Any], marker: str | None, offset: int, limit: int | None) -> "Page":
        """``sort``: texts like ``size:desc``. Raises ``Invalid``."""
        if offset < 0 or (limit is not None and limit < 0):
            raise Invalid(reason="Invalid input received: limit and offset must not be negative.")
        return cls([_key(str(each)) for each in sort], marker, offset, limit)

    def of(self, found: Sequence[Manageable]) -> list[Json]:
        """The entries of the page as records. Raises ``Invalid`` when nothing has the marker."""
        ordered = sorted(found, key=_text)
        for key, descends in reversed(self.sort):
            ordered.sort(key=SORT_KEYS[key], reverse=descends)
        start = self.offset + (0 if self.marker is None else _behind(ordered, self.marker))
        return [asdict(each) for each in ordered[start : None if self.limit is None else start + self.limit]]


def _key(text: str) -> tuple[str, bool]:
    key, _, direction = text.partition(":")
    if key not in SORT_KEYS:
        raise Invalid(reason=f"Invalid input received: Invalid sort keys passed: {key[:40]!r}")
    if direction not in DIRECTIONS:
        raise Invalid(reason=f"Invalid input received: Invalid sort dirs passed: {direction[:40]!r}")
    return key, DIRECTIONS[direction]


def _behind(ordered: Sequence[Manageable], marker: str) -> int:
    known = _parsed(marker)
    for place, each in enumerate(ordered):
        values = list(each.reference.values())
        if values == [marker] or dict(each.reference) == known:
            return place + 1
    raise Invalid(reason=f"Invalid input received: marker not found: {marker[:80]!r}")


def _parsed(marker: str) -> Any:
    try:
        return json.loads(marker)
    except (ValueError, RecursionError):
        return None
