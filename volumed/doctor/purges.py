"""What deletes left on the backend, and nobody purges.

``purge.failed``: the purge was given up, and its allocation stays counted. ``data.remains``: no operation knows them.
The repair of both is a purge: an operation of its own, which goes on for as long as it takes.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sqlalchemy import Connection

from volumed.db import findings
from volumed.db.engine import Database
from volumed.doctor.case import Case
from volumed.driver.interface import Driver, Leftover
from volumed.model.findings import Finding
from volumed.model.records import Operation
from volumed.operations import remains


@dataclass(frozen=True)
class PurgeCheck:
    """See the module."""

    host: str
    driver: Driver
    database: Database

    def look(self) -> Iterable[Case]:
        left = [each for each in self.driver.audit() if each.kind == "remains" and each.id is not None]
        with self.database.snapshot() as tx:
            failed = findings.failed_on(tx, self.host, remains.PURGE)
            busy = findings.touched(tx) if left or failed else frozenset()
        yield from self._failed(each for each in failed if each.volume_id not in busy)
        known = busy | {each.volume_id for each in failed}
        yield from (self._unknown(each, each.id) for each in left if each.id is not None and each.id not in known)

    def _failed(self, given_up: Iterable[Operation]) -> Iterator[Case]:
        for each in given_up:
            reason = (each.error or {}).get("message", "no reason was given")
            evidence = f"what was left of volume {each.volume_id} on {self.host} could not be purged: {reason}"
            yield self._case("purge.failed", each.id, each.volume_id, evidence, _Again(self.host, each))

    def _unknown(self, left: Leftover, volume_id: str) -> Case:
        evidence = f"{left.where} ({left.detail}) is left of a volume, and no operation of {self.host} purges it"
        return self._case("data.remains", left.where, volume_id, evidence, _First(self.host, left, volume_id))

    def _case(self, kind: str, subject: str, volume_id: str, evidence: str, write: "_Again | _First") -> Case:
        finding = Finding(
            kind=kind,
            subject_type="operation" if kind == "purge.failed" else "remains",
            subject=subject,
            evidence=evidence,
            repair="purge it, by an operation of its own",
            host=self.host,
            volume_id=volume_id,
            locks=(remains.purge_lock(volume_id),),
        )
        return Case(finding, write=write)


@dataclass(frozen=True)
class _Again:
    """Queues what was given up once more; the allocation is the new one's to give back."""

    host: str
    given_up: Operation

    def __call__(self, tx: Connection, operation: Operation) -> None:
        findings.mark_repaired(tx, self.given_up, operation.id)
        remains.queue_purge(tx, operation, self.given_up.volume_id, self.host, self.given_up.args)


@dataclass(frozen=True)
class _First:
    """Queues a purge of what nobody knew: no row tells more than its id, and nothing is allocated for it."""

    host: str
    left: Leftover
    volume_id: str

    def __call__(self, tx: Connection, operation: Operation) -> None:
        args = remains.arguments("", 0, {}, None, self.left.detail)
        remains.queue_purge(tx, operation, self.volume_id, self.host, args)
