"""Purges that were given up: what a delete left is still on the backend, and its allocation stays counted.

``purge.failed``. The repair is another purge: an operation of its own, which goes on for as long as it takes.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection

from volumed.db import findings
from volumed.db.engine import Database
from volumed.doctor.case import Case
from volumed.model.findings import Finding
from volumed.model.records import Json, Operation
from volumed.operations import remains


@dataclass(frozen=True)
class PurgeCheck:
    """See the module."""

    host: str
    database: Database

    def look(self) -> Iterable[Case]:
        with self.database.snapshot() as tx:
            failed = findings.failed_on(tx, self.host, remains.PURGE)
            busy = findings.touched(tx) if failed else frozenset()
        return [self._case(each) for each in failed if each.volume_id not in busy]

    def _case(self, given_up: Operation) -> Case:
        reason = (given_up.error or {}).get("message", "no reason was given")
        evidence = f"what was left of volume {given_up.volume_id} on {self.host} could not be purged: {reason}"
        subject = ("operation", given_up.id)
        args = {name: value for name, value in given_up.args.items() if name != "quota"}  # given back when it failed
        return purge_case(self.host, "purge.failed", subject, given_up.volume_id, evidence, args, given_up)


def purge_case(
    host: str,
    kind: str,
    subject: tuple[str, str],
    volume_id: str,
    evidence: str,
    args: Json,
    given_up: Operation | None = None,
) -> Case:
    """A finding (``subject``: its type and what it is) whose repair queues a purge with ``args``.

    ``given_up``: the purge that is made good by it; its allocation is the new one's to give back.
    """
    repair, locks = "purge it, by an operation of its own", (remains.purge_lock(volume_id),)

    def write(tx: Connection, operation: Operation) -> None:
        if given_up is not None:
            findings.mark_repaired(tx, given_up, operation.id)
        remains.queue_purge(tx, operation, volume_id, host, args)

    return Case(Finding(kind, *subject, evidence, repair, host, volume_id, locks), write=write)
