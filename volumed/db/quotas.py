"""Quota by construction: use and limit stand in one row, and check and change are ONE statement.

There is no reservation to commit or roll back: the transaction that makes or removes a resource is that.
"""

import functools
from collections.abc import Mapping

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    String,
    Update,
    bindparam,
    case,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from volumed.db.clock import now
from volumed.db.engine import Database
from volumed.db.tables import quota_defaults, quotas
from volumed.db.trouble import Again
from volumed.model.errors import QuotaExceeded

#: A limit that is none.
UNLIMITED = -1


class MissingRows(Exception):
    """The project has no rows yet for these resources; make them and run the transaction again."""

    def __init__(self, project_id: str, resources: frozenset[str]) -> None:
        self.project_id = project_id
        self.resources = resources
        super().__init__(project_id)


def change(tx: Connection, project_id: str, deltas: Mapping[str, int], defaults: Mapping[str, int]) -> None:
    """Change the use of each resource by its delta, all or none; what grows must stay within its limit.

    ``defaults`` are the configuration's limits by resource; ``quota_defaults`` rows and the project's own win over
    them. Raises ``QuotaExceeded`` with the numbers, ``MissingRows`` before a project's first use.
    """
    names = sorted(deltas)
    parameters: dict[str, str | int] = {"project": project_id}
    for place, name in enumerate(names):
        limit = defaults.get(name, UNLIMITED)
        parameters |= {f"name{place}": name, f"delta{place}": deltas[name], f"limit{place}": limit}
    if tx.execute(_change_of(len(names)), parameters).rowcount != len(names):
        _explain(tx, project_id, deltas, defaults)


@functools.lru_cache(maxsize=16)
def _change_of(number: int) -> Update:
    """The statement for ``number`` resources. Every create runs it, and building it costs five times its execution."""
    places = range(number)
    names = [bindparam(f"name{place}", type_=String) for place in places]
    deltas = [bindparam(f"delta{place}", type_=BigInteger) for place in places]
    limits = [bindparam(f"limit{place}", type_=BigInteger) for place in places]
    delta: ColumnElement[int] = case(
        *((quotas.c.resource == name, value) for name, value in zip(names, deltas, strict=True)), else_=0
    )
    configured: ColumnElement[int] = case(
        *((quotas.c.resource == name, value) for name, value in zip(names, limits, strict=True)), else_=UNLIMITED
    )
    limit = _in_force(configured)
    return (
        update(quotas)
        .where(quotas.c.project_id == bindparam("project"), quotas.c.resource.in_(names))
        .where(or_(delta <= 0, limit < 0, quotas.c.in_use + delta <= limit))
        .values(in_use=quotas.c.in_use + delta, updated_at=now())
    )


def adjust(tx: Connection, project_id: str, deltas: Mapping[str, int]) -> None:
    """Change the use without a check: for what is given back, and for rows that another API tier made.

    Resources whose row is missing are made. Raises ``Again`` when somebody else makes one at the same time.
    """
    names = sorted(deltas)
    delta: ColumnElement[int] = case(*((quotas.c.resource == name, literal(deltas[name])) for name in names), else_=0)
    of_project = quotas.c.project_id == project_id
    changed = update(quotas).where(of_project, quotas.c.resource.in_(names))
    found = tx.execute(changed.values(in_use=quotas.c.in_use + delta, updated_at=now())).rowcount
    if found == len(names):
        return
    known = set(tx.execute(select(quotas.c.resource).where(of_project, quotas.c.resource.in_(names))).scalars())
    if len(known) != found:
        raise Again(f"a row of the quota of {project_id} was made meanwhile, and is not counted in")
    try:
        for name in names:
            if name not in known:
                _add_row(tx, project_id, name, deltas[name])
    except IntegrityError as error:
        raise Again(f"a row of the quota of {project_id} was made at the same time") from error


def _limit(names: list[str], defaults: Mapping[str, int]) -> ColumnElement[int]:
    configured = case(
        *((quotas.c.resource == name, literal(defaults.get(name, UNLIMITED))) for name in names), else_=UNLIMITED
    )
    return _in_force(configured)


def _in_force(configured: ColumnElement[int]) -> ColumnElement[int]:
    """The limit of a row: its own, else the stored default, else the configured one."""
    stored = (
        select(quota_defaults.c.hard_limit)
        .where(quota_defaults.c.resource == quotas.c.resource)
        .correlate(quotas)
        .scalar_subquery()
    )
    return func.coalesce(quotas.c.hard_limit, stored, configured)


def _explain(tx: Connection, project_id: str, deltas: Mapping[str, int], defaults: Mapping[str, int]) -> None:
    found = usage(tx, project_id, deltas, defaults)
    if missing := frozenset(deltas) - found.keys():
        raise MissingRows(project_id, missing)
    for name in sorted(deltas):
        in_use, limit = found[name]
        # The change above was made for the others in this transaction; that is rolled back with this error.
        if deltas[name] > 0 and limit >= 0 and in_use + deltas[name] > limit:
            raise QuotaExceeded(
                requested=deltas[name], resource=name, in_use=in_use, limit=limit, project_id=project_id
            )
    raise Again(f"the quota of {project_id} was changed between the refusal and its explanation")


def usage(
    tx: Connection, project_id: str, resources: Mapping[str, int], defaults: Mapping[str, int]
) -> dict[str, tuple[int, int]]:
    """``(in_use, limit)`` of those of ``resources`` that the project has rows for."""
    names = sorted(resources)
    wanted = select(quotas.c.resource, quotas.c.in_use, _limit(names, defaults)).where(
        quotas.c.project_id == project_id, quotas.c.resource.in_(names)
    )
    return {row[0]: (row[1], row[2]) for row in tx.execute(wanted)}


def ensure_rows(database: Database, missing: MissingRows) -> None:
    """Make the rows that a project's first use needs, in a transaction of its own."""
    for resource in sorted(missing.resources):
        try:
            database.write(_add_row, missing.project_id, resource)
        except IntegrityError:  # another request made it
            continue


def _add_row(tx: Connection, project_id: str, resource: str, in_use: int = 0) -> None:
    tx.execute(insert(quotas).values(project_id=project_id, resource=resource, in_use=in_use, updated_at=now()))
