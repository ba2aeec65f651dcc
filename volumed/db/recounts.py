"""Quota and allocation counted again from the rows that they stand for."""

from collections import Counter
from collections.abc import Iterator, Mapping

from sqlalchemy import ColumnElement, Connection, func, insert, or_, select, true, update

from volumed.db.clock import now
from volumed.db.tables import operations, pools, quotas, snapshots, volume_types, volumes
from volumed.model import quota_use
from volumed.model.records import Json
from volumed.model.states import OperationState, SnapshotStatus, VolumeStatus

_LIVE = operations.c.live_key.is_not(None)

#: ``(project_id, resource)`` of a quota.
QuotaKey = tuple[str, str]


def quota_use_of(tx: Connection, count_snapshot_gigabytes: bool, project_id: str | None = None) -> dict[QuotaKey, int]:
    """What each project uses of each resource by its rows; of one project where it is named."""
    counted: Counter[QuotaKey] = Counter()
    uses = (
        _of_volumes(tx, project_id),
        _of_snapshots(tx, count_snapshot_gigabytes, project_id),
        _of_extends(tx, project_id),
        _of_purges(tx, project_id),
    )
    for owner, use in (pair for part in uses for pair in part):
        for resource, amount in use.items():
            counted[owner, resource] += amount
    return dict(counted)


def quota_rows(tx: Connection, project_id: str | None = None) -> dict[QuotaKey, int]:
    """What the quota's rows say is in use."""
    wanted = select(quotas.c.project_id, quotas.c.resource, quotas.c.in_use)
    found = tx.execute(wanted if project_id is None else wanted.where(quotas.c.project_id == project_id))
    return {(row[0], row[1]): row[2] for row in found}


def projects_in_flux(tx: Connection) -> frozenset[str]:
    """Projects with a resource in transit that has no operation yet: whoever adopts it counts it."""
    of_volumes = (
        select(volumes.c.project_id)
        .outerjoin(operations, operations.c.live_key == volumes.c.id)
        .where(volumes.c.status.in_((VolumeStatus.CREATING, VolumeStatus.EXTENDING)), operations.c.id.is_(None))
    )
    of_snapshots = (
        select(snapshots.c.project_id)
        .outerjoin(operations, operations.c.live_key == snapshots.c.id)
        .where(snapshots.c.status == SnapshotStatus.CREATING, operations.c.id.is_(None))
    )
    return frozenset(row[0] for wanted in (of_volumes, of_snapshots) for row in tx.execute(wanted))


def settle_quota(tx: Connection, key: QuotaKey, count_snapshot_gigabytes: bool) -> None:
    """Let the quota's row say what is used. Its row is taken first, as by every request: nothing changes meanwhile."""
    project_id, resource = key
    row = update(quotas).where(quotas.c.project_id == project_id, quotas.c.resource == resource)
    if not tx.execute(row.values(updated_at=now())).rowcount:
        tx.execute(insert(quotas).values(project_id=project_id, resource=resource, in_use=0, updated_at=now()))
    tx.execute(row.values(in_use=quota_use_of(tx, count_snapshot_gigabytes, project_id).get(key, 0)))


def _of_volumes(tx: Connection, project_id: str | None) -> Iterator[tuple[str, dict[str, int]]]:
    wanted = (
        select(volumes.c.project_id, volume_types.c.name, func.count(), func.sum(volumes.c.size))
        .join(volume_types, volume_types.c.id == volumes.c.volume_type_id)
        .where(_owned(volumes.c.project_id, project_id))
        .group_by(volumes.c.project_id, volume_types.c.name)
    )
    for owner, name, number, size in tx.execute(wanted):
        yield owner, _times(quota_use.of_volume(0, name), int(number)) | quota_use.of_gigabytes(int(size), name)


def _of_snapshots(
    tx: Connection, count_gigabytes: bool, project_id: str | None
) -> Iterator[tuple[str, dict[str, int]]]:
    wanted = (
        select(snapshots.c.project_id, volume_types.c.name, func.count(), func.sum(snapshots.c.size))
        .join(volume_types, volume_types.c.id == snapshots.c.volume_type_id)
        .where(_owned(snapshots.c.project_id, project_id))
        .group_by(snapshots.c.project_id, volume_types.c.name)
    )
    for owner, name, number, size in tx.execute(wanted):
        use = _times(quota_use.of_snapshot(0, name, False), int(number))
        yield owner, use | (quota_use.of_gigabytes(int(size), name) if count_gigabytes else {})


def _of_extends(tx: Connection, project_id: str | None) -> Iterator[tuple[str, dict[str, int]]]:
    """What growing volumes have been promised beyond the size that their rows say."""
    wanted = (
        select(volumes.c.project_id, volume_types.c.name, operations.c.args, volumes.c.size)
        .join(volumes, volumes.c.id == operations.c.resource_id)
        .join(volume_types, volume_types.c.id == volumes.c.volume_type_id)
        .where(operations.c.kind == "volume.extend", _LIVE, _owned(volumes.c.project_id, project_id))
    )
    for owner, name, args, size in tx.execute(wanted):
        yield owner, quota_use.of_gigabytes(args["new_size"] - size, name)


def _of_purges(tx: Connection, project_id: str | None) -> Iterator[tuple[str, dict[str, int]]]:
    """Deleted volumes that count until what is left of them is purged."""
    wanted = select(operations.c.args).where(operations.c.kind == "volume.purge", _LIVE)
    for (args,) in tx.execute(wanted):
        quota = args.get("quota")
        if quota and project_id in (None, quota["project_id"]):
            yield quota["project_id"], quota["use"]


def _owned(column: ColumnElement[str], project_id: str | None) -> ColumnElement[bool]:
    return true() if project_id is None else column == project_id


def _times(use: Mapping[str, int], number: int) -> dict[str, int]:
    return {resource: amount * number for resource, amount in use.items()}


def allocation_of(tx: Connection, storage_id: str | None = None) -> dict[str, tuple[int, int]]:
    """GiB and volumes that each storage holds by its rows, and by what cleanups and purges have yet to free."""
    size, number = func.sum(volumes.c.size), func.count()
    wanted = select(volumes.c.storage_id, size, number).where(volumes.c.storage_id.is_not(None))
    if storage_id is not None:
        wanted = wanted.where(volumes.c.storage_id == storage_id)
    counted = {row[0]: (int(row[1]), int(row[2])) for row in tx.execute(wanted.group_by(volumes.c.storage_id))}
    for args in _left_behind(tx):
        owner = args.get("storage_id")
        if owner and storage_id in (None, owner):
            gib, volumes_there = counted.get(owner, (0, 0))
            counted[owner] = (gib + args["size"], volumes_there + 1)
    return counted


def _left_behind(tx: Connection) -> list[Json]:
    """The arguments of the cleanups and purges that have not freed what they are for."""
    unfinished = or_(_LIVE, operations.c.state == OperationState.FAILED)
    wanted = select(operations.c.args).where(operations.c.kind.in_(("cleanup", "volume.purge")), unfinished)
    return [row[0] for row in tx.execute(wanted) if "repaired_by" not in row[0]]


def settle_allocation(tx: Connection, storage_id: str) -> None:
    """Let the storage's row say what is allocated. Whoever changes a volume takes this row last, so nothing is lost."""
    row = update(pools).where(pools.c.storage_id == storage_id)
    tx.execute(row.values(updated_at=now()))
    allocated, number = allocation_of(tx, storage_id).get(storage_id, (0, 0))
    tx.execute(row.values(allocated=allocated, volumes=number))
