"""``/v3/events`` page by page, and what a stream is refused with; streams of a real server have tests of their own."""

import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.functional.api.stage import Api, PlayedManager

if TYPE_CHECKING:
    from volumed.db.engine import Database
    from volumed.operations.feed import Feed

STREAM = {"Accept": "text/event-stream"}


@pytest.fixture
def options() -> dict[tuple[str, str], Any]:
    return {("api", "event_streams"): 2, ("api", "event_stream_seconds"): 0.2, ("api", "event_heartbeat"): 0.1}


def create(api: Api, **asked: Any) -> str:
    return str(api.post("/v3/volumes", {"volume": {"size": 1, **asked}})["volume"]["id"])


def told(answer: Any) -> list[tuple[str, str]]:
    return [(each["event_type"], each["resource_id"]) for each in answer["events"]]


def test_events_come_in_order_with_what_they_tell_of(api: Api, manager: PlayedManager) -> None:
    volume_id = create(api)
    (event,) = api.get("/v3/events")["events"]
    operation = manager.live()[0]
    assert (event["id"], event["sequence"], event["event_type"]) == (1, 1, "volume.create.start")
    assert (event["resource_type"], event["resource_id"], event["project_id"]) == ("volume", volume_id, "p1")
    assert (event["operation_id"], event["request_id"]) == (operation.id, operation.request_id)
    assert event["payload"]["status"] == "creating"


def test_pages_follow_each_other_without_gap_or_repeat(api: Api) -> None:
    made = [create(api) for _ in range(5)]
    seen, asked = [], "/v3/events?limit=2"
    while asked:
        page = api.get(asked)
        seen += page["events"]
        links = page.get("events_links")
        asked = links[0]["href"].partition("//")[2].partition("/")[2] if links else ""
        asked = f"/{asked}" if asked else ""
    assert [each["resource_id"] for each in seen] == made
    assert [each["id"] for each in seen] == [1, 2, 3, 4, 5]
    assert page["position"] == 5
    assert api.get("/v3/events?after=5") == {"events": [], "position": 5}
    assert api.get("/v3/events?limit=0")["events"] == []


def test_a_project_sees_its_own_and_an_administrator_all_that_he_asks_for(api: Api, stranger: Api, admin: Api) -> None:
    mine, theirs = create(api), create(stranger)
    assert told(api.get("/v3/events?all_tenants=1")) == [("volume.create.start", mine)]
    assert told(stranger.get("/v3/p2/events")) == [("volume.create.start", theirs)]
    assert told(admin.get("/v3/events")) == []
    assert [each[1] for each in told(admin.get("/v3/events?all_tenants=1"))] == [mine, theirs]


def test_filters(api: Api, manager: PlayedManager) -> None:
    first, second = create(api), create(api)
    manager.finish_all()
    api.delete(f"/v3/volumes/{first}")
    assert told(api.get(f"/v3/events?resource_id={second}")) == [("volume.create.start", second)]
    assert told(api.get("/v3/events?event_type=volume.delete.start")) == [("volume.delete.start", first)]
    for query in ("colour=red", "marker=x"):
        assert api.ask("GET", f"/v3/events?{query}").status_code == 400


def test_only_who_may_see_hosts_sees_them_in_events(api: Api, admin: Api, manager: PlayedManager) -> None:
    volume_id = manager.available(api)
    api.delete(f"/v3/volumes/{volume_id}")
    for caller, sees in ((api, False), (admin, True)):
        last = caller.get(f"/v3/events?all_tenants=1&resource_id={volume_id}")["events"][-1]
        assert ("host" in last["payload"]) is sees


@pytest.mark.parametrize("headers", [{}, STREAM])
def test_what_cannot_be_resumed_is_told(api: Api, database: "Database", headers: dict[str, str]) -> None:
    from volumed.db import events

    for _ in range(3):
        create(api)
    first, second, _ = api.get("/v3/events")["events"]
    with database.reading() as tx:
        database.write(events.mark_published, [each.id for each in events.unpublished(tx)][:2])
    time.sleep(0.001)
    assert database.write(events.prune, 0.0) == 2
    for position in (0, first["id"]):
        answer = api.ask("GET", f"/v3/events?after={position}", **headers)
        assert answer.status_code == 410
        assert f"after={second['id']}" in answer.json["gone"]["message"]
    assert api.ask("GET", "/v3/events", Last_Event_ID="1", **headers).status_code == 410
    assert api.ask("GET", "/v3/events?after=99", **headers).status_code == 410
    assert api.ask("GET", f"/v3/events?after={second['id']}", **headers).status_code == 200
    assert [each["id"] for each in api.get("/v3/events")["events"]] == [3]


@pytest.mark.parametrize("position", ["x", "-1", "1.5", "9" * 19, "%D9%A3"])
def test_a_position_that_is_none_is_refused(api: Api, position: str) -> None:
    assert api.ask("GET", f"/v3/events?after={position}").status_code == 400


def test_the_header_goes_before_the_query_since_a_client_repeats_its_query(api: Api) -> None:
    made = [create(api) for _ in range(3)]
    answer = api.ask("GET", "/v3/events?after=0", Last_Event_ID="2")
    assert [each["resource_id"] for each in answer.json["events"]] == made[2:]
    assert api.ask("GET", "/v3/events", Last_Event_ID="two").status_code == 400


@pytest.mark.parametrize(
    ("accepted", "streams"),
    [
        ("text/event-stream", True),
        ("text/event-stream, application/json;q=0.5", True),
        ("*/*", False),
        ("application/json, text/event-stream;q=0.5", False),
        ("nonsense", False),
    ],
)
def test_who_accepts_a_stream_gets_one(api: Api, accepted: str, streams: bool) -> None:
    volume_id = create(api)
    answer = api.ask("GET", "/v3/events?after=0", Accept=accepted)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream" if streams else "application/json")
    assert volume_id in answer.text
    if streams:
        assert answer.text.startswith("retry: 1000\nid: 0\n\nid: 1\nevent: volume.create.start\ndata: {")


def test_streams_are_bounded_and_a_dropped_one_gives_its_place_back(api: Api, feed: "Feed") -> None:
    from volumed.api.streams import Bounds, NoPlace, Stopping, Streams
    from volumed.db.events import Wanted

    streams = Streams(feed, Bounds(places=2, seconds=60, heartbeat=60))
    first = streams.open(Wanted(), 0, False)
    kept = [streams.open(Wanted(), 0, False)]
    with pytest.raises(NoPlace, match="2 streams"):
        streams.open(Wanted(), 0, False)
    first.close()
    kept.append(streams.open(Wanted(), 0, False))
    kept.pop()
    kept.append(streams.open(Wanted(), 0, False))
    feed.stop()
    with pytest.raises(Stopping):
        streams.open(Wanted(), 0, False)


def test_no_place_is_503_with_when_to_come_again(api: Api) -> None:
    import threading

    create(api)
    answers: list[int] = []
    threads = [
        threading.Thread(target=lambda: answers.append(api.ask("GET", "/v3/events", **STREAM).status_code))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert set(answers) <= {200, 503}
    assert answers.count(200) >= 2
    # Whatever the six met, the places are free again.
    assert api.ask("GET", "/v3/events", **STREAM).status_code == 200
