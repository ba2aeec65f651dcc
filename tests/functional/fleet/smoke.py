"""What every way to run a fleet is tried with: the life of a volume, and many requests at once."""

from concurrent.futures import ThreadPoolExecutor

from tests.lab.fleet import FleetDaemon
from tests.lab.outside import Outside


def live_a_volumes_life(fleet: FleetDaemon) -> None:
    """Create, snapshot, copy, attach, detach, extend and delete; nothing is left, by the node's own tools."""
    outside = Outside(fleet)
    live_a_life_anywhere(fleet)
    assert outside.differences() == []


def live_a_life_anywhere(fleet: FleetDaemon) -> None:
    """The same on whatever backend; nothing is left, by the doctor."""
    with fleet.session() as rest:
        origin = rest.make_volume()
        snapshot = rest.post("/snapshots", json={"snapshot": {"volume_id": origin}}).json()["snapshot"]["id"]
        rest.wait_for_status(f"/snapshots/{snapshot}", "available")
        copy = rest.make_volume(snapshot_id=snapshot)
        attachment = rest.attach(copy)
        rest.delete(f"/attachments/{attachment['id']}").raise_for_status()
        rest.wait_for_status(f"/volumes/{copy}", "available")
        assert rest.post(f"/volumes/{copy}/action", json={"os-extend": {"new_size": 2}}).status_code == 202
        rest.wait_for_status(f"/volumes/{copy}", "available")
        for path in (f"/snapshots/{snapshot}", f"/volumes/{copy}", f"/volumes/{origin}"):
            assert rest.delete(path).status_code == 202
            rest.wait_until_gone(path)
        told = rest.get("/doctor").json()["doctor"]
    assert (told["findings"], told["not_looked_at"]) == ([], [])


def ask_for_more_than_the_quota_at_once(fleet: FleetDaemon) -> None:
    """Exactly as many as the quota has are accepted, and all of them end well."""
    with fleet.session() as rest:
        rest.put("/os-quota-sets/admin", json={"quota_set": {"volumes": 10}}).raise_for_status()

        def ask(_: int) -> int:
            with fleet.session() as own:
                return own.post("/volumes", json={"volume": {"size": 1}}).status_code

        with ThreadPoolExecutor(16) as threads:
            answers = list(threads.map(ask, range(16)))
        assert sorted(answers) == [202] * 10 + [413] * 6
        for volume in rest.get("/volumes").json()["volumes"]:
            rest.wait_for_status(f"/volumes/{volume['id']}", "available")
    assert Outside(fleet).differences() == []
