"""Every step of every operation with the driver's call that it makes: how it is asked for, and how it may end."""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import requests

from tests.lab.faulty_driver import UNFORESEEN
from tests.lab.faulty_fleet import CONNECTOR, Fleet
from volumed.driver import errors

#: All that a driver may raise, and one thing that it may not.
ERRORS = (
    "BackendNotFound",
    "BackendBusy",
    "BackendFull",
    "BackendUnreachable",
    "BackendInvalid",
    "OutcomeUnknown",
    UNFORESEEN,
)

#: Seconds after which an end is overdue.
PATIENCE = 60.0

CLEANUP = "cleanup"
REPAIR = "doctor.repair"

Made = dict[str, str]


@dataclass(frozen=True)
class Work:
    """An operation of ``kind``: what has become of ``path`` (with the resource's id) when it ``well`` or ``failed``.

    ``one_way``: it is tried again, and succeeds when the fault has passed. ``moves``: another backend may do it.
    """

    kind: str
    path: str | None
    well: str
    failed: str
    one_way: bool = False
    moves: bool = False
    #: It looks whether there is anything to do, and is done where there is not.
    looks: bool = False


@dataclass(frozen=True)
class Step:
    """``call`` of the driver fails on the backend ``one`` in ``work``; ``ask`` returns the operation's resource.

    ``prepare`` runs before anything fails. ``first``: the call that fails before, so that ``call`` is an undo.
    ``exported``: only where volumes are exported from their creation on.
    """

    name: str
    call: str
    work: Work
    prepare: Callable[[Fleet], Made]
    ask: Callable[[Fleet, Made], str]
    first: str | None = None
    exported: bool = False

    def order(self, fleet: Fleet, error: str, after: bool, lasting: bool) -> None:
        if self.first is not None:
            fleet.faults["one"].order(self.first, "BackendFull", after=True)
        fleet.faults["one"].order(self.call, error, after=after, lasting=lasting)

    def succeeds(self, error: str, after: bool, lasting: bool) -> bool:
        """Whether the operation ends as asked in spite of the fault."""
        if self.work.one_way:
            return not lasting or (after and self.work.looks)
        return self.work.moves and (self.first is not None or may_move(error))


@dataclass
class Ended:
    """How an operation ended."""

    operation: dict[str, Any]
    status: str
    body: dict[str, Any] = field(default_factory=dict)


def may_move(error: str) -> bool:
    return bool(getattr(getattr(errors, error, None), "retry_elsewhere", True))


def wait_for_end(fleet: Fleet, step: Step, resource_id: str) -> Ended:
    """Wait until the operation has ended, and look at what it was about."""
    deadline = time.monotonic() + PATIENCE
    while (operation := fleet.operation(step.work.kind, resource_id))["state"] not in ("succeeded", "failed"):
        assert time.monotonic() < deadline, operation
        time.sleep(0.01)
    if step.work.path is None:
        return Ended(operation, "")
    answer = fleet.rest.get(step.work.path.format(resource_id))
    if answer.status_code == 404:
        return Ended(operation, "gone")
    body = dict(next(iter(answer.json().values())))
    return Ended(operation, str(body["status"]), body)


# --- how each is asked for --------------------------------------------------------------------------------------------


def _nothing(fleet: Fleet) -> Made:
    return {}


def _volume(fleet: Fleet) -> Made:
    return {"volume": fleet.available()}


def _snapshot(fleet: Fleet) -> Made:
    made = _volume(fleet)
    made["snapshot"] = _take(fleet, made)
    fleet.rest.wait_for_status(f"/snapshots/{made['snapshot']}", "available")
    return made


def _attached(fleet: Fleet) -> Made:
    made = _volume(fleet)
    made["attachment"] = fleet.rest.attach(made["volume"], CONNECTOR["initiator"])["id"]
    return made


def _attached_twice(fleet: Fleet) -> Made:
    volume_type = fleet.rest.post(
        "/types", json={"volume_type": {"name": str(uuid.uuid4()), "extra_specs": {"multiattach": "<is> True"}}}
    ).json()["volume_type"]["id"]
    volume_id = fleet.available(volume_type=volume_type)
    kept, going = (fleet.rest.attach(volume_id, f"iqn.1993-08.org.debian:01:{name}")["id"] for name in ("a", "b"))
    for attachment_id in (kept, going):
        fleet.rest.post(f"/attachments/{attachment_id}/action", json={"os-complete": {}}).raise_for_status()
    return {"volume": volume_id, "attachment": going}


def _leftover(fleet: Fleet) -> Made:
    """A create that could not be undone: a cleanup waits for the backend to be well again."""
    one = fleet.faults["one"]
    one.order("create", "BackendFull", after=True)
    one.order("delete", "BackendUnreachable", lasting=True)
    volume_id = fleet.available()
    return {"volume": volume_id}


def _orphan(fleet: Fleet) -> Made:
    orphan = str(uuid.uuid4())
    (fleet.outside.pools["one"] / f"volume-{orphan}").write_bytes(b"nobody's")
    return {"orphan": orphan}


def _create(fleet: Fleet, made: Made) -> str:
    return fleet.create()


def _clone(fleet: Fleet, made: Made) -> str:
    return fleet.create(source_volid=made["volume"])


def _from_snapshot(fleet: Fleet, made: Made) -> str:
    return fleet.create(snapshot_id=made["snapshot"])


def _take(fleet: Fleet, made: Made) -> str:
    answer = fleet.rest.post("/snapshots", json={"snapshot": {"volume_id": made["volume"]}})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["snapshot"]["id"])


def _attach(fleet: Fleet, made: Made) -> str:
    _accepted(fleet.attach(made["volume"]), made["volume"])
    query = {"volume_id": made["volume"]}
    return str(fleet.rest.get("/attachments", params=query).json()["attachments"][0]["id"])


