"""Any sequence of requests, kills and failures over REST, beside what must be true: hypothesis' state machine.

A rule waits for the end of what it began, unless it leaves it under way on purpose (``begin_...``, until ``let_go`` or
a kill). Where a failure was ordered the declared ends are allowed, and what came true is believed; else there is one.
"""

import functools
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import requests
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from tests.crash.choices import MOST_KILLS, MOST_QUOTAS, failures, one_of, there, there_are_volumes, troubles
from tests.crash.comparison import MARK, PLACES, Comparison
from tests.crash.expectation import BAD, Attachment, Expectation, Snapshot, Volume
from tests.crash.ground import PLENTY, Ground, Server
from tests.crash.trouble import (
    ATTACH,
    CLONE,
    CREATE,
    DELETE,
    DETACH,
    DROP,
    EXTEND,
    FAILURES,
    FROM_SNAPSHOT,
    KILLS,
    TAKE,
    Trouble,
    Work,
)

CONNECTOR = {"initiator": "iqn.1993-08.org.debian:01:model", "ip": "127.0.0.1", "host": "client", "multipath": False}

#: An id that nothing has.
NOBODY = str(uuid.UUID(int=0))


@dataclass
class UnderWay:
    """What a ``begin_...`` of ``volume`` left under way; ``end`` enters how it ended.

    ``successor``: the forced delete that follows its end.
    """

    kind: str
    operation: str
    volume: str
    end: Callable[[bool], None]
    is_cancelled: bool = False
    successor: str | None = None


@dataclass
class Failure:
    """An operation that failed: why its retry may be refused, what must come true by it, and whether it may fail."""

    kind: str
    operation: str
    against: Callable[[], Iterable[int]]
    succeed: Callable[[], None]
    may_fail: Callable[[], bool] = lambda: False


def checked(work: Callable[..., None]) -> Callable[..., None]:
    """A rule's work, and a look at the lists after it (as an invariant it would be printed as a step)."""

    @functools.wraps(work)
    def look(self: "Machine", **arguments: Any) -> None:
        try:
            work(self, **arguments)
            self.comparison.lists()
        except BaseException:
            self.has_failed = True
            raise

    return look


