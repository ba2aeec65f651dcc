"""From what a user types to a resource: an id is taken as it is, a name must be unique."""

import re

from volumed.client.rest import ClientError, Json, Rest

_ID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)

#: Candidates of an ambiguous name that are shown.
_SHOWN = 5


def is_id(text: str) -> bool:
    return _ID.fullmatch(text) is not None


def find_volume(rest: Rest, name: str) -> Json:
    """The volume with this id or name. Raises ``Refused`` (404) or ``ClientError``."""
    return _find(rest, name, "volume")


def find_snapshot(rest: Rest, name: str) -> Json:
    """The snapshot with this id or name. Raises ``Refused`` (404) or ``ClientError``."""
    return _find(rest, name, "snapshot")


def volume_id_of(rest: Rest, name: str) -> str:
    """The id; one that is typed is not looked up, so the volume may be gone already."""
    return name if is_id(name) else str(find_volume(rest, name)["id"])


def _find(rest: Rest, name: str, kind: str) -> Json:
    if is_id(name):
        found: Json = rest.get(f"/{kind}s/{name}")[kind]
        return found
    rows = list(rest.pages(f"/{kind}s/detail", f"{kind}s", limit=_SHOWN + 1, name=name))
    if not rows:
        raise ClientError(f"no {kind} is named {name!r}; one that is deleted is found by its id")
    if len(rows) > 1:
        ids = ", ".join(str(row["id"]) for row in rows[:_SHOWN])
        raise ClientError(
            f"several {kind}s are named {name!r}, give an id: {ids}{', ...' if len(rows) > _SHOWN else ''}"
        )
    return rows[0]
