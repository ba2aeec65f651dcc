"""The tables of statuses: complete, in OpenStack's words, with an end in reach from everywhere; and the rows obey."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from volumed.db import attachments, snapshots, tables, volumes
from volumed.db.engine import Database
from volumed.model.attached import FOLLOWING, status_of
from volumed.model.errors import IllegalMove, NotFound
from volumed.model.requests import ATTACHMENT_REQUESTS, SNAPSHOT_REQUESTS, VOLUME_REQUESTS, Answer
from volumed.model.states import (
    ATTACHMENT_MOVES,
    ENDED,
    OPERATION_MOVES,
    RESTING_VOLUME,
    SNAPSHOT_MOVES,
    VOLUME_MOVES,
    AttachStatus,
    OperationState,
    SnapshotStatus,
    VolumeStatus,
)

TABLES: Mapping[type[StrEnum], Mapping[StrEnum, frozenset[StrEnum]]] = {
    VolumeStatus: VOLUME_MOVES,
    SnapshotStatus: SNAPSHOT_MOVES,
    AttachStatus: ATTACHMENT_MOVES,
    OperationState: OPERATION_MOVES,
}

#: Where a resource may rest. A volume or snapshot that is ``deleting`` ends without a row.
RESTING: Mapping[type[StrEnum], frozenset[StrEnum]] = {
    VolumeStatus: RESTING_VOLUME | {VolumeStatus.DELETING},
    SnapshotStatus: frozenset(SnapshotStatus)
    - {SnapshotStatus.CREATING, SnapshotStatus.RESTORING, SnapshotStatus.MANAGING, SnapshotStatus.UNMANAGING},
    AttachStatus: frozenset(AttachStatus) - {AttachStatus.ATTACHING, AttachStatus.DETACHING},
    OperationState: ENDED,
}

#: Source: the Block Storage API's tables of volume, snapshot and attachment statuses. It knows those about managing of
#: volumes only; snapshots have the same.
OPENSTACK = {
    VolumeStatus: "creating available reserved attaching detaching in-use deleting error error_deleting extending "
    "error_extending reverting managing error_managing unmanaging error_unmanaging",
    SnapshotStatus: "creating available restoring deleting error error_deleting managing error_managing unmanaging "
    "error_unmanaging",
    AttachStatus: "attached attaching detached reserved error_attaching error_detaching detaching",
}


@pytest.mark.parametrize("statuses", TABLES, ids=lambda kind: kind.__name__)
def test_every_status_has_a_line_and_every_move_ends_at_a_status(statuses: type[StrEnum]) -> None:
    assert set(TABLES[statuses]) == set(statuses)
    assert all(to in statuses for moves in TABLES[statuses].values() for to in moves)


@pytest.mark.parametrize("statuses", OPENSTACK, ids=lambda kind: kind.__name__)
def test_the_words_are_openstacks(statuses: type[StrEnum]) -> None:
    assert {str(status) for status in statuses} == set(OPENSTACK[statuses].split())


@pytest.mark.parametrize("statuses", TABLES, ids=lambda kind: kind.__name__)
def test_an_end_is_reachable_from_everywhere(statuses: type[StrEnum]) -> None:
    for status in statuses:
        assert _reachable(TABLES[statuses], status) & RESTING[statuses], status


@pytest.mark.parametrize("state", sorted(ENDED))
def test_the_ends_of_an_operation_are_final(state: OperationState) -> None:
    assert OPERATION_MOVES[state] == frozenset()


def _reachable(moves: Mapping[StrEnum, frozenset[StrEnum]], start: StrEnum) -> set[StrEnum]:
    found, waiting = {start}, [start]
    while waiting:
        for to in moves[waiting.pop()] - found:
            found.add(to)
            waiting.append(to)
    return found


_V, _S, _A = VolumeStatus, SnapshotStatus, AttachStatus

#: What a request that is accepted in a status moves its resource to, and the ends of its operation.
REQUESTED = {
    "delete": (_V.DELETING, {_V.ERROR_DELETING}),
    "force_delete": (_V.DELETING, {_V.ERROR_DELETING}),
    "extend": (_V.EXTENDING, {_V.AVAILABLE, _V.ERROR_EXTENDING}),
    "unmanage": (_V.UNMANAGING, {_V.ERROR_UNMANAGING}),
}


@pytest.mark.parametrize("request_name", REQUESTED)
def test_what_a_request_moves_is_in_the_table(request_name: str) -> None:
    through, ends = REQUESTED[request_name]
    assert ends <= VOLUME_MOVES[through]
    for status, answer in VOLUME_REQUESTS[request_name].items():
        if answer is Answer.RUN:
            assert through in VOLUME_MOVES[VolumeStatus(status)], status


def test_what_a_request_for_a_snapshot_moves_is_in_the_table() -> None:
    for status, answer in SNAPSHOT_REQUESTS["delete"].items():
        assert answer is Answer.JOIN or _S.DELETING in SNAPSHOT_MOVES[SnapshotStatus(status)], status
    assert {_S.AVAILABLE, _S.ERROR} <= SNAPSHOT_MOVES[_S.CREATING]
    assert _S.ERROR_DELETING in SNAPSHOT_MOVES[_S.DELETING]


def test_what_a_request_for_an_attachment_moves_is_in_the_table() -> None:
    for request, through in (("update", _A.ATTACHING), ("complete", _A.ATTACHED), ("delete", _A.DETACHING)):
        for status, answer in ATTACHMENT_REQUESTS[request].items():
            moved = through == status or through in ATTACHMENT_MOVES[AttachStatus(status)]
            assert answer is Answer.JOIN or moved, (request, status)
    assert _A.ERROR_ATTACHING in ATTACHMENT_MOVES[_A.ATTACHING]
    assert _A.ERROR_DETACHING in ATTACHMENT_MOVES[_A.DETACHING]


LIVE_ATTACHMENTS = st.lists(st.sampled_from(sorted(frozenset(AttachStatus) - {_A.DETACHED})), max_size=4)


@st.composite
def changed_attachments(draw: st.DrawFn) -> tuple[list[AttachStatus], list[AttachStatus]]:
    """A volume's attachments before and after one of them came, moved or went."""
    before = draw(LIVE_ATTACHMENTS)
    if not before or draw(st.booleans()):
        return before, [*before, draw(st.sampled_from([_A.RESERVED, _A.ATTACHING, _A.ATTACHED]))]
    others = list(before)
    changed = others.pop(draw(st.integers(0, len(before) - 1)))
    to = draw(st.none() | st.sampled_from(sorted(ATTACHMENT_MOVES[changed] - {_A.DETACHED})))
    return before, others if to is None else [*others, to]


