"""Queries of the services that report."""

from collections.abc import Collection

from sqlalchemy import Connection, delete, insert, select, update

from volumed.db.clock import SECOND, now
from volumed.db.tables import services
from volumed.model.errors import Invalid, NotFound
from volumed.model.host import backend_of
from volumed.model.records import Service, Volume

#: The binary of a volume service, ``host@backend`` being its host.
VOLUME_BINARY = "volumed-volume"


def register(
    tx: Connection,
    service_id: str,
    binary: str,
    host: str,
    topic: str,
    availability_zone: str,
    incarnation: str,
    rpc_version: str,
) -> None:
    """Record a start of the service; whether it is disabled stays as the operator set it."""
    values = {
        "topic": topic,
        "availability_zone": availability_zone,
        "incarnation": incarnation,
        "rpc_version": rpc_version,
        "state": "starting",
        "state_reason": None,
        "updated_at": now(),
    }
    known = update(services).where(services.c.host == host, services.c.binary == binary)
    if not tx.execute(known.values(values)).rowcount:
        tx.execute(
            insert(services).values(
                id=service_id, binary=binary, host=host, disabled=False, report_count=0, created_at=now(), **values
            )
        )


def report(tx: Connection, binary: str, host: str, incarnation: str, state: str, reason: str | None) -> bool:
    """The service is alive; False when another incarnation has taken its place."""
    alive = update(services).where(
        services.c.host == host, services.c.binary == binary, services.c.incarnation == incarnation
    )
    reported = alive.values(
        state=state, state_reason=reason, report_count=services.c.report_count + 1, updated_at=now()
    )
    return bool(tx.execute(reported).rowcount)


def tell_extends_in_use(tx: Connection, host: str, supported: bool) -> bool:
    """Whether the backend of the volume service extends volumes that are attached; False for no such service.

    It holds for this incarnation: an older release may be started next, which does not.
    """
    known = update(services).where(services.c.host == host, services.c.binary == VOLUME_BINARY)
    return bool(tx.execute(known.values(extends_in_use=services.c.incarnation if supported else "")).rowcount)


def refuse_to_extend_in_use(tx: Connection, volume: Volume) -> None:
    """Raise ``Invalid`` unless the backend of ``volume``, which is attached, has said that it extends such volumes."""
    wanted = select(services.c.extends_in_use, services.c.incarnation).where(services.c.binary == VOLUME_BINARY)
    found = tx.execute(wanted.where(services.c.host == backend_of(volume.host or ""))).first()
    if found is None or found.extends_in_use != found.incarnation:
        is_refused = found is not None and found.extends_in_use == ""
        why = "does not support to extend" if is_refused else "has not said that it can extend"
        raise Invalid(
            reason=f"Invalid volume: volume {volume.id} status must be available to extend, currently {volume.status}: "
            f"its backend {why} a volume that is attached."
        )


def find_with_age(tx: Connection, binary: str, host: str) -> tuple[Service, float]:
    """The service and the seconds since its last report, by the database's clock. Raises ``NotFound``."""
    wanted = select(services, (now() - services.c.updated_at).label("age"))
    row = tx.execute(wanted.where(services.c.host == host, services.c.binary == binary)).first()
    if row is None:
        raise NotFound(resource_type="service", resource_id=f"{binary} on {host}")
    return Service(*row[:-1]), row[-1] / SECOND


def remove(tx: Connection, binary: str, host: str, incarnation: str) -> bool:
    """Forget the service, unless another process has become it meanwhile."""
    forgotten = delete(services).where(services.c.host == host, services.c.binary == binary)
    return bool(tx.execute(forgotten.where(services.c.incarnation == incarnation)).rowcount)


def set_disabled(tx: Connection, binary: str, host: str, disabled: bool, reason: str | None) -> Service:
    """Disable or enable the service. Raises ``NotFound``."""
    wanted = update(services).where(services.c.host == host, services.c.binary == binary)
    if not tx.execute(wanted.values(disabled=disabled, disabled_reason=reason)).rowcount:
        raise NotFound(resource_type="service", resource_id=f"{binary} on {host}")
    row = tx.execute(select(services).where(services.c.host == host, services.c.binary == binary)).one()
    return Service(*row)


def all_with_age(tx: Connection) -> list[tuple[Service, float]]:
    """Every service with the seconds since its last report, by the database's clock."""
    wanted = select(services, (now() - services.c.updated_at).label("age"))
    rows = tx.execute(wanted.order_by(services.c.binary, services.c.host))
    return [(Service(*row[:-1]), row[-1] / SECOND) for row in rows]


def zones(tx: Connection) -> dict[str, bool]:
    """The availability zones of the volume services, each with whether one of them is enabled."""
    wanted = select(services.c.availability_zone, services.c.disabled).where(services.c.binary == VOLUME_BINARY)
    found: dict[str, bool] = {}
    for zone, disabled in tx.execute(wanted.distinct()):
        found[zone] = found.get(zone, False) or not disabled
    return found


def is_known(tx: Connection, host: str) -> bool:
    """Whether there is a volume service of the name ``host@backend``, alive or not."""
    wanted = select(services.c.id).where(services.c.host == host, services.c.binary == VOLUME_BINARY)
    return tx.execute(wanted).first() is not None


def ids_of(tx: Connection, hosts: Collection[str]) -> dict[str, str]:
    """The ids of the volume services, by ``host@backend``."""
    wanted = select(services.c.host, services.c.id).where(services.c.host.in_(list(hosts)))
    return {row[0]: row[1] for row in tx.execute(wanted.where(services.c.binary == VOLUME_BINARY))}
