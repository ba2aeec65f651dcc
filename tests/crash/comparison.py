"""Compares what is expected with what the API lists, with the files, and with what the doctor says."""

from pathlib import Path

from tests.crash.expectation import Expectation, Snapshot, Volume
from tests.crash.ground import PLENTY, Server

#: A mark is written to these places of a volume, and is so long.
MARK = 16
PLACES = (0, 512 << 20, (1 << 30) - MARK)


class Comparison:
    """Of one example, whose ``expected`` grows with it."""

    def __init__(self, server: Server, expected: Expectation) -> None:
        self._server = server
        self._expected = expected

    def lists(self) -> None:
        """What the API lists, and what it says of the quota."""
        listed, expected = self._server.listed, self._expected
        volumes = {each["id"]: (each["status"], each["size"], each["metadata"]) for each in listed("/volumes/detail")}
        assert volumes == {
            each.id: (expected.status(name), each.size, each.metadata) for name, each in expected.volumes.items()
        }
        snapshots = {each["id"]: (each["status"], each["size"]) for each in listed("/snapshots/detail")}
        assert snapshots == {each.id: (each.status, each.size) for each in expected.snapshots.values()}
        attachments = {each["id"]: each["status"] for each in listed("/attachments")}
        assert attachments == {each.id: each.status for each in expected.attachments.values()}
        assert self._server.in_use() == expected.in_use()

    def data(self, kind: str, thing: Volume | Snapshot) -> None:
        """Whether the data is what was written, or what the source had when it was copied."""
        with self.file(kind, thing.id).open("rb") as data:
            for place in PLACES:
                data.seek(place)
                found = data.read(MARK)
                assert found == (thing.mark or bytes(MARK)), f"{kind} {thing.id} at {place}: {found!r}"

    def file(self, kind: str, resource: str) -> Path:
        """Where the data is, on whatever backend."""
        places = [pool / f"{kind}-{resource}" for pool in self._server.outside.pools.values()]
        (found,) = [path for path in places if path.exists()]
        return found

    def everything(self) -> None:
        """When all is over: nothing differs from the rows, the doctor finds nothing, and all data is right."""
        assert self._server.come_to_rest() == []
        self.lists()
        for volume in self._expected.volumes.values():
            if volume.is_made:
                self.data("volume", volume)
        for snapshot in self._expected.snapshots.values():
            if snapshot.status == "available":
                self.data("snapshot", snapshot)

    def leave_nothing(self) -> None:
        """Whatever became of it can be removed; and then there is nothing."""
        for path in self._paths():
            answer = self._server.rest.delete(path)
            assert answer.status_code in (200, 202), f"{path}: {answer.text}"
            self._server.rest.wait_until_gone(path)
        assert self._server.come_to_rest() == []
        assert self._server.outside.files() == set()
        assert self._server.in_use() == dict.fromkeys(PLENTY, 0)
        self._server.rest.put("/os-quota-sets/admin", json={"quota_set": PLENTY}).raise_for_status()

    def _paths(self) -> list[str]:
        expected = self._expected
        return [
            *(f"/attachments/{each.id}" for each in expected.attachments.values()),
            *(f"/snapshots/{each.id}" for each in expected.snapshots.values()),
            *(f"/volumes/{each.id}" for each in expected.volumes.values()),
        ]
