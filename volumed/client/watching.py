"""Follows operations: a line for each change, until the user has seen enough.

Asks again and again, since most of what an operation goes through (taken, waiting, tried again) is no event. A server
that is away is waited for: operations outlive it.
"""

import json
import sys
import time
from argparse import Namespace
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from volumed.client.answer import cell, console
from volumed.client.moments import between, clock, duration, moment
from volumed.client.rest import PAGE, Json, Refused, Rest, Unreachable
from volumed.client.waiting import ENDED

#: Seconds between two looks.
PAUSE = 0.5

#: An operation may become visible this much after one that was asked for later: how far each look goes back.
OVERLAP = timedelta(seconds=10)

#: Rows of a page of the newest operations: most looks find nothing new.
RECENT_PAGE = 50

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC) + OVERLAP

#: Answers with which a server says that it cannot serve now.
_PASSING = frozenset({500, 502, 503, 504})


def watch(rest: Rest, args: Namespace) -> None:
    """Say what changes, for ever."""
    say = _say_json if args.json else _Lines().say
    watched = _Watched(rest, _query(args))
    is_away, is_told = False, False
    while True:
        try:
            for change in watched.look():
                say(change)
            is_away = False
            if not is_told:
                print(f"volumed: following operations at {rest.url}; Ctrl-C ends it", file=sys.stderr, flush=True)
            is_told = True
        except (Unreachable, Refused) as error:
            is_passing = isinstance(error, Unreachable) or error.code in _PASSING
            if not (is_told and is_passing):  # a server that has never answered is a wrong address
                raise
            if not is_away:
                print(f"volumed: waiting for the server: {error}", file=sys.stderr, flush=True)
            is_away = True
        time.sleep(PAUSE)


def _query(args: Namespace) -> Json:
    return {"resource_id": args.resource, "all_tenants": 1 if args.all_projects else None}


class _Watched:
    """What is known of the operations so far."""

    def __init__(self, rest: Rest, query: Json) -> None:
        self._rest = rest
        self._query = query
        #: The last that was seen of each operation that is live, or so new that a look may find it again.
        self._seen: dict[str, Json] = {}
        #: When the newest one that was seen was asked for; None before the first look.
        self._newest: datetime | None = None

    def look(self) -> list[Json]:
        """Every operation that has changed since the last look; at first those that are live."""
        is_first = self._newest is None
        recent = self._recent()
        found = {each["id"]: each for each in [*recent, *self._list(PAGE, state="live")]}
        found |= {each["id"]: each for each in self._ended(found)}
        changed = [each for each in found.values() if self._has_changed(each)]
        self._remember(found)
        return sorted((each for each in changed if not is_first or each["state"] not in ENDED), key=_age)

    def _recent(self) -> list[Json]:
        """Operations asked for lately, ended ones too: a short one may have come and gone between two looks."""
        found: list[Json] = []
        since = None if self._newest is None else self._newest - OVERLAP
        for row in self._list(RECENT_PAGE):
            asked = _asked(row)
            since = asked - OVERLAP if since is None else since
            if asked < since:
                break
            found.append(row)
        return found

    def _ended(self, found: Collection[str]) -> Iterator[Json]:
        """What was live at the last look and is not among ``found``."""
        for operation_id, seen in list(self._seen.items()):
            if seen["state"] not in ENDED and operation_id not in found:
                try:
                    yield self._rest.get(f"/operations/{operation_id}")["operation"]
                except Refused as error:
                    if error.code != 404:
                        raise
                    del self._seen[operation_id]  # it ended so long ago that it is forgotten

    def _list(self, page: int, **query: Any) -> Iterator[Json]:
        return self._rest.pages("/operations", "operations", page=page, **self._query, **query)

    def _has_changed(self, operation: Json) -> bool:
        seen = self._seen.get(operation["id"])
        return seen is None or _standing(seen) != _standing(operation)

    def _remember(self, found: Mapping[str, Json]) -> None:
        self._newest = max((_asked(each) for each in found.values()), default=self._newest or _BEGINNING)
        horizon = self._newest - 2 * OVERLAP
        known = {**self._seen, **found}
        self._seen = {key: each for key, each in known.items() if each["state"] not in ENDED or _asked(each) >= horizon}


def _asked(operation: Json) -> datetime:
    return moment(operation["created_at"]) or _BEGINNING


def _age(operation: Json) -> tuple[str, str]:
    return operation["updated_at"], operation["id"]


def _standing(operation: Json) -> tuple[object, ...]:
    """What a change is a change of."""
    return operation["state"], operation["wait_reason"], operation["cancel_requested"]


class _Lines:
    """A line for each change, as people read it."""

    def __init__(self) -> None:
        self._console = console()

    def say(self, operation: Json) -> None:
        from rich.text import Text

        passed = between(operation["created_at"], operation["ended_at"])
        line = Text(f"{clock(operation['updated_at'])}  {operation['kind']} ").append_text(cell(operation["state"]))
        line.append(f" after {duration(passed)}" if passed is not None else "")
        line.append(f"  {operation['resource_type']} {operation['resource_id']}")
        line.append(f"  (operation {operation['id']})", style="dim")
        reason = (operation["error"] or {}).get("message") or operation["wait_reason"]
        line.append(f"  {reason}" if reason else "")
        self._console.print(line, soft_wrap=True)


def _say_json(operation: Json) -> None:
    print(json.dumps(operation, ensure_ascii=False), flush=True)