@given(changed_attachments())
def test_whatever_becomes_of_an_attachment_the_volume_may_follow(
    changed: tuple[list[AttachStatus], list[AttachStatus]],
) -> None:
    found, to = (status_of(statuses) for statuses in changed)
    assert {found, to} <= FOLLOWING
    assert found == to or to in VOLUME_MOVES[found]


# --- the rows obey ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Database:
    path: Path = tmp_path_factory.mktemp("states")
    database = Database(f"sqlite:///{path}/volumed.db")
    tables.METADATA.create_all(database.engine)
    with database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
    return database


OWNED = {"project_id": "p", "user_id": "u"}
VOLUME = {
    "size": 1,
    "availability_zone": "nova",
    "bootable": False,
    "multiattach": False,
    "metadata": {},
    "facts": {},
}
SNAPSHOT = {"size": 1, "volume_type_id": "t", "metadata": {}, "facts": {}}


@pytest.fixture(scope="module")
def volume(database: Database) -> str:
    """What the other rows refer to."""
    from volumed.db import volume_types

    database.write(volume_types.ensure_default, "__DEFAULT__")
    with database.reading() as tx:
        kind = volume_types.get(tx, "__DEFAULT__").id
    database.write(volumes.add, id="v", status="available", volume_type_id=kind, **OWNED, **VOLUME)
    return kind


MOVES = [
    pytest.param(volumes, VOLUME_MOVES, "status", VOLUME, id="volume"),
    pytest.param(snapshots, SNAPSHOT_MOVES, "status", SNAPSHOT | {"volume_id": "v"}, id="snapshot"),
    pytest.param(
        attachments, ATTACHMENT_MOVES, "attach_status", {"volume_id": "v", "attach_mode": "rw"}, id="attachment"
    ),
]


@pytest.mark.parametrize(("rows", "moves", "column", "values"), MOVES)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_row_moves_along_the_table_and_not_otherwise(
    database: Database, volume: str, rows, moves, column, values, data
):
    statuses = sorted(moves)
    found, expected, to = (data.draw(st.sampled_from(statuses)) for _ in range(3))
    more = {"volume_type_id": volume} if rows is volumes else {}
    database.write(rows.remove, "x")
    database.write(rows.add, id="x", **{column: found.value}, **OWNED, **values, **more)
    with database.reading() as tx:
        before = rows.get(tx, "x")
    legal = expected == found and (to == found or to in moves[found])
    if legal:
        database.write(rows.move, "x", expected, to, error={"message": "moved"})
    else:
        with pytest.raises(IllegalMove, match=f" to {to.value}: "):
            database.write(rows.move, "x", expected, to, error={"message": "moved"})
    with database.reading() as tx:
        after = rows.get(tx, "x")
    assert getattr(after, column) == (to if legal else found)
    assert legal or after == before


@pytest.mark.parametrize(("rows", "moves", "column", "values"), MOVES)
def test_a_row_that_is_gone_is_not_found(database: Database, volume: str, rows, moves, column, values) -> None:
    source = next(iter(moves))
    with pytest.raises(NotFound):
        database.write(rows.move, "never", source, source)
