"""Two requests on one resource at once: one of the declared outcomes, and afterwards everything counts up."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests.lab.daemon import Daemon, Session
from tests.lab.outside import Outside

pytestmark = pytest.mark.part("tgtd")


@pytest.fixture
def outside(daemon: Daemon) -> Iterator[Outside]:
    """The state from outside; whatever the test did, at its end nothing differs from the rows."""
    outside = Outside(daemon)
    yield outside
    assert outside.differences() == []


def at_once(daemon: Daemon, *asks: Callable[[Session], requests.Response]) -> list[requests.Response]:
    """Every request on a connection of its own, all at the same time."""
    with ThreadPoolExecutor(len(asks)) as threads:
        return list(threads.map(lambda ask: ask(daemon.session()), asks))


def finished_volume(rest: Session, size: int = 1, **fields: Any) -> str:
    volume_id = str(rest.create_volume(size, **fields)["id"])
    rest.wait_for_status(f"/volumes/{volume_id}", "available")
    return volume_id


def test_of_many_deletes_one_deletes_and_the_others_join_or_find_nothing(
    daemon: Daemon, rest: Session, outside: Outside
) -> None:
    volume_id = finished_volume(rest)
    answers = at_once(daemon, *[lambda session: session.delete(f"/volumes/{volume_id}")] * 8)
    assert {answer.status_code for answer in answers} <= {202, 404}
    rest.wait_until_gone(f"/volumes/{volume_id}")
    deletes = outside.rows("SELECT * FROM operations WHERE kind = 'volume.delete'")
    assert [row["state"] for row in deletes] == ["succeeded"]


def test_twenty_clones_of_one_source_at_once(daemon: Daemon, rest: Session, outside: Outside) -> None:
    rest.put("/os-quota-sets/admin", json={"quota_set": {"volumes": 50}}).raise_for_status()
    source = finished_volume(rest)
    with outside.data_of(source).open("r+b") as data:
        data.write(b"the source")
    clone = {"volume": {"source_volid": source}}
    answers = at_once(daemon, *[lambda session: session.post("/volumes", json=clone)] * 20)
    assert Counter(answer.status_code for answer in answers) == {202: 20}
    for answer in answers:
        made = answer.json()["volume"]["id"]
        rest.wait_for_status(f"/volumes/{made}", "available")
        with outside.data_of(made).open("rb") as data:
            assert data.read(10) == b"the source"


def test_a_delete_while_a_clone_copies_is_refused_and_names_the_clone(
    daemon: Daemon, rest: Session, outside: Outside
) -> None:
    source = finished_volume(rest)
    with outside.data_of(source).open("r+b") as data:  # a long copy: no holes to skip
        for _ in range(512):
            data.write(b"x" * (1 << 20))
    clone = rest.create_volume(1, source_volid=source)["id"]
    refused = rest.delete(f"/volumes/{source}")
    live = rest.get("/operations", params={"resource_id": clone}).json()["operations"][0]
    if live["state"] not in ("succeeded", "failed"):
        assert refused.status_code == 400, refused.text
        assert live["id"] in refused.json()["badRequest"]["message"]
    rest.wait_for_status(f"/volumes/{clone}", "available")
    assert rest.get(f"/volumes/{source}").status_code == 200


def test_extend_against_snapshot_one_of_them_runs_first_or_the_other_is_refused(
    daemon: Daemon, rest: Session, outside: Outside
) -> None:
    for _ in range(5):
        volume_id = finished_volume(rest)
        extended, taken = at_once(
            daemon,
            lambda session, volume=volume_id: session.post(
                f"/volumes/{volume}/action", json={"os-extend": {"new_size": 2}}
            ),
            lambda session, volume=volume_id: session.post("/snapshots", json={"snapshot": {"volume_id": volume}}),
        )
        assert {extended.status_code, taken.status_code} <= {202, 400}
        assert 202 in (extended.status_code, taken.status_code)
        volume = rest.wait_for_status(f"/volumes/{volume_id}", "available")
        assert volume["size"] == (2 if extended.status_code == 202 else 1)
        if taken.status_code == 202:
            snapshot_id = taken.json()["snapshot"]["id"]
            snapshot = rest.wait_for_status(f"/snapshots/{snapshot_id}", "available")
            assert snapshot["size"] in (1, 2)
            assert rest.delete(f"/snapshots/{snapshot_id}").status_code == 202
            rest.wait_until_gone(f"/snapshots/{snapshot_id}")
        assert rest.delete(f"/volumes/{volume_id}").status_code == 202
        rest.wait_until_gone(f"/volumes/{volume_id}")


def test_of_two_creates_for_the_last_gibibyte_one_is_accepted(daemon: Daemon, rest: Session, outside: Outside) -> None:
    rest.put("/os-quota-sets/admin", json={"quota_set": {"gigabytes": 3}}).raise_for_status()
    finished_volume(rest, 2)
    for _ in range(5):
        answers = at_once(daemon, *[lambda session: session.post("/volumes", json={"volume": {"size": 1}})] * 4)
        assert Counter(answer.status_code for answer in answers) == {202: 1, 413: 3}
        refused = next(answer for answer in answers if answer.status_code == 413)
        assert "2" in refused.json()["overLimit"]["message"] or "3" in refused.json()["overLimit"]["message"]
        made = next(answer for answer in answers if answer.status_code == 202).json()["volume"]["id"]
        rest.wait_for_status(f"/volumes/{made}", "available")
        assert rest.delete(f"/volumes/{made}").status_code == 202
        rest.wait_until_gone(f"/volumes/{made}")


def test_attach_and_delete_at_once_never_both(daemon: Daemon, rest: Session, outside: Outside) -> None:
    for _ in range(5):
        volume_id = finished_volume(rest)
        body = {
            "attachment": {
                "volume_uuid": volume_id,
                "connector": {"initiator": "iqn.1993-08.org.debian:01:race", "host": "client"},
            }
        }
        attached, deleted = at_once(
            daemon,
            lambda session, body=body: session.post("/attachments", json=body),
            lambda session, volume=volume_id: session.delete(f"/volumes/{volume}"),
        )
        assert sorted((attached.status_code == 200, deleted.status_code == 202)) == [False, True]
        if attached.status_code == 200:
            attachment_id = attached.json()["attachment"]["id"]
            assert rest.delete(f"/attachments/{attachment_id}").status_code == 200
            rest.wait_for_status(f"/volumes/{volume_id}", "available")
            assert rest.delete(f"/volumes/{volume_id}").status_code == 202
        rest.wait_until_gone(f"/volumes/{volume_id}")


def test_an_attach_during_a_copy_waits_for_its_end_and_then_lets_in(
    daemon: Daemon, rest: Session, outside: Outside
) -> None:
    source = finished_volume(rest)
    with outside.data_of(source).open("r+b") as data:
        for _ in range(512):
            data.write(b"x" * (1 << 20))
    clone = rest.create_volume(1, source_volid=source)["id"]
    connector = {"initiator": "iqn.1993-08.org.debian:01:wait", "host": "client"}
    body = {"attachment": {"volume_uuid": source, "connector": connector}}
    attached = rest.post("/attachments", json=body)
    assert attached.status_code == 200, attached.text
    rest.wait_for_status(f"/volumes/{clone}", "available")
    ends = {row["kind"]: row["ended_at"] for row in outside.rows("SELECT kind, ended_at FROM operations")}
    made = outside.rows("SELECT ended_at FROM operations WHERE resource_id = ?", clone)[0]["ended_at"]
    assert ends["attachment.attach"] > made
    with outside.data_of(clone).open("rb") as data:
        data.seek(511 << 20)
        assert data.read(1 << 20) == b"x" * (1 << 20)
    assert rest.delete(f"/attachments/{attached.json()['attachment']['id']}").status_code == 200
