"""The doctor without services: alone in a state folder or on a node of a fleet, by the same locks as they.

Looks at every backend whose driver can be set up, and carries the repairs out itself, one after the other.
"""

import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from oslo_config import cfg

from volumed.api.accept import doctor as accepting
from volumed.api.accept.doctor import Repair
from volumed.db import deployment, migrate, operations
from volumed.db.engine import Database
from volumed.doctor.examiners import BackendExaminer
from volumed.driver.interface import Driver, Owner
from volumed.driver.registry import Setup, load_driver
from volumed.launch import configuration, keys
from volumed.launch.assembly import open_database, row_examiner, service_lock
from volumed.launch.state_folder import StateFolder
from volumed.launch.wishes import Wishes
from volumed.model.context import RequestContext
from volumed.model.errors import BackendError, ConfigurationError
from volumed.model.findings import Finding
from volumed.model.records import Json
from volumed.operations.engine import Engine
from volumed.operations.locks import NodeLocks
from volumed.volume.worker import rules_of


@dataclass(frozen=True, slots=True)
class Place:
    """A node as the commands see it: its configuration, its folder, and the key file that would be its own."""

    conf: cfg.ConfigOpts
    state: Path
    own_key: Path


#: Has a place to itself while it is open.
Taken = AbstractContextManager[Place]


@contextmanager
def folder(wishes: Wishes) -> Iterator[Place]:
    """A state folder with everything in it. Raises ``ServiceLocked`` while its ``volumed up`` runs."""
    found = StateFolder(wishes.state)
    if not found.path.is_dir():
        raise ConfigurationError(option="--state", reason=f"there is no folder {found.path}")
    os.umask(0o077)
    found.take()
    try:
        yield Place(configuration.of_folder(wishes, found), found.path, found.secrets_key)
    finally:
        found.release()


@contextmanager
def node(files: Sequence[Path]) -> Iterator[Place]:
    """This node of the fleet that ``files`` describe; each backend that is looked at must not be running."""
    conf = configuration.of_fleet(files)
    state = Path(conf.state_path)
    yield Place(conf, state, state / "secrets.key")


def examine(taken: Taken, repair: Json | None) -> Json:
    """Look, after the repair that is asked for, in the words of the REST API.

    ``repair`` is ``{"finding": ID}``, ``{"all": True}`` or None. Raises ``ServiceLocked`` naming the service that runs,
    ``ConfigurationError`` for a folder without a database of this release, ``NotFound`` for an unknown finding.
    """
    with taken as place, _database(place) as database, ExitStack() as held:
        keys.unlock(database)
        alone = _Alone(place, database, held)
        repairs = alone.repair(repair.get("finding")) if repair is not None else None
        return alone.look() | ({} if repairs is None else {"repairs": repairs})


def on_database(taken: Taken, work: Callable[[Database], str]) -> str:
    """Run ``work`` on the place's database; returns what it says. Raises as ``examine``."""
    with taken as place, _database(place) as database:
        return work(database)


@contextmanager
def _database(place: Place) -> Iterator[Database]:
    database = open_database(place.conf, place.own_key)
    try:
        migrate.check(database)
        yield database
    finally:
        database.close()


class _Alone:
    """Every backend of the place that can be looked at; ``held`` lets go of them."""

    def __init__(self, place: Place, database: Database, held: ExitStack) -> None:
        self._conf = conf = place.conf
        self._database = database
        self._state = place.state
        self._locks = NodeLocks(place.state / "locks")
        self._rows = row_examiner(conf, database, serving=False)
        self._backends: dict[str, BackendExaminer] = {}
        self._not_looked_at: dict[str, str] = {}
        for name in conf.enabled_backends:
            self._open(name, held)

    def _open(self, name: str, held: ExitStack) -> None:
        host = f"{self._conf.host}@{name}"
        lock = service_lock(self._state, "volumed-volume", host)
        lock.take(f"pid {os.getpid()} (volumed-manage doctor)")
        held.callback(lock.release)
        with self._database.reading() as tx:
            owner = Owner(deployment.get_id(tx), name)
        options = self._conf[name]
        driver = load_driver(self._conf, Setup(name, self._conf.host, owner, options, self._state))
        held.callback(partial(_close, driver))
        try:
            driver.do_setup()
            driver.check_for_setup_error()
        except BackendError as error:
            self._not_looked_at[host] = str(error)
            return
        self._backends[host] = BackendExaminer(
            host, driver, self._database, self._locks, options.export_on_create, self._rows, serving=False
        )

    def look(self) -> Json:
        return {
            "findings": [finding.as_record() for finding in self._findings()],
            "looked_at": sorted(self._backends),
            "not_looked_at": [{"host": host, "reason": reason} for host, reason in self._not_looked_at.items()],
        }

    def _findings(self) -> list[Finding]:
        found = {finding.id: finding for finding in self._rows.look()}
        for host, examiner in list(self._backends.items()):
            try:
                found |= {finding.id: finding for finding in examiner.look()}
            except BackendError as error:
                self._not_looked_at[host] = str(error)
                del self._backends[host]
        return list(found.values())

    def repair(self, wanted: str | None) -> list[Json]:
        """Repair the finding ``wanted``, None: all. What does not end is gone on with by the next start."""
        caller = RequestContext("volumed-manage", "volumed-manage", True, f"req-{uuid.uuid4()}")
        repairs = accepting.plan(self._findings(), wanted, sorted(self._backends))
        self._database.write(accepting.repair, caller, wanted, repairs)
        incarnation = str(uuid.uuid4())
        return [self._carry_out(each, incarnation) for each in repairs]

    def _carry_out(self, repair: Repair, incarnation: str) -> Json:
        engine = Engine(
            self._database,
            self._locks,
            queue=repair.host,
            worker=incarnation,
            procedures=[self._backends[repair.host].repairs],
            rules=rules_of(self._conf.operations),
            wake_after=_leave,
            place_again=_leave,
        )
        engine.run(repair.operation_id)
        with self._database.reading() as tx:
            operation = operations.get(tx, repair.operation_id)
        ended = {"id": operation.id, "state": operation.state, "error": operation.error}
        return {"finding": repair.finding.as_record(), "operation_id": operation.id, "operation": ended}


def _leave(*arguments: Any) -> None:
    """The next start's sweep finds it."""


def _close(driver: Driver) -> None:
    """End a target daemon that has nothing to do; one with exports has survived its service, and goes on."""
    try:
        if driver.exports():
            return
    except BackendError:
        pass
    driver.close()