def _accepted(answer: requests.Response, resource_id: str) -> str:
    """A call that waits for its operation's end is answered with what that failed with."""
    assert answer.status_code in (200, 202, 400, 500, 503), answer.text
    assert "not foreseen" not in answer.text, answer.text
    return resource_id


def _delete(fleet: Fleet, made: Made) -> str:
    return _accepted(fleet.rest.delete(f"/volumes/{made['volume']}"), made["volume"])


def _delete_cascade(fleet: Fleet, made: Made) -> str:
    return _accepted(fleet.rest.delete(f"/volumes/{made['volume']}?cascade=true"), made["volume"])


def _delete_snapshot(fleet: Fleet, made: Made) -> str:
    return _accepted(fleet.rest.delete(f"/snapshots/{made['snapshot']}"), made["snapshot"])


def _extend(fleet: Fleet, made: Made) -> str:
    body = {"os-extend": {"new_size": 2}}
    return _accepted(fleet.rest.post(f"/volumes/{made['volume']}/action", json=body), made["volume"])


def _revert(fleet: Fleet, made: Made) -> str:
    body = {"revert": {"snapshot_id": made["snapshot"]}}
    return _accepted(fleet.rest.post(f"/volumes/{made['volume']}/action", json=body), made["volume"])


def _detach(fleet: Fleet, made: Made) -> str:
    return _accepted(fleet.rest.delete(f"/attachments/{made['attachment']}"), made["attachment"])


def _recover(fleet: Fleet, made: Made) -> str:
    """The faults that made the leftover are over; those that were ordered since are met."""
    fleet.faults["one"].clear(lasting=True)
    return str(_latest(fleet, CLEANUP)["resource_id"])


def _repair(fleet: Fleet, made: Made) -> str:
    findings = fleet.rest.get("/doctor").json()["doctor"]["findings"]
    (mine,) = [each["id"] for each in findings if made["orphan"] in each["evidence"]]
    answer = fleet.rest.post("/doctor", json={"repair": {"finding": mine}})
    assert answer.status_code == 202, answer.text
    (told,) = answer.json()["doctor"]["repairs"]
    return str(fleet.rest.get(f"/operations/{told['operation_id']}").json()["operation"]["resource_id"])


def _latest(fleet: Fleet, kind: str) -> dict[str, Any]:
    return dict(fleet.rest.get("/operations", params={"kind": kind, "all_tenants": 1}).json()["operations"][0])


# --- the steps --------------------------------------------------------------------------------------------------------

_CREATE = Work("volume.create", "/volumes/{}", "available", "error", moves=True)
#: Only the source's own backend can copy it.
_COPY = Work("volume.create", "/volumes/{}", "available", "error")
_TAKE = Work("snapshot.create", "/snapshots/{}", "available", "error")
_ATTACH = Work("attachment.attach", "/attachments/{}", "attaching", "error_attaching")
_DELETE = Work("volume.delete", "/volumes/{}", "gone", "error_deleting", one_way=True)
_EXTEND = Work("volume.extend", "/volumes/{}", "available", "error_extending", one_way=True)
_REVERT = Work("volume.revert", "/volumes/{}", "available", "error", one_way=True)
_DROP = Work("snapshot.delete", "/snapshots/{}", "gone", "error_deleting", one_way=True)
_DETACH = Work("attachment.detach", "/attachments/{}", "gone", "error_detaching", one_way=True)
_REPAIR = Work(REPAIR, None, "", "", one_way=True, looks=True)
_CLEANUP = Work(CLEANUP, None, "", "", one_way=True)

ALL = (
    Step("create, provision", "create", _CREATE, _nothing, _create),
    Step("create, provision a clone", "create_from_volume", _COPY, _volume, _clone),
    Step("create, provision from a snapshot", "create_from_snapshot", _COPY, _snapshot, _from_snapshot),
    Step("create, export", "ensure_export", _CREATE, _nothing, _create, exported=True),
    Step("create, undo of provision", "delete", _CREATE, _nothing, _create, first="create"),
    Step("create, undo of export", "remove_export", _CREATE, _nothing, _create, first="ensure_export", exported=True),
    Step("create a snapshot, take", "create_snapshot", _TAKE, _volume, _take),
    Step("create a snapshot, undo", "delete_snapshot", _TAKE, _volume, _take, first="create_snapshot"),
    Step("attach, export", "ensure_export", _ATTACH, _volume, _attach),
    Step("attach, tell", "connection_info", _ATTACH, _volume, _attach),
    Step("attach, undo", "remove_export", _ATTACH, _volume, _attach, first="connection_info"),
    Step("extend, grow", "extend", _EXTEND, _volume, _extend),
    Step("extend, grow the export", "ensure_export", _EXTEND, _volume, _extend, exported=True),
    Step("revert, revert", "revert", _REVERT, _snapshot, _revert),
    Step("delete, unexport", "remove_export", _DELETE, _volume, _delete),
    Step("delete, remove snapshots", "delete_snapshot", _DELETE, _snapshot, _delete_cascade),
    Step("delete, remove", "delete", _DELETE, _volume, _delete),
    Step("delete a snapshot, remove", "delete_snapshot", _DROP, _snapshot, _delete_snapshot),
    Step("detach, revoke", "remove_export", _DETACH, _attached, _detach),
    Step("detach, revoke one of two", "ensure_export", _DETACH, _attached_twice, _detach),
    Step("cleanup, unexport", "remove_export", _CLEANUP, _leftover, _recover),
    Step("cleanup, remove", "delete", _CLEANUP, _leftover, _recover),
    Step("doctor, repair", "remove_leftover", _REPAIR, _orphan, _repair),
)