class Machine(RuleBasedStateMachine):
    """See the module."""

    ground: Ground

    def __init__(self) -> None:
        super().__init__()
        self.server = Server(self.ground.fleet)
        self.expected = Expectation(limits=dict(PLENTY))
        self.comparison = Comparison(self.server, self.expected)
        self.under_way: UnderWay | None = None
        self.kills = self.quotas = 0
        self.has_failed = False
        #: The last failure of each thing that is there, by its name.
        self.failures: dict[str, Failure] = {}
        #: The last thing of each kind that went, by its name, or one that never was.
        self.gone = {letter: (f"{letter}0", NOBODY) for letter in "vsa"}

    # --- making -----------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.is_free("volume.create"))
    @rule(size=st.sampled_from((1, 2)), trouble=troubles)
    @checked
    def create(self, size: int, trouble: Trouble) -> None:
        self._create(CREATE, {"size": size}, trouble, [], b"")

    @precondition(lambda self: self.is_free("volume.create"))
    @there_are_volumes
    @rule(volume=one_of("v"), larger=st.booleans(), trouble=troubles)
    @checked
    def clone(self, volume: str, larger: bool, trouble: Trouble) -> None:
        source = self._volume(volume)
        body = {"source_volid": source.id, "size": source.size + larger}
        attached = bool(self.expected.attachments_of(volume))
        calm = Trouble.CALM if attached else trouble  # it may be refused before anything can go wrong
        against = self.expected.against_reading(volume)
        self._create(CLONE, body, calm, against, source.mark, volume, may_fail=attached)

    @precondition(lambda self: self.is_free("volume.create") and self.expected.snapshots)
    @rule(snapshot=there("s"), trouble=troubles)
    @checked
    def create_from_snapshot(self, snapshot: str, trouble: Trouble) -> None:
        source = self.expected.snapshots[snapshot]
        against = self.expected.against_reading(snapshot)
        body = {"snapshot_id": source.id, "size": source.size}
        self._create(FROM_SNAPSHOT, body, trouble, against, source.mark, snapshot)

    def _create(
        self,
        work: Work,
        body: dict[str, Any],
        trouble: Trouble,
        against: Iterable[int],
        mark: bytes,
        source: str | None = None,
        may_fail: bool = False,
    ) -> None:
        reasons = {*against, *self.expected.against_spending(volumes=1, gigabytes=body["size"])}
        answer = self._ask("POST", "/volumes", {"volume": body}, work, trouble, reasons)
        if answer is None:
            return
        made = Volume(answer.json()["volume"]["id"], body["size"], mark=mark)
        name = self.expected.name("v")
        self.expected.volumes[name] = made
        if self._succeeds(answer, work, made.id, trouble, may_fail):
            self.comparison.data("volume", made)
        else:
            self._failed_to_create(name, self._last_of(work, made.id), source)

    def _failed_to_create(self, name: str, operation: str, source: str | None) -> None:
        made = self.expected.volumes[name]
        made.fixed, made.is_made = "error", False

        def succeed() -> None:
            made.fixed, made.is_made = None, True
            made.mark = self._source(source).mark if source else b""
            self.comparison.data("volume", made)

        self.failures[name] = Failure(
            CREATE.kind,
            operation,
            lambda: self.expected.against_creating_again(name, source),
            succeed,
            lambda: bool(source and self.expected.attachments_of(source)),
        )

    @there_are_volumes
    @rule(volume=one_of("v"), trouble=troubles)
    @checked
    def snapshot(self, volume: str, trouble: Trouble) -> None:
        source = self._volume(volume)
        spending = self.expected.against_spending(snapshots=1, gigabytes=source.size)
        reasons = {*self.expected.against_reading(volume), *spending}
        body = {"snapshot": {"volume_id": source.id}}
        attached = bool(self.expected.attachments_of(volume))
        if attached:
            trouble = Trouble.CALM  # it may be refused before anything can go wrong
        answer = self._ask("POST", "/snapshots", body, TAKE, trouble, reasons)
        if answer is None:
            return
        made = Snapshot(answer.json()["snapshot"]["id"], volume, source.size, mark=source.mark)
        name = self.expected.name("s")
        self.expected.snapshots[name] = made
        if self._succeeds(answer, TAKE, made.id, trouble, may_fail=attached):
            self.comparison.data("snapshot", made)
        else:
            self._failed_to_take(name, self._last_of(TAKE, made.id))

    def _failed_to_take(self, name: str, operation: str) -> None:
        made = self.expected.snapshots[name]
        made.status = "error"

        def succeed() -> None:
            made.status, made.mark = "available", self.expected.volumes[made.volume].mark
            self.comparison.data("snapshot", made)

        self.failures[name] = Failure(
            TAKE.kind,
            operation,
            lambda: self.expected.against_taking_again(name),
            succeed,
            lambda: bool(self.expected.attachments_of(made.volume)),
        )

    # --- changing ---------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.is_free("volume.extend"))
    @there_are_volumes
    @rule(volume=one_of("v"), trouble=troubles)
    @checked
    def extend(self, volume: str, trouble: Trouble) -> None:
        known = self._volume(volume)
        body = {"os-extend": {"new_size": known.size + 1}}
        reasons = set(self.expected.against_extending(volume))
        answer = self._ask("POST", f"/volumes/{known.id}/action", body, EXTEND, trouble, reasons)
        if answer is not None:
            self._extended(volume, self._succeeds(answer, EXTEND, known.id, trouble))

    @there_are_volumes
    @rule(volume=one_of("v"), byte=st.integers(1, 9))
    @checked
    def write(self, volume: str, byte: int) -> None:
        """From outside, as an initiator would; only where nothing is on its way."""
        known = self.expected.volumes.get(volume)
        if known is None or known.fixed is not None or known.readers:
            return
        known.mark = bytes([byte]) * MARK
        with self.comparison.file("volume", known.id).open("r+b") as data:
            for place in PLACES:
                data.seek(place)
                data.write(known.mark)

    @there_are_volumes
    @rule(volume=one_of("v"), key=st.sampled_from("xy"), value=st.sampled_from("12"))
    @checked
    def set_metadata(self, volume: str, key: str, value: str) -> None:
        known = self._volume(volume)
        answer = self.server.rest.post(f"/volumes/{known.id}/metadata", json={"metadata": {key: value}})
        assert answer.status_code == (200 if volume in self.expected.volumes else 404), answer.text
        known.metadata[key] = value

    @precondition(lambda self: self.expected.volumes and self.quotas < MOST_QUOTAS)
    @rule(resource=st.sampled_from(sorted(PLENTY)), limit=st.sampled_from((2, 5, 1000)))
    @checked
    def set_quota(self, resource: str, limit: int) -> None:
        answer = self.server.rest.put("/os-quota-sets/admin", json={"quota_set": {resource: limit}})
        assert answer.status_code == 200, answer.text
        self.expected.limits[resource] = limit
        self.quotas += 1

    @there_are_volumes
    @rule(volume=there("v"), to=st.sampled_from(("available", "error")))
    @checked
    def reset_status(self, volume: str, to: str) -> None:
        """``error`` is the administrator's word; of everything else the backend is asked, and it has the data."""
        known, before = self.expected.volumes[volume], self.expected.status(volume)
        answer = self.server.rest.post(f"/volumes/{known.id}/action", json={"os-reset_status": {"status": to}})
        if set(self.expected.against_resetting(volume, to)):
            assert answer.status_code == BAD, answer.text
            return
        assert answer.status_code == 202 or before == to, answer.text
        if "Volumed-Operation-Id" in answer.headers:
            assert self.server.end_of(answer.headers["Volumed-Operation-Id"])["state"] == "succeeded"
        known.fixed = "error" if to == "error" else None

    # --- removing ---------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.is_free("volume.delete"))
    @there_are_volumes
    @rule(volume=one_of("v"), cascade=st.booleans(), trouble=troubles)
    @checked
    def delete(self, volume: str, cascade: bool, trouble: Trouble) -> None:
        known = self._volume(volume)
        reasons = set(self.expected.against_deleting(volume, cascade))
        path = f"/volumes/{known.id}" + ("?cascade=true" if cascade else "")
        if not known.is_made and trouble is not Trouble.KILLED_ACCEPTED:
            trouble = Trouble.CALM  # so nothing is called
        answer = self._ask("DELETE", path, None, DELETE, trouble, reasons)
        if answer is not None:
            gone = answer.status_code == 404 or self._succeeds(answer, DELETE, known.id, trouble)
            self._deleted(volume, gone, cascade)

    @precondition(lambda self: self.expected.snapshots)
    @rule(snapshot=one_of("s"), trouble=troubles)
    @checked
    def delete_snapshot(self, snapshot: str, trouble: Trouble) -> None:
        known = self.expected.snapshots.get(snapshot) or Snapshot(self.gone["s"][1], "", 1)
        reasons = set(self.expected.against_deleting_snapshot(snapshot))
        answer = self._ask("DELETE", f"/snapshots/{known.id}", None, DROP, trouble, reasons)
        if answer is None:
            return
        if answer.status_code == 404 or self._succeeds(answer, DROP, known.id, trouble):
            self._forget("s", snapshot)
        else:
            known.status = "error_deleting"
            self.failures[snapshot] = Failure(
                DROP.kind,
                self._last_of(DROP, known.id),
                lambda: self.expected.against_deleting_snapshot(snapshot),
                lambda: self._forget("s", snapshot),
            )

    @there_are_volumes
    @rule(volume=one_of("v"))
    @checked
    def force_delete(self, volume: str) -> None:
        """Over what is under way it is accepted, too: it cancels that, or waits for it, and follows its end."""
        known = self._volume(volume)
        if self.expected.attachments_of(volume):
            return  # which of them the backend has heard of is not modelled
        under_way = self.under_way if self.under_way is not None and self.under_way.volume == volume else None
        if under_way is None and known.is_made and not self.is_free(DELETE.kind):
            return  # it would be held as well
        reasons = set(self.expected.against_force_deleting(volume))
        answer = self.server.rest.post(f"/volumes/{known.id}/action", json={"os-force_delete": {}})
        if reasons:
            assert answer.status_code in reasons, answer.text
            return
        assert answer.status_code == 202, answer.text
        operation = self.server.operation_of(answer, DELETE.kind, known.id)
        if under_way is None:
            assert self.server.end_of(operation)["state"] == "succeeded"
            self._deleted(volume, True)
        elif under_way.kind != DELETE.kind:
            assert under_way.successor in (None, operation)
            under_way.successor = operation
            under_way.is_cancelled |= under_way.kind == CLONE.kind
        else:
            assert operation == under_way.operation

    @precondition(lambda self: self.failures)
    @rule(name=failures)
    @checked
    def retry(self, name: str) -> None:
        """What failed is done again, by the same rules as then; a retry that is refused changes nothing."""
        failure = self.failures[name]
        if not self.is_free(failure.kind):
            return  # it would be held as well
        reasons = set(failure.against())
        answer = self.server.rest.post(f"/operations/{failure.operation}/action", json={"retry": {}})
        if reasons:
            assert answer.status_code in reasons, f"{reasons} expected, not {answer.status_code}: {answer.text}"
            return
        assert answer.status_code == 202, answer.text
        ended = self.server.end_of(answer.headers["Volumed-Operation-Id"])
        if ended["state"] == "succeeded":
            self.failures.pop(name, None)
            failure.succeed()
        else:
            assert failure.may_fail(), ended
            failure.operation = ended["id"]

    # --- letting in and out -----------------------------------------------------------------------------------------

    @there_are_volumes
    @rule(volume=one_of("v"), trouble=troubles)
    @checked
    def attach(self, volume: str, trouble: Trouble) -> None:
        known = self._volume(volume)
        if known.readers:
            return  # it would wait for the copy that is held
        reasons = set(self.expected.against_attaching(volume))
        body = {"volume_uuid": known.id, "instance_uuid": str(uuid.uuid4()), "connector": CONNECTOR}
        answer = self._ask("POST", "/attachments", {"attachment": body}, ATTACH, trouble, reasons)
        if answer is None:
            return
        made = self._told_of_volume(known.id)
        assert answer.status_code == 200 or trouble in FAILURES, answer.text
        assert made["status"] == ("attaching" if answer.status_code == 200 else "error_attaching"), made
        self.expected.attachments[self.expected.name("a")] = Attachment(made["id"], volume, made["status"])

    @precondition(lambda self: self.expected.attachments)
    @rule(attachment=there("a"))
    @checked
    def complete(self, attachment: str) -> None:
        known = self.expected.attachments[attachment]
        reasons = set(self.expected.against_completing(attachment))
        answer = self.server.rest.post(f"/attachments/{known.id}/action", json={"os-complete": {}})
        assert answer.status_code in (reasons or {204}), answer.text
        if not reasons:
            known.status = "attached"

    @precondition(lambda self: self.expected.attachments)
    @rule(attachment=there("a"), trouble=troubles)
    @checked
    def detach(self, attachment: str, trouble: Trouble) -> None:
        known = self.expected.attachments[attachment]
        if known.status == "error_attaching":
            trouble = Trouble.CALM  # nobody is let in, so nothing is called
        answer = self._ask("DELETE", f"/attachments/{known.id}", None, DETACH, trouble, set())
        assert answer is not None
        if answer.status_code in (200, 404):
            self._forget("a", attachment)
        else:
            assert trouble in FAILURES, answer.text
            known.status = self._told("attachments", known.id)["status"]
            assert known.status == "error_detaching"

    # --- under way --------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.under_way is None and self.expected.volumes)
    @rule(volume=there("v"))
    @checked
    def begin_extend(self, volume: str) -> None:
        known = self.expected.volumes[volume]
        if set(self.expected.against_extending(volume)):
            return
        body = {"os-extend": {"new_size": known.size + 1}}
        operation, _ = self._begin(EXTEND, "POST", f"/volumes/{known.id}/action", body)
        known.fixed, known.growing = "extending", 1
        self.under_way = UnderWay(EXTEND.kind, operation, volume, lambda succeeded: self._extended(volume, succeeded))

    @precondition(lambda self: self.under_way is None and self.expected.volumes)
    @rule(volume=there("v"))
    @checked
    def begin_clone(self, volume: str) -> None:
        source = self.expected.volumes[volume]
        spending = self.expected.against_spending(volumes=1, gigabytes=source.size)
        if self.expected.attachments_of(volume) or {*self.expected.against_reading(volume), *spending}:
            return
        body = {"volume": {"source_volid": source.id, "size": source.size}}
        operation, answer = self._begin(CLONE, "POST", "/volumes", body)
        made = Volume(answer.json()["volume"]["id"], source.size, "creating", source.mark)
        name = self.expected.name("v")
        self.expected.volumes[name] = made
        source.readers.add(name)

        def end(succeeded: bool) -> None:
            source.readers.discard(name)
            made.fixed = None
            if not succeeded:
                self._failed_to_create(name, operation, volume)

        self.under_way = UnderWay(CLONE.kind, operation, name, end)

    @precondition(lambda self: self.under_way is None and self.expected.volumes)
    @rule(volume=there("v"))
    @checked
    def begin_delete(self, volume: str) -> None:
        known = self.expected.volumes[volume]
        if set(self.expected.against_deleting(volume, cascade=False)) or not known.is_made:
            return
        operation, _ = self._begin(DELETE, "DELETE", f"/volumes/{known.id}", None)
        known.fixed = "deleting"
        self.under_way = UnderWay(DELETE.kind, operation, volume, lambda succeeded: self._deleted(volume, succeeded))

    @precondition(lambda self: self.under_way is not None)
    @rule()
    @checked
    def ask_again(self) -> None:
        """A second delete joins the first one; everything else on a busy volume is refused by the other rules."""
        assert self.under_way is not None
        if self.under_way.kind == DELETE.kind:
            volume = next(each for each in self.expected.volumes.values() if each.fixed == "deleting")
            answer = self.server.rest.delete(f"/volumes/{volume.id}")
            assert answer.status_code == 202, answer.text
            assert answer.headers["Volumed-Operation-Id"] == self.under_way.operation

    @precondition(lambda self: self.under_way is not None)
    @rule()
    @checked
    def cancel(self) -> None:
        """Accepted for a clone, which is then honoured; a delete and a growth that have begun have no way back."""
        assert self.under_way is not None
        answer = self.server.rest.post(f"/operations/{self.under_way.operation}/action", json={"cancel": {}})
        if self.under_way.kind == CLONE.kind:
            assert answer.status_code == 202, answer.text
            self.under_way.is_cancelled = True
        else:
            assert answer.status_code in (BAD, 409), answer.text

    @precondition(lambda self: self.under_way is not None)
    @rule()
    @checked
    def let_go(self) -> None:
        assert self.server.doctor() == []
        self.server.let_go()
        self._end_of_under_way()

    @precondition(lambda self: self.under_way is not None and self.kills < MOST_KILLS)
    @rule()
    @checked
    def kill(self) -> None:
        self.kills += 1
        self.server.kill()
        self._end_of_under_way()

    def _begin(self, work: Work, method: str, path: str, body: Any) -> tuple[str, requests.Response]:
        held = self.server.hold(f"{work.kind}.{work.step if work is not DELETE else 'unexport'}.before")
        answer = self.server.rest.request(method, path, json=body)
        assert answer.status_code == 202, answer.text
        held.wait()
        return str(answer.headers["Volumed-Operation-Id"]), answer

    def _end_of_under_way(self) -> None:
        if self.under_way is None:
            return
        ended = self.server.end_of(self.under_way.operation)
        if self.under_way.is_cancelled:
            assert (ended["state"], ended["error"]["type"]) == ("failed", "Cancelled"), ended
        else:
            assert ended["state"] == "succeeded", ended
        self.under_way.end(not self.under_way.is_cancelled)
        if self.under_way.successor is not None:
            assert self.server.end_of(self.under_way.successor)["state"] == "succeeded"
            self._deleted(self.under_way.volume, True)
        self.under_way = None

    # --- how a rule asks --------------------------------------------------------------------------------------------

    def _ask(
        self, method: str, path: str, body: Any, work: Work, trouble: Trouble, reasons: set[int]
    ) -> requests.Response | None:
        """The answer to a request in this trouble; None where there was a reason to refuse it, and it was refused."""
        headers = {"Idempotency-Key": str(uuid.uuid4())} if method == "POST" else {}

        def ask() -> requests.Response:
            return self.server.rest.request(method, path, json=body, headers=headers)

        if reasons:
            answer = ask()
            assert answer.status_code in reasons, f"{reasons} expected, not {answer.status_code}: {answer.text}"
            return None
        if trouble in KILLS:
            self.kills += 1
            answer = self.server.ask_and_be_killed(ask, work.point(trouble))
            self._end_of_under_way()
        else:
            if trouble in FAILURES:
                lasting, after = trouble is Trouble.FAILS, trouble is Trouble.FAILS_AFTERWARDS
                self.server.order(work.call, lasting=lasting, after=after)
            answer = ask()
        waited = work in (ATTACH, DETACH)
        if waited:
            self.server.heal()
        gone = method == "DELETE" and trouble in KILLS and answer.status_code == 404
        assert answer.status_code in (200, 202) or gone or (waited and trouble in FAILURES), answer.text
        return answer

    def _succeeds(
        self, answer: requests.Response, work: Work, resource: str, trouble: Trouble, may_fail: bool = False
    ) -> bool:
        """Wait for the operation's end. It fails only where that was ordered."""
        ended = self.server.end_of(self.server.operation_of(answer, work.kind, resource))
        self.server.heal()
        assert ended["state"] == "succeeded" or may_fail or trouble in FAILURES, ended
        return bool(ended["state"] == "succeeded")

    def _last_of(self, work: Work, resource: str) -> str:
        """The last operation of this kind on the resource."""
        query = {"kind": work.kind, "resource_id": resource, "sort": "created_at:desc"}
        return str(self.server.rest.get("/operations", params=query).json()["operations"][0]["id"])

    def _extended(self, volume: str, succeeded: bool) -> None:
        known = self.expected.volumes[volume]
        known.growing, known.size = 0, known.size + succeeded
        known.fixed = None if succeeded else "error_extending"
        if not succeeded:
            before = known.size
            self.failures[volume] = Failure(
                EXTEND.kind,
                self._last_of(EXTEND, known.id),
                lambda: self.expected.against_extending_again(volume, before + 1),
                lambda: self._extended(volume, True),
            )

    def _deleted(self, volume: str, gone: bool, cascade: bool = False) -> None:
        taken = self.expected.snapshots_of(volume)
        if gone:
            for snapshot in taken:
                self._forget("s", snapshot)
            self._forget("v", volume)
            return
        known = self.expected.volumes[volume]
        known.fixed = "error_deleting"
        for snapshot in taken:
            self.expected.snapshots[snapshot].status = "error_deleting"
        self.failures[volume] = Failure(
            DELETE.kind,
            self._last_of(DELETE, known.id),
            lambda: self.expected.against_deleting(volume, cascade),
            lambda: self._deleted(volume, True),
        )

    def _forget(self, letter: str, name: str) -> None:
        self.gone[letter] = name, self.all_of(letter).pop(name).id
        self.failures.pop(name, None)

    def _source(self, name: str) -> Volume | Snapshot:
        return self.expected.snapshots[name] if name in self.expected.snapshots else self.expected.volumes[name]

    def _volume(self, name: str) -> Volume:
        return self.expected.volumes.get(name) or Volume(self.gone["v"][1], 1)

    def _told(self, collection: str, resource: str) -> dict[str, Any]:
        return dict(next(iter(self.server.rest.get(f"/{collection}/{resource}").json().values())))

    def _told_of_volume(self, volume_id: str) -> dict[str, Any]:
        """The one attachment of a volume."""
        (found,) = self.server.listed(f"/attachments/detail?volume_id={volume_id}")
        return found

    # --- what rules may name ----------------------------------------------------------------------------------------

    def troubles(self) -> list[Trouble]:
        """What may still go wrong."""
        return [each for each in Trouble if each not in KILLS or self.kills < MOST_KILLS]

    def is_free(self, kind: str) -> bool:
        """Whether nothing of the kind is held: it would be held as well."""
        return self.under_way is None or self.under_way.kind != kind

    def all_of(self, letter: str) -> dict[str, Any]:
        known: dict[str, dict[str, Any]] = {
            "v": self.expected.volumes,
            "s": self.expected.snapshots,
            "a": self.expected.attachments,
        }
        return known[letter]

    # --- what must be true ------------------------------------------------------------------------------------------

    def teardown(self) -> None:
        """All is over: nothing differs, nobody finds anything, all can be removed, and then nothing is left."""
        if self.has_failed:
            self.ground.spoil()
            return
        try:
            self.server.let_go()
            self._end_of_under_way()
            self.comparison.everything()
            self.comparison.leave_nothing()
        except BaseException:
            self.ground.spoil()
            raise
