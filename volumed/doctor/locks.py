"""``lock.left``: a lock's file that nobody holds. Harmless, and a sign that a process died."""

from collections.abc import Iterable

from volumed.doctor.case import Case
from volumed.model.findings import Finding
from volumed.operations.locks import NodeLocks

#: Seconds that a file must be old: a lock is made and taken in two steps.
YOUNG = 2.0


class LockCheck:
    """See the module."""

    def __init__(self, host: str, locks: NodeLocks) -> None:
        self._host = host
        self._locks = locks

    def look(self) -> Iterable[Case]:
        for path in self._locks.left(YOUNG):
            finding = Finding(
                kind="lock.left",
                subject_type="lock",
                subject=str(path),
                evidence=f"the lock file {path} is there, and nobody holds it",
                repair="remove the file",
                host=self._host,
            )
            yield Case(finding, mend=lambda path=path: self._locks.tidy_one(path))  # type: ignore[misc]
