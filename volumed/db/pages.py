"""Pages of a list by key: a page begins behind its marker's values, so it costs the same wherever it lies.

Says in SQL what a ``Listing`` says in names of columns; knows nothing of HTTP.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, and_, case, false, func, literal, or_, select, tuple_

from volumed.model.errors import NotFound

#: How a time may be compared in a filter.
COMPARISONS = ("gt", "gte", "lt", "lte", "eq", "neq")


@dataclass(frozen=True, slots=True)
class TimeBound:
    """``column`` compared with a time in microseconds."""

    column: str
    comparison: str
    time: int


@dataclass(frozen=True, slots=True)
class Listing:
    """What a list asks for, in names of columns. ``project_id`` None: of every project."""

    project_id: str | None
    limit: int
    #: ``(column, descending)``; the id is added, so that the order is total.
    sort: Sequence[tuple[str, bool]] = (("created_at", True),)
    #: The id of the last row of the page before.
    marker: str | None = None
    offset: int = 0
    #: Column: values, one of which it must have.
    equals: Mapping[str, Collection[Any]] = field(default_factory=dict)
    #: Column: words that it must contain.
    contains: Mapping[str, str] = field(default_factory=dict)
    #: Column: a beginning of it.
    begins: Mapping[str, str] = field(default_factory=dict)
    times: Sequence[TimeBound] = ()
    #: Pairs that the column ``metadata`` must contain.
    metadata: Mapping[str, str] = field(default_factory=dict)
    #: Pairs that the column ``extra_specs`` must contain.
    specs: Mapping[str, str] = field(default_factory=dict)


def page(tx: Connection, wanted: Select[Any], table: Table, listing: Listing, resource_type: str) -> Sequence[Any]:
    """The rows of ``wanted`` (a SELECT of ``table``) on the page. Raises ``NotFound`` without the marker's row."""
    sort = _total_order(listing.sort)
    wanted = wanted.where(*_conditions(table, listing))
    if listing.marker is not None:
        wanted = wanted.where(_behind(table, sort, _marker(tx, table, sort, listing, resource_type)))
    order = [_sortable(table, name).desc() if descending else _sortable(table, name) for name, descending in sort]
    wanted = wanted.order_by(*order).limit(listing.limit)
    return tx.execute(wanted.offset(listing.offset) if listing.offset else wanted).all()


def count(tx: Connection, table: Table, listing: Listing) -> int:
    """How many rows the whole list has. Counts them: the cost grows with the list."""
    return tx.execute(select(func.count()).select_from(table).where(*_conditions(table, listing))).scalar_one()


def _total_order(sort: Sequence[tuple[str, bool]]) -> list[tuple[str, bool]]:
    keys = list(dict(sort).items())
    if "id" not in dict(keys):
        keys.append(("id", keys[-1][1] if keys else True))
    return keys


def _conditions(table: Table, listing: Listing) -> list[ColumnElement[bool]]:
    columns = table.c
    found: list[ColumnElement[bool]] = []
    if listing.project_id is not None:
        found.append(columns.project_id == listing.project_id)
    for name, values in listing.equals.items():
        found.append(_one_of(columns[name], values))
    found.extend(columns[name].contains(words, autoescape=True) for name, words in listing.contains.items())
    found.extend(columns[name].startswith(words, autoescape=True) for name, words in listing.begins.items())
    found.extend(_compared(columns[bound.column], bound) for bound in listing.times)
    found.extend(columns.metadata[key].as_string() == value for key, value in listing.metadata.items())
    found.extend(columns.extra_specs[key].as_string() == value for key, value in listing.specs.items())
    return found


def _one_of(column: ColumnElement[Any], values: Collection[Any]) -> ColumnElement[bool]:
    known = [value for value in values if value is not None]
    if len(known) == 1 and len(values) == 1:
        only: ColumnElement[bool] = column == known[0]
        return only
    among = column.in_(known) if known else false()
    return or_(among, column.is_(None)) if len(known) < len(values) else among


def _compared(column: ColumnElement[int], bound: TimeBound) -> ColumnElement[bool]:
    comparisons: dict[str, ColumnElement[bool]] = {
        "gt": column > bound.time,
        "gte": column >= bound.time,
        "lt": column < bound.time,
        "lte": column <= bound.time,
        "eq": column == bound.time,
        "neq": column != bound.time,
    }
    return comparisons[bound.comparison]


def _sortable(table: Table, name: str) -> ColumnElement[Any]:
    """The column; where it may be NULL, NULL sorts as the least value, alike on every database.

    Booleans are made numbers: not every database orders them.
    """
    column = table.c[name]
    if column.type.python_type is bool:
        return case((column.is_(True), 1), else_=0)
    if not column.nullable:
        return column
    return func.coalesce(column, "" if column.type.python_type is str else -1)


def _marker(
    tx: Connection, table: Table, sort: Sequence[tuple[str, bool]], listing: Listing, resource_type: str
) -> Sequence[Any]:
    wanted = select(*(_sortable(table, name) for name, _ in sort)).where(table.c.id == listing.marker)
    if listing.project_id is not None:
        wanted = wanted.where(table.c.project_id == listing.project_id)
    row = tx.execute(wanted).first()
    if row is None:
        raise NotFound(resource_type=resource_type, resource_id=listing.marker)
    return row


def _behind(table: Table, sort: Sequence[tuple[str, bool]], marker: Sequence[Any]) -> ColumnElement[bool]:
    """Rows behind the marker.

    Where all keys run one way it is one comparison of row values: SQLite and PostgreSQL seek to it in the index, also
    among many rows with the same first key; MariaDB seeks by the first key alone, so its range stands beside it.
    """
    (first, descending), value = sort[0], marker[0]
    column = _sortable(table, first)
    range_of_first = column <= value if descending else column >= value
    if len({direction for _, direction in sort}) == 1:
        keys = tuple_(*(_sortable(table, name) for name, _ in sort))
        bounds = tuple_(*(literal(each) for each in marker))
        return and_(keys < bounds if descending else keys > bounds, range_of_first)
    return and_(range_of_first, _beyond_each(table, sort, marker))


def _beyond_each(table: Table, sort: Sequence[tuple[str, bool]], marker: Sequence[Any]) -> ColumnElement[bool]:
    """First key beyond, or equal and the rest beyond."""
    beyond: ColumnElement[bool] = false()
    for (name, descending), value in reversed(list(zip(sort, marker, strict=True))):
        column = _sortable(table, name)
        beyond = or_(column < value if descending else column > value, and_(column == value, beyond))
    return beyond
