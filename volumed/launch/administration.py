"""What ``volumed-manage`` does on a fleet: its schema, its services, its configuration. Needs no service to run."""

import logging
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from oslo_config import cfg

from volumed.db import migrate, operations, services, volume_types, volumes
from volumed.db.engine import Database
from volumed.db.services import VOLUME_BINARY
from volumed.launch import configuration
from volumed.launch.assembly import open_database
from volumed.model.errors import ServiceAlive, ServiceInUse, ServiceLost
from volumed.model.records import Json, Service
from volumed.operations.engine import Engine
from volumed.operations.locks import NodeLocks
from volumed.volume import lost
from volumed.volume.worker import rules_of

LOG = logging.getLogger(__name__)


@contextmanager
def opened(files: Sequence[Path]) -> Iterator[tuple[cfg.ConfigOpts, Database]]:
    """The configuration in ``files`` and its database. Raises ``ConfigurationError``."""
    conf = configuration.of_fleet(files)
    database = open_database(conf, Path(conf.state_path) / "secrets.key")
    try:
        yield conf, database
    finally:
        database.close()


def upgrade(conf: cfg.ConfigOpts, database: Database) -> str:
    """Bring the schema to this release; returns what is true then. Raises ``ConfigurationError`` for a newer one."""
    before = migrate.version(database)
    migrate.upgrade(database)
    database.write(volume_types.ensure_default, conf.api.default_volume_type)
    return f"the schema is at {migrate.NEWEST}" + ("" if before == migrate.NEWEST else f" (was {before or 'empty'})")


def listed(conf: cfg.ConfigOpts, database: Database) -> list[Json]:
    """Every service, with whether it is heard of."""
    with database.reading() as tx:
        return [_described(conf, service, age) for service, age in services.all_with_age(tx)]


def remove(conf: cfg.ConfigOpts, database: Database, binary: str, host: str, is_lost: bool) -> str:
    """Forget a service that is down; returns what was done.

    ``is_lost``: it never comes back, and what it was asked for ends ``failed`` without it. Raises ``NotFound``,
    ``ServiceAlive``, and unless it is lost ``ServiceInUse`` for one that has volumes or work.
    """
    is_forgotten = binary == VOLUME_BINARY and "@" in host and not _is_known(database, host)
    if is_lost and is_forgotten and _live_in(database, host):
        return f"{binary} on {host} was forgotten; {_end_all(conf, database, host)} operations have ended without it"
    with database.reading() as tx:
        service, age = services.find_with_age(tx, binary, host)
        waiting = operations.live_in(tx, host) if binary == VOLUME_BINARY else []
        has_volumes = binary == VOLUME_BINARY and volumes.any_on(tx, host)
    if _is_alive(conf, service, age):
        raise ServiceAlive(binary=binary, host=host, age=round(age))
    if not is_lost and (waiting or has_volumes):
        raise ServiceInUse(binary=binary, host=host, operations=len(waiting))
    ended = _end_all(conf, database, host) if binary == VOLUME_BINARY else 0
    if not database.write(services.remove, binary, host, service.incarnation):
        raise ServiceAlive(binary=binary, host=host, age=0)
    if binary == VOLUME_BINARY:
        ended += _end_all(conf, database, host)  # of a request that had seen the service, and was written since
    return f"{binary} on {host} is forgotten" + (f"; {ended} operations have ended without it" if ended else "")


def remove_lost(conf: cfg.ConfigOpts, database: Database) -> list[str]:
    """Forget every volume service that is down without having said so, as ``remove`` of a lost one does."""
    with database.reading() as tx:
        found = services.all_with_age(tx)
    silent = [each for each, age in found if each.state != "down" and not _is_alive(conf, each, age)]
    return [remove(conf, database, each.binary, each.host, is_lost=True) for each in silent]


def _end_all(conf: cfg.ConfigOpts, database: Database, host: str) -> int:
    engine = Engine(
        database,
        NodeLocks(Path(conf.state_path) / "locks"),
        queue=host,
        worker=str(uuid.uuid4()),
        procedures=lost.procedures(database, host, not conf.quota.no_snapshot_gb_quota),
        rules=rules_of(conf.operations),
        wake_after=_leave,
        place_again=_leave,
    )
    error = ServiceLost(host=host).as_record()
    ended = 0
    # A successor begins in the transaction that ends what it waited for, and is then one of them.
    while waiting := _live_in(database, host):
        done = [operation_id for operation_id in waiting if engine.abandon(operation_id, error)]
        if not done:
            break
        ended += len(done)
    return ended


def _is_known(database: Database, host: str) -> bool:
    with database.reading() as tx:
        return services.is_known(tx, host)


def _live_in(database: Database, host: str) -> list[str]:
    with database.reading() as tx:
        return operations.live_in(tx, host)


def _is_alive(conf: cfg.ConfigOpts, service: Service, age: float) -> bool:
    return service.state != "down" and age <= conf.service_down_time


def _described(conf: cfg.ConfigOpts, service: Service, age: float) -> Json:
    silent = age > conf.service_down_time
    return {
        "binary": service.binary,
        "host": service.host,
        "zone": service.availability_zone,
        "enabled": not service.disabled,
        "state": "down" if silent else service.state,
        "age": round(age, 1),
        "rpc": service.rpc_version,
        "reason": service.disabled_reason
        or (f"not heard of for {age:.0f} s" if silent and service.state != "down" else service.state_reason),
    }


def _leave(*arguments: object) -> None:
    """There is nobody to wake."""
