"""The doctor without services: alone in a state folder, by the same locks as they.

Looks at every backend whose driver can be set up, and carries the repairs out itself, one after the other.
"""

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
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


def examine(wishes: Wishes, repair: Json | None) -> Json:
    """Look, after the repair that is asked for, in the words of the REST API.

    ``repair`` is ``{"finding": ID}``, ``{"all": True}`` or None. Raises ``ServiceLocked`` naming the service that runs,
    ``ConfigurationError`` for a folder without a database of this release, ``NotFound`` for an unknown finding.
    """
    with _taken(wishes) as (conf, folder), _database(conf, folder) as database, ExitStack() as held:
        keys.unlock(database)
        alone = _Alone(conf, database, folder, held)
        repairs = alone.repair(repair.get("finding")) if repair is not None else None
        return alone.look() | ({} if repairs is None else {"repairs": repairs})


def on_database(wishes: Wishes, work: Callable[[Database], str]) -> str:
    """Run ``work`` on the folder's database while no service runs; returns what it says. Raises as ``examine``."""
    with _taken(wishes) as (conf, folder), _database(conf, folder) as database:
        return work(database)


@contextmanager
def _taken(wishes: Wishes) -> Iterator[tuple[cfg.ConfigOpts, StateFolder]]:
    folder = StateFolder(wishes.state)
    if not folder.path.is_dir():
        raise ConfigurationError(option="--state", reason=f"there is no folder {folder.path}")
    os.umask(0o077)
    folder.take()
    try:
        yield configuration.of_folder(wishes, folder), folder
    finally:
        folder.release()


@contextmanager
def _database(conf: cfg.ConfigOpts, folder: StateFolder) -> Iterator[Database]:
    database = open_database(conf, folder.secrets_key)
    try:
        migrate.check(database)
        yield database
    finally:
        database.close()


class _Alone:
    """Every backend of the folder that can be looked at; ``held`` lets go of them."""

    def __init__(self, conf: cfg.ConfigOpts, database: Database, folder: StateFolder, held: ExitStack) -> None:
        self._conf = conf
        self._database = database
        self._folder = folder
        self._locks = NodeLocks(folder.path / "locks")
        self._rows = row_examiner(conf, database, serving=False)
        self._backends: dict[str, BackendExaminer] = {}
        self._not_looked_at: dict[str, str] = {}
        for name in conf.enabled_backends:
            self._open(name, held)

    def _open(self, name: str, held: ExitStack) -> None:
        host = f"{self._conf.host}@{name}"
        lock = service_lock(self._folder.path, "volumed-volume", host)
        lock.take(f"pid {os.getpid()} (volumed-manage doctor)")
        held.callback(lock.release)
        with self._database.reading() as tx:
            owner = Owner(deployment.get_id(tx), name)
        options = self._conf[name]
        driver = load_driver(self._conf, Setup(name, self._conf.host, owner, options, self._folder.path))
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
