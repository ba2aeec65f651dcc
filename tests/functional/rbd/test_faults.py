"""What goes wrong on a cluster and what the driver makes of it: bounded in time, a declared error, nothing left."""

import errno
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.functional.rbd.conftest import configuration
from tests.functional.rbd.drivers import at, backend_of, killed, pool_of, set_up
from tests.lab.nursery import forked_daemon
from volumed.driver.errors import BackendBusy, BackendError, BackendFull, BackendInvalid, BackendUnreachable
from volumed.driver.interface import Leftover, Owner, SnapshotRef, VolumeRef, unwatched

pytestmark = [pytest.mark.part("ceph"), pytest.mark.embedded_only("it is about the driver alone")]

GIB = 1024**3
MIB = 1024**2

#: Short, so that a test of silence is short.
TIMEOUTS = {"rados_osd_op_timeout": 2, "rados_mon_op_timeout": 2, "rados_connect_timeout": 2}

#: Seconds within which whatever happens has to be said: a call makes several requests of which each may time out.
BOUND = 90.0

VOLUME = VolumeRef("v", 1, "pool")
SNAPSHOT = SnapshotRef("s", VOLUME, 1)
COPY = VolumeRef("c", 2, "pool")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """One whose daemons may be stopped."""
    from tests.lab.ceph import cluster

    with cluster.own() as own:
        yield own


@pytest.fixture(scope="module")
def client(cluster: Any) -> Iterator[Any]:
    """A pool that each test leaves empty."""
    with cluster.pool() as client:
        yield client


@pytest.fixture
def backend(client: Any, tmp_path: Path) -> Any:
    return backend_of(client, tmp_path, **TIMEOUTS)


def keys(ioctx: Any) -> list[str]:
    """Names of the pool's objects."""
    return [found.key for found in ioctx.list_objects()]


def bounded(call: Callable[[], object]) -> BaseException | None:
    """What ``call`` raised, which must end within ``BOUND`` seconds."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(BOUND)
    assert not thread.is_alive(), "the call hangs"
    return raised[0] if raised else None


def until_it_works(call: Callable[[], object]) -> None:
    """Repeat ``call`` as an operation is repeated, until it raises nothing of the backend's family."""
    deadline = time.monotonic() + BOUND
    while (raised := bounded(call)) is not None:
        assert isinstance(raised, BackendError), raised
        assert time.monotonic() < deadline, raised
        time.sleep(0.2)


def nothing(driver: Any) -> None:
    """Prepares nothing."""


def volume(driver: Any) -> None:
    driver.create(VOLUME)


def snapshot(driver: Any) -> None:
    driver.create(VOLUME)
    driver.create_snapshot(SNAPSHOT, False, unwatched)


def clone(driver: Any) -> None:
    snapshot(driver)
    driver.create_from_snapshot(COPY, SNAPSHOT, unwatched)


def deleted(driver: Any) -> None:
    driver.create(VOLUME)
    driver.delete(VOLUME)


CALLS: list[tuple[str, Callable[[Any], None], Callable[[Any], object], str]] = [
    ("create", nothing, lambda d: d.create(VOLUME), "rbd.create.before"),
    ("extend", volume, lambda d: d.extend(VOLUME, 2), "rbd.resize.before"),
    ("snapshot", volume, lambda d: d.create_snapshot(SNAPSHOT, False, unwatched), "rbd.snapshot.before"),
    ("clone", snapshot, lambda d: d.create_from_snapshot(COPY, SNAPSHOT, unwatched), "rbd.clone.before"),
    ("copy", volume, lambda d: d.create_from_volume(COPY, VOLUME, unwatched), "rbd.clone.before"),
    ("delete snapshot", snapshot, lambda d: d.delete_snapshot(SNAPSHOT), "rbd.remove_snapshot.before"),
    ("delete", volume, lambda d: d.delete(VOLUME), "rbd.trash.before"),
    ("revert", snapshot, lambda d: d.revert(VOLUME, SNAPSHOT, unwatched), "rbd.revert.before"),
    ("flatten", clone, lambda d: d.flatten(COPY, unwatched), "rbd.flatten.before"),
    ("purge", deleted, lambda d: d.purge(VOLUME, unwatched), "rbd.purge.before"),
    ("attach", volume, lambda d: d.ensure_export(VOLUME, [access_of("vm")]), "rbd.let_in.before"),
]


