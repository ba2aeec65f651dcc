"""What can go wrong while a request is carried out, and where: the words of the state machine."""

from dataclasses import dataclass
from enum import Enum


class Trouble(Enum):
    """What happens while a request is carried out."""

    CALM = "nothing"
    FAILS_ONCE = "the driver fails once"
    FAILS = "the driver fails"
    FAILS_AFTERWARDS = "the driver does it, and says that it failed"
    KILLED_ACCEPTED = "kill -9 when it is accepted"
    KILLED_BEFORE = "kill -9 before the effect"
    KILLED_AFTER = "kill -9 after the effect"

    def __repr__(self) -> str:
        return f"Trouble.{self.name}"


@dataclass(frozen=True)
class Work:
    """A kind of operation: the step with its effect, and the driver's call for it."""

    kind: str
    step: str
    call: str

    def point(self, trouble: Trouble) -> str:
        if trouble is Trouble.KILLED_ACCEPTED:
            return "api.accepted"
        return f"{self.kind}.{self.step}.{'before' if trouble is Trouble.KILLED_BEFORE else 'after'}"


CREATE = Work("volume.create", "provision", "create")
CLONE = Work("volume.create", "provision", "create_from_volume")
FROM_SNAPSHOT = Work("volume.create", "provision", "create_from_snapshot")
EXTEND = Work("volume.extend", "grow", "extend")
DELETE = Work("volume.delete", "remove", "delete")
TAKE = Work("snapshot.create", "take", "create_snapshot")
DROP = Work("snapshot.delete", "remove", "delete_snapshot")
ATTACH = Work("attachment.attach", "export", "ensure_export")
DETACH = Work("attachment.detach", "revoke", "remove_export")

KILLS = frozenset({Trouble.KILLED_ACCEPTED, Trouble.KILLED_BEFORE, Trouble.KILLED_AFTER})
FAILURES = frozenset({Trouble.FAILS_ONCE, Trouble.FAILS, Trouble.FAILS_AFTERWARDS})
