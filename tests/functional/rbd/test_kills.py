"""The service killed at every crash point of the driver that a request passes: the next start ends it as asked."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.functional.rbd.test_service import assert_is_clean, wait_until_empty
from tests.lab.daemon import Session
from tests.lab.nursery import ForkedDaemon

pytestmark = [
    pytest.mark.part("ceph"),
    pytest.mark.rbd,
    pytest.mark.timeout(3600),
    pytest.mark.embedded_only("it is about a backend, and a fleet has the same ones"),
]


def create(rest: Session, source: str) -> Callable[[Session], None]:
    volume_id = rest.create_volume(name="made")["id"]
    return lambda again: gone(again, ended(again, f"/volumes/{volume_id}"))


def copy(rest: Session, source: str) -> Callable[[Session], None]:
    volume_id = rest.create_volume(size=2, source_volid=source)["id"]
    return lambda again: gone(again, ended(again, f"/volumes/{volume_id}"))


def snapshot(rest: Session, source: str) -> Callable[[Session], None]:
    answer = rest.post("/snapshots", json={"snapshot": {"volume_id": source}})
    path = f"/snapshots/{answer.json()['snapshot']['id']}"
    return lambda again: gone(again, ended(again, path))


def extend(rest: Session, source: str) -> Callable[[Session], None]:
    size = rest.get(f"/volumes/{source}").json()["volume"]["size"] + 1
    rest.post(f"/volumes/{source}/action", json={"os-extend": {"new_size": size}})

    def check(again: Session) -> None:
        ended(again, f"/volumes/{source}")
        assert again.get(f"/volumes/{source}").json()["volume"]["size"] == size

    return check


def delete(rest: Session, volume_id: str) -> Callable[[Session], None]:
    rest.delete(f"/volumes/{volume_id}")
    return lambda again: again.wait_until_gone(f"/volumes/{volume_id}")


def ended(rest: Session, path: str) -> str:
    rest.wait_for_status(path, "available")
    return path


def gone(rest: Session, path: str) -> None:
    rest.delete(path)
    rest.wait_until_gone(path)


def subject(rest: Session, source: str, ask: object) -> str:
    """What is asked about: the source of all, or a volume that may be deleted."""
    return rest.make_volume() if ask is delete else source


@pytest.mark.parametrize("ask", [create, copy, snapshot, extend, delete])
def test_killed_anywhere_the_next_start_ends_it(
    service: ForkedDaemon, pools: dict[str, Any], ask: Callable[[Session, str], Callable[[Session], None]]
) -> None:
    with service.session() as rest:
        source = rest.make_volume()
        target = subject(rest, source, ask)
        with service.trap.noting() as passed:
            ask(rest, target)(rest)
    points = [point for point in passed if point.startswith("rbd.")]
    assert points
    for point in points:
        with service.session() as rest:
            target = subject(rest, source, ask)
            service.trap.arm(point)
            check = ask(rest, target)
        service.wait_for_death_or_rest()
        service.start()
        with service.session() as rest:
            check(rest)
    with service.session() as rest:
        gone(rest, f"/volumes/{source}")
    for client in pools.values():
        wait_until_empty(client)
    assert_is_clean(service)