@pytest.mark.parametrize(
    ("prepare", "call", "point"),
    [pytest.param(prepare, call, point, id=name) for name, prepare, call, point in CALLS],
)
def test_an_osd_that_falls_silent_makes_an_error_and_the_repeat_ends_well(
    cluster: Any, backend: Any, driver: Any, prepare: Callable[[Any], None], call: Callable[[Any], object], point: str
) -> None:
    prepare(driver)
    try:
        with at(point, lambda: cluster.pause("osd")):
            raised = bounded(lambda: call(driver))
    finally:
        cluster.resume("osd")
    assert isinstance(raised, BackendError), raised
    until_it_works(lambda: call(driver))
    clear(driver)
    assert_is_empty(backend, driver)


def assert_is_empty(backend: Any, driver: Any) -> None:
    """Neither the driver's audit nor whoever looks into the pool finds anything."""
    from tests.lab.ceph import interrupted

    assert not driver.audit()
    with pool_of(backend) as ioctx:
        assert not interrupted.left(ioctx)


@pytest.mark.parametrize(
    ("prepare", "call"),
    [
        pytest.param(prepare, call, id=name)
        for name, prepare, call, _ in CALLS
        if name in ("extend", "snapshot", "copy", "delete snapshot")
    ],
)
def test_an_osd_that_falls_silent_while_an_image_is_open_makes_an_error_too(
    cluster: Any,
    driver: Any,
    prepare: Callable[[Any], None],
    call: Callable[[Any], object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from volumed_drivers.rbd import images

    prepare(driver)
    really_opened, pauses = images.opened, [lambda: cluster.pause("osd")]

    @contextmanager
    def opened(*arguments: Any, **named: Any) -> Iterator[Any]:
        with really_opened(*arguments, **named) as image:
            while pauses:
                pauses.pop()()
            yield image

    monkeypatch.setattr(images, "opened", opened)
    try:
        raised = bounded(lambda: call(driver))
    finally:
        cluster.resume("osd")
    assert isinstance(raised, BackendError), raised
    until_it_works(lambda: call(driver))
    clear(driver)
    assert not driver.audit()


def clear(driver: Any) -> None:
    """Delete and purge everything, once whoever died is known to be dead."""
    driver.remove_export(VOLUME)
    driver.delete_snapshot(SNAPSHOT)
    for each in (COPY, VOLUME):
        until_it_works(lambda each=each: driver.delete(each))
        until_it_works(lambda each=each: driver.purge(each, unwatched))


def test_a_monitor_that_falls_silent_stops_no_data_and_is_said_to_be_away(cluster: Any, driver: Any) -> None:
    driver.create(VOLUME)
    cluster.pause("mon")
    try:
        assert isinstance(bounded(driver.capabilities), BackendUnreachable)
    finally:
        cluster.resume("mon")
    until_it_works(driver.capabilities)
    assert driver.has_volume(VOLUME)
    clear(driver)


def test_a_backend_is_not_healthy_while_its_pool_does_not_answer(cluster: Any, driver: Any) -> None:
    assert driver.check_health() is False
    cluster.pause("osd")
    try:
        assert isinstance(bounded(driver.check_health), BackendUnreachable)
    finally:
        cluster.resume("osd")
    until_it_works(driver.check_health)


def test_a_service_whose_cluster_falls_silent_is_down_until_it_is_back(cluster: Any, client: Any) -> None:
    more = "".join(f"{name} = {seconds}\n" for name, seconds in TIMEOUTS.items())
    with forked_daemon(configuration({"ssd": client}, more)) as service, service.session() as rest:
        rest.make_volume()
        cluster.pause("osd")
        try:
            wait_for_state(rest, "down")
        finally:
            cluster.resume("osd")
        wait_for_state(rest, "up")
        rest.make_volume()
        for each in rest.get("/volumes").json()["volumes"]:
            rest.delete(f"/volumes/{each['id']}")
            rest.wait_until_gone(f"/volumes/{each['id']}")


def wait_for_state(rest: Any, wanted: str) -> None:
    deadline = time.monotonic() + BOUND
    while True:
        services = rest.get("/os-services", params={"binary": "volumed-volume"}).json()["services"]
        (found,) = [each["state"] for each in services]
        if found == wanted:
            return
        assert time.monotonic() < deadline, services
        time.sleep(0.2)


def test_a_full_pool_takes_nothing_and_lets_go(cluster: Any, client: Any, backend: Any, driver: Any) -> None:
    driver.create(VOLUME)
    access = "anybody"
    info = driver.connection_info(VOLUME, access_of(access))
    backend.data.write_pattern(info, 1, 0, 4 * MIB)
    cluster.set_quota(client.pool, MIB)
    made = until_it_is_full(driver)
    assert driver.has_volume(VOLUME)
    assert not driver.has_volume(COPY)
    free = driver.capabilities().pools[0].free_gib
    assert free == 0
    calls: list[Callable[[], object]] = [
        lambda: driver.create_snapshot(SNAPSHOT, False, unwatched),
        lambda: driver.create_from_volume(COPY, VOLUME, unwatched),
        lambda: driver.extend(VOLUME, 2),
        lambda: driver.delete_snapshot(SNAPSHOT),
        lambda: driver.delete(VOLUME),
    ]
    for call in calls:
        raised = bounded(call)
        assert raised is None or isinstance(raised, BackendFull), raised
    cluster.set_quota(client.pool, 0)
    until_it_works(lambda: driver.create(COPY))
    for each in made:
        driver.delete(each)
        driver.purge(each, unwatched)
    clear(driver)
    assert_is_empty(backend, driver)


def until_it_is_full(driver: Any) -> list[VolumeRef]:
    """Make volumes until the cluster has seen that the pool is over its quota; returns all that were begun."""
    made = []
    deadline = time.monotonic() + BOUND
    while time.monotonic() < deadline:
        made.append(VolumeRef(f"filler-{len(made)}", 1, "pool"))
        raised = bounded(lambda: driver.create(made[-1]))
        if isinstance(raised, BackendFull):
            return made
        assert raised is None, raised
        time.sleep(0.2)
    raise AssertionError("the pool does not get full")


def access_of(name: str) -> Any:
    from volumed.driver.interface import Access

    return Access(attachment_id=name, initiator=None, read_only=False, username=name, password="not-used-here")


def test_who_holds_an_image_is_named(backend: Any, driver: Any) -> None:
    driver.create(VOLUME)
    with backend.data.image(driver.connection_info(VOLUME, access_of("vm"))) as image:
        (watcher,) = [found["addr"] for found in image.watchers_list()]
        with pytest.raises(BackendBusy, match=watcher):
            driver.delete(VOLUME)
        assert driver.has_volume(VOLUME)
    driver.delete(VOLUME)
    driver.purge(VOLUME, unwatched)
    assert not driver.audit()


def test_a_volume_that_somebody_has_open_is_not_reverted(backend: Any, driver: Any) -> None:
    snapshot(driver)
    info = driver.connection_info(VOLUME, access_of("vm"))
    with backend.data.image(info) as image:
        image.write(b"new", 0)
        (watcher,) = [found["addr"] for found in image.watchers_list()]
        with pytest.raises(BackendBusy, match=watcher):
            driver.revert(VOLUME, SNAPSHOT, unwatched)
        assert image.read(0, 3) == b"new"
    driver.revert(VOLUME, SNAPSHOT, unwatched)
    assert backend.data.has_pattern(info, 0, 0, 3)
    clear(driver)


def test_what_lives_on_a_deleted_volume_is_named_and_the_last_one_frees_it(driver: Any) -> None:
    driver.create(VOLUME)
    driver.create_from_volume(COPY, VOLUME, unwatched)
    assert driver.delete(VOLUME) is not None
    assert not driver.has_volume(VOLUME)
    with pytest.raises(BackendBusy, match="volume-c"):
        driver.purge(VOLUME, unwatched)
    driver.delete(COPY)
    driver.purge(COPY, unwatched)
    driver.purge(VOLUME, unwatched)
    assert not driver.audit()


def test_a_wrong_key_is_an_error_that_names_the_user_and_the_next_right_one_works(cluster: Any, backend: Any) -> None:
    keyring = Path(cluster.layout.folder / f"ceph.client.{backend.client.user}.keyring")
    right = keyring.read_text()
    keyring.write_text(f"[client.{backend.client.user}]\n\tkey = AQAq4wdlAAAAABAAzRZdbpAKpGFtSLR9ZFmZEA==\n")
    driver = backend.driver()
    with pytest.raises(BackendUnreachable, match=f"client.{backend.client.user}"):
        driver.do_setup()
    keyring.write_text(right)
    driver.do_setup()
    driver.create(VOLUME)
    keyring.write_text(f"[client.{backend.client.user}]\n\tkey = AQAq4wdlAAAAABAAzRZdbpAKpGFtSLR9ZFmZEA==\n")
    assert driver.has_volume(VOLUME)  # a connection outlives the key's file
    driver.close()
    for call in (driver.check_health, lambda: driver.extend(VOLUME, 2)):
        with pytest.raises(BackendUnreachable, match=f"client.{backend.client.user}"):
            call()
    keyring.write_text(right)
    driver.check_health()
    driver.extend(VOLUME, 2)
    clear(driver)


def test_a_pool_that_is_gone_is_unreachable_and_not_empty(cluster: Any, tmp_path: Path) -> None:
    client = cluster.make_pool("going")
    driver: Any = set_up(backend_of(client, tmp_path, **TIMEOUTS))
    driver.create(VOLUME)
    cluster.remove_pool(client.pool)
    calls: list[Callable[[], object]] = [
        lambda: driver.has_volume(VOLUME),
        lambda: driver.delete(VOLUME),
        driver.audit,
        driver.exports,
        driver.check_health,
    ]
    for call in calls:
        raised = bounded(call)
        assert isinstance(raised, BackendUnreachable), raised
        assert client.pool in str(raised)


def test_two_services_on_a_pool_see_the_same_storage_and_leave_each_other_alone(backend: Any, driver: Any) -> None:
    other = set_up(replace(backend, owner=Owner("another-deployment", "rbd")))
    driver.create(VOLUME)
    assert driver.capabilities().pools[0].storage_id == other.capabilities().pools[0].storage_id
    assert not other.has_volume(VOLUME)
    assert other.audit() == []
    for call in (lambda: other.create(VOLUME), lambda: other.delete(VOLUME)):
        with pytest.raises(BackendInvalid, match="volume-v"):
            call()
    assert driver.has_volume(VOLUME)
    clear(driver)


def test_an_entry_of_one_service_is_no_claim_to_what_another_has_made_since(backend: Any, driver: Any) -> None:
    """As when a node died before its first effect, was given up, and is started again after a retry went elsewhere."""
    other = set_up(replace(backend, host="other-host"))
    with at("rbd.create.before", lambda: other.create(VOLUME)), pytest.raises(BackendInvalid, match="volume-v"):
        driver.create(VOLUME)
    assert driver.audit() == []
    left = Leftover("temporary", VOLUME.id, f"{backend.pool}/volume-{VOLUME.id}", "made in part")
    for remove in (lambda: driver.delete(VOLUME), lambda: driver.remove_leftover(left)):
        remove()
        assert other.has_volume(VOLUME)
    clear(other)
    assert not driver.audit()


def test_without_the_register_nothing_is_made_and_it_is_not_made_anew(backend: Any, driver: Any) -> None:
    driver.create(VOLUME)
    with pool_of(backend) as ioctx:
        register = f"volumed.{backend.owner.deployment}.{backend.setup().service}"
        ioctx.remove_object(register)
        calls: list[Callable[[], object]] = [
            lambda: driver.create(COPY),
            lambda: driver.create_from_volume(COPY, VOLUME, unwatched),
            driver.check_health,
        ]
        for call in calls:
            raised = bounded(call)
            assert isinstance(raised, BackendUnreachable), raised
            assert register in str(raised)
            assert register not in keys(ioctx)
    driver.do_setup()
    assert not driver.has_volume(COPY)
    driver.create(COPY)
    clear(driver)


def test_what_librbd_was_killed_in_the_removal_of_is_made_again(backend: Any, driver: Any) -> None:
    """The name is still in the pool's directory then, and leads to no image."""

    with at("rbd.mark.before", killed), pytest.raises(KeyboardInterrupt):
        driver.create(VOLUME)
    with pool_of(backend) as ioctx:
        name = f"volume-{VOLUME.id}"
        image_id = ioctx.read(f"rbd_id.{name}")[4:].decode()
        for gone in (f"rbd_header.{image_id}", f"rbd_object_map.{image_id}", f"rbd_id.{name}"):
            ioctx.remove_object(gone)
        driver.create(VOLUME)
        assert driver.has_volume(VOLUME)
        clear(driver)
        assert not [key for key in keys(ioctx) if image_id in key]


def test_an_id_that_librbd_has_drawn_twice_is_drawn_again(
    backend: Any, driver: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Among many images it happens: the id is 32 random bits."""
    import rbd

    drawn = []

    class Drawing(rbd.RBD):
        def create(self, *options: Any, **more: Any) -> None:
            drawn.append(options)
            if len(drawn) == 1:
                raise rbd.OSError("error creating image", errno.EBADF)
            super().create(*options, **more)

    monkeypatch.setattr(rbd, "RBD", Drawing)
    driver.create(VOLUME)
    assert driver.has_volume(VOLUME)
    assert len(drawn) == 2
    clear(driver)


@pytest.mark.parametrize("name", ["snapshot-theirs", "clone-theirs"])
def test_an_image_whose_snapshots_are_called_as_ours_is_managed_once_they_are_renamed(
    client: Any, driver: Any, name: str
) -> None:
    """As Cinder's are: nothing would tell them from a snapshot of ours that no row knows, or that a delete removes."""
    from tests.lab.ceph.cluster import command

    rbd = ("rbd", "-c", client.configuration, "--id", client.user, "-p", client.pool)
    command(*rbd, "create", "--size", "1024", "volume-theirs")
    command(*rbd, "snap", "create", f"volume-theirs@{name}")
    reference = {"source-name": "volume-theirs"}
    with pytest.raises(BackendInvalid, match=rf"rename them first.*: {name}"):
        driver.managed_size(reference)
    with pytest.raises(BackendInvalid, match="rename them first"):
        driver.manage(VOLUME, reference)
    (found,) = driver.manageable_volumes()
    assert not found.safe_to_manage
    command(*rbd, "snap", "rename", f"volume-theirs@{name}", "volume-theirs@theirs")
    driver.manage(VOLUME, reference)
    assert [each.kind for each in driver.audit()] == ["volume"]
    driver.manage_snapshot(SNAPSHOT, {"source-name": "volume-v@theirs"})
    clear(driver)
    assert not driver.audit()


def test_figures_that_the_cluster_does_not_know_are_unknown(backend: Any, driver: Any) -> None:
    """Without a manager daemon ``ceph df`` succeeds, with no pool in it."""
    from volumed_drivers.rbd.connection import Connection
    from volumed_drivers.rbd.fence import Fence
    from volumed_drivers.rbd.headers import Headers
    from volumed_drivers.rbd.names import Marker
    from volumed_drivers.rbd.stats import Figures, Stats

    connection = Connection("rbd", backend.setup().options, Fence(backend.owner))
    stats = Stats(connection, Headers(connection), Marker(backend.owner), "no-such-pool")
    assert stats.figures() == Figures(None, None)
