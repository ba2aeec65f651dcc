"""What the doctor finds: one difference between what is and what should be, with its evidence and its repair."""

import hashlib
from dataclasses import asdict, dataclass
from typing import Any

#: The kind of the operation that repairs a finding.
REPAIR = "doctor.repair"

#: The resource type of that operation.
FINDING = "finding"


@dataclass(frozen=True, slots=True)
class Finding:
    """``subject`` is named within its ``subject_type``: an id, a file's place, ``project/resource`` of a quota."""

    kind: str
    subject_type: str
    subject: str
    #: What was seen, in a sentence.
    evidence: str
    #: What the repair does, in a sentence; None: nobody but the operator can.
    repair: str | None
    #: The ``host@backend`` that found it and can repair it; None: it is about rows alone.
    host: str | None = None
    volume_id: str | None = None
    #: The locks of the node under which it is examined and repaired: nobody works on it meanwhile.
    locks: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The same for the same difference, however often it is found, and whichever backend of a node finds a lock."""
        place = self.host or ""
        place = place.partition("@")[0] if self.subject_type == "lock" else place
        return hashlib.sha256("\n".join((self.kind, place, self.subject)).encode()).hexdigest()[:16]

    def as_record(self) -> dict[str, Any]:
        """As it is sent, stored and shown."""
        return {"id": self.id} | asdict(self)

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "Finding":
        """The finding of ``as_record``; what else the record has (a newer release's) is dropped."""
        known = {name: record[name] for name in cls.__dataclass_fields__ if name in record}
        return cls(**known | {"locks": tuple(record.get("locks", ()))})
