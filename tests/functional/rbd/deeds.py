"""What can be asked of a service whose only backend is a Ceph pool: prepared, asked for, and judged after its end.

Each leaves nothing behind but the ground's source volume. A request that its service died under may have been accepted
or not; so what came of it is looked for, and not remembered.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import requests

from tests.lab.daemon import PATIENCE, Session
from tests.lab.nursery import ForkedDaemon

GIB = 1024**3


@dataclass
class Ground:
    """A service on the pool of ``client``, with ``rest`` of its present start and a volume of 1 GiB."""

    service: ForkedDaemon
    client: Any
    rest: Session
    source: str

    def ended(self, path: str) -> None:
        self.rest.wait_for_status(path, "available")

    def gone(self, path: str) -> None:
        self.rest.delete(path)
        self.rest.wait_until_gone(path)

    def act(self, path: str, action: str, asked: Any = None) -> requests.Response:
        return self.rest.post(f"{path}/action", json={action: asked})

    def snapshot(self, volume_id: str, name: str = "taken") -> str:
        body = {"volume_id": volume_id, "name": name, "force": True}
        answer = self.rest.post("/snapshots", json={"snapshot": body})
        assert answer.status_code == 202, answer.text
        path = f"/snapshots/{answer.json()['snapshot']['id']}"
        self.ended(path)
        return path

    def made(self, kind: str, name: str) -> list[str]:
        """Paths of what came of a request: one, or none where it was not accepted."""
        found = self.rest.get(f"/{kind}", params={"name": name}).json()[kind]
        return [f"/{kind}/{each['id']}" for each in found]

    def settled(self) -> None:
        """Wait until no operation lives: neither a flatten nor a purge."""
        deadline = time.monotonic() + PATIENCE * 2
        while live := [each for each in self._operations() if each["ended_at"] is None]:
            assert time.monotonic() < deadline, live
            time.sleep(0.1)

    def _operations(self) -> list[dict[str, Any]]:
        found = self.rest.get("/operations", params={"all_tenants": 1, "limit": 50}).json()["operations"]
        return list(found)

    @property
    def host(self) -> str:
        pools = self.rest.get("/scheduler-stats/get_pools").json()["pools"]
        return str(pools[0]["name"])

    @contextmanager
    def pool(self) -> Iterator[Any]:
        """The pool itself, as a stranger reaches it."""
        import rados

        with rados.Rados(conffile=self.client.configuration, rados_id=self.client.user) as cluster:
            with cluster.open_ioctx(self.client.pool) as ioctx:
                yield ioctx

    def images(self) -> list[str]:
        import rbd

        with self.pool() as ioctx:
            return list(rbd.RBD().list(ioctx))

    def remove_image(self, name: str) -> None:
        import rbd

        with self.pool() as ioctx:
            with rbd.Image(ioctx, name) as image:
                for found in image.list_snaps():
                    image.remove_snap(found["name"])
            rbd.RBD().remove(ioctx, name)


class Deed:
    """Asked for on the path that ``prepare`` gives."""

    def prepare(self, ground: Ground) -> str:
        return f"/volumes/{ground.source}"

    def ask(self, ground: Ground, subject: str) -> None:
        raise NotImplementedError

    def check(self, ground: Ground, subject: str) -> None:
        """It ended as asked; then nothing is left of it."""
        for path in ground.made("volumes", "made"):
            ground.ended(path)
            ground.gone(path)


class Create(Deed):
    def ask(self, ground: Ground, subject: str) -> None:
        ground.rest.create_volume(name="made")


class Copy(Deed):
    def ask(self, ground: Ground, subject: str) -> None:
        ground.rest.create_volume(size=2, name="made", source_volid=ground.source)


class FromSnapshot(Deed):
    """Flattened, where the backend wants that."""

    def prepare(self, ground: Ground) -> str:
        return ground.snapshot(ground.source)

    def ask(self, ground: Ground, subject: str) -> None:
        ground.rest.create_volume(size=2, name="made", snapshot_id=subject.removeprefix("/snapshots/"))

    def check(self, ground: Ground, subject: str) -> None:
        for path in ground.made("volumes", "made"):
            ground.ended(path)
        ground.settled()
        super().check(ground, subject)
        ground.gone(subject)


class Snapshot(Deed):
    def ask(self, ground: Ground, subject: str) -> None:
        body = {"volume_id": ground.source, "name": "made"}
        ground.rest.post("/snapshots", json={"snapshot": body})

    def check(self, ground: Ground, subject: str) -> None:
        for path in ground.made("snapshots", "made"):
            ground.ended(path)
            ground.gone(path)


class Delete(Deed):
    def prepare(self, ground: Ground) -> str:
        return f"/volumes/{ground.rest.make_volume()}"

    def ask(self, ground: Ground, subject: str) -> None:
        ground.rest.delete(subject)

    def check(self, ground: Ground, subject: str) -> None:
        ground.rest.wait_until_gone(subject)
        ground.settled()


class DeleteSnapshot(Delete):
    def prepare(self, ground: Ground) -> str:
        return ground.snapshot(ground.source)


class Extend(Deed):
    def prepare(self, ground: Ground) -> str:
        return f"/volumes/{ground.rest.make_volume()}"

    def ask(self, ground: Ground, subject: str) -> None:
        ground.act(subject, "os-extend", {"new_size": 2})

    def check(self, ground: Ground, subject: str) -> None:
        ground.ended(subject)
        assert ground.rest.get(subject).json()["volume"]["size"] == 2
        ground.gone(subject)


class Revert(Extend):
    """Of a volume that has grown since: rolled back, and as large as before."""

    def prepare(self, ground: Ground) -> str:
        path = super().prepare(ground)
        ground.snapshot(path.removeprefix("/volumes/"), "before")
        self.ask_to_grow(ground, path)
        return path

    def ask_to_grow(self, ground: Ground, path: str) -> None:
        super().ask(ground, path)
        ground.ended(path)

    def ask(self, ground: Ground, subject: str) -> None:
        (snapshot,) = ground.made("snapshots", "before")
        ground.act(subject, "revert", {"snapshot_id": snapshot.removeprefix("/snapshots/")})

    def check(self, ground: Ground, subject: str) -> None:
        ground.ended(subject)
        for path in ground.made("snapshots", "before"):
            ground.gone(path)
        super().check(ground, subject)


class Attach(Deed):
    """Let in, and out again."""

    def prepare(self, ground: Ground) -> str:
        return f"/volumes/{ground.rest.make_volume()}"

    def ask(self, ground: Ground, subject: str) -> None:
        ground.rest.attach(subject.removeprefix("/volumes/"))

    def check(self, ground: Ground, subject: str) -> None:
        for each in ground.rest.get("/attachments").json()["attachments"]:
            ground.rest.delete(f"/attachments/{each['id']}")
            ground.rest.wait_until_gone(f"/attachments/{each['id']}")
        ground.ended(subject)
        ground.gone(subject)


class Detach(Attach):
    def prepare(self, ground: Ground) -> str:
        path = super().prepare(ground)
        ground.rest.attach(path.removeprefix("/volumes/"))
        return path

    def ask(self, ground: Ground, subject: str) -> None:
        for each in ground.rest.get("/attachments").json()["attachments"]:
            ground.rest.delete(f"/attachments/{each['id']}")


class Manage(Deed):
    """An image that somebody made, of no whole GiB."""

    def prepare(self, ground: Ground) -> str:
        import rbd

        with ground.pool() as ioctx:
            rbd.RBD().create(ioctx, "foreign", GIB + 4096)
        return "foreign"

    def ask(self, ground: Ground, subject: str) -> None:
        body = {"host": ground.host, "ref": {"source-name": subject}, "name": "made"}
        answer = ground.rest.post("/manageable_volumes", json={"volume": body})
        assert answer.status_code == 202, answer.text

    def check(self, ground: Ground, subject: str) -> None:
        super().check(ground, subject)
        if subject in ground.images():
            ground.remove_image(subject)


class Unmanage(Delete):
    def ask(self, ground: Ground, subject: str) -> None:
        ground.act(subject, "os-unmanage")

    def check(self, ground: Ground, subject: str) -> None:
        super().check(ground, subject)
        ground.remove_image(f"unmanaged-volume-{subject.removeprefix('/volumes/')}")


class ManageSnapshot(Deed):
    """A snapshot that somebody took of one of our images."""

    def prepare(self, ground: Ground) -> str:
        import rbd

        with ground.pool() as ioctx, rbd.Image(ioctx, f"volume-{ground.source}") as image:
            image.create_snap("foreign")
        return f"volume-{ground.source}@foreign"

    def ask(self, ground: Ground, subject: str) -> None:
        body = {"volume_id": ground.source, "ref": {"source-name": subject}, "name": "made"}
        answer = ground.rest.post("/manageable_snapshots", json={"snapshot": body})
        assert answer.status_code == 202, answer.text

    def check(self, ground: Ground, subject: str) -> None:
        import rbd

        for path in ground.made("snapshots", "made"):
            ground.ended(path)
            ground.gone(path)
        with ground.pool() as ioctx, rbd.Image(ioctx, f"volume-{ground.source}") as image:
            for found in image.list_snaps():
                image.remove_snap(found["name"])


class UnmanageSnapshot(DeleteSnapshot):
    def ask(self, ground: Ground, subject: str) -> None:
        ground.act(subject, "os-unmanage")

    def check(self, ground: Ground, subject: str) -> None:
        import rbd

        super().check(ground, subject)
        with ground.pool() as ioctx, rbd.Image(ioctx, f"volume-{ground.source}") as image:
            (found,) = image.list_snaps()
            assert found["name"] == f"unmanaged-snapshot-{subject.removeprefix('/snapshots/')}"
            image.remove_snap(found["name"])


ALL: tuple[Deed, ...] = (
    Create(),
    Copy(),
    FromSnapshot(),
    Snapshot(),
    DeleteSnapshot(),
    Extend(),
    Revert(),
    Delete(),
    Attach(),
    Detach(),
    Manage(),
    Unmanage(),
    ManageSnapshot(),
    UnmanageSnapshot(),
)
