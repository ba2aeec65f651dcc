"""A create that looks at nothing first: what has its name is told by librbd, whose it is by the ids of clients."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.functional.rbd.drivers import at, killed, pool_of, set_up
from tests.functional.rbd.test_faults import access_of
from volumed.driver.errors import BackendInvalid, BackendNotFound
from volumed.driver.interface import Leftover, SnapshotRef, VolumeRef, unwatched

pytestmark = [pytest.mark.part("ceph"), pytest.mark.embedded_only("it is about the driver alone")]

GIB = 1024**3
VOLUME = VolumeRef("v", 1, "pool")
SOURCE = VolumeRef("source", 1, "pool")
SNAPSHOT = SnapshotRef("s", SOURCE, 1)
NAME = "volume-v"

CREATES: dict[str, Callable[[Any], object]] = {
    "new": lambda driver: driver.create(VOLUME),
    "from snapshot": lambda driver: driver.create_from_snapshot(VOLUME, SNAPSHOT, unwatched),
    "from volume": lambda driver: driver.create_from_volume(VOLUME, SOURCE, unwatched),
}


@pytest.fixture
def create(request: pytest.FixtureRequest, driver: Any) -> Callable[[Any], object]:
    if request.param != "new":
        driver.create(SOURCE)
        driver.create_snapshot(SNAPSHOT, False, unwatched)
    return CREATES[request.param]


each_kind = pytest.mark.parametrize("create", CREATES, indirect=True)


def make_strangers(pool: Any) -> None:
    import rbd

    rbd.RBD().create(pool, NAME, GIB)
    with rbd.Image(pool, NAME) as image:
        image.write(b"theirs", 0)


def is_strangers(pool: Any) -> bool:
    import rbd

    with rbd.Image(pool, NAME, read_only=True) as image:
        return bool(image.read(0, 6) == b"theirs") and not list(image.metadata_list())


def entries(driver: Any, pool: Any) -> list[str]:
    """Volumes that the register has as being made, once all that was left for later is written."""
    driver._register._set("rbd.note", "former/other", {})
    driver._register._remove("rbd.forget_former", "former/other")
    return list(driver._register.intents())


@each_kind
def test_a_strangers_image_of_the_name_is_left_alone_and_nothing_is_noted(
    driver: Any, pool: Any, create: Callable[[Any], object]
) -> None:
    make_strangers(pool)
    for _ in range(2):
        with pytest.raises(BackendInvalid, match="somebody else made it"):
            create(driver)
        assert is_strangers(pool)
        assert entries(driver, pool) == []


@pytest.mark.parametrize("point", ["rbd.intend.after", "rbd.create.before"])
def test_a_strangers_image_is_not_taken_for_what_a_kill_left_half_made(
    backend: Any, driver: Any, pool: Any, point: str
) -> None:
    make_strangers(pool)
    with at(point, killed), pytest.raises(KeyboardInterrupt):
        driver.create(VOLUME)
    next_one = set_up(backend)
    left = Leftover("temporary", VOLUME.id, f"{backend.pool}/{NAME}", "made in part")
    assert left in next_one.audit()
    with pytest.raises(BackendInvalid, match="somebody else made it"):
        next_one.create(VOLUME)
    for remove in (lambda: next_one.delete(VOLUME), lambda: next_one.remove_leftover(left)):
        try:
            remove()
        except BackendInvalid:
            pass
        assert is_strangers(pool)
    assert next_one.audit() == []


@pytest.mark.parametrize("remove", [True, False])
def test_a_strangers_image_that_came_after_a_kill_is_left_alone_by_whoever_cleans_up(
    backend: Any, driver: Any, pool: Any, remove: bool
) -> None:
    with at("rbd.create.before", killed), pytest.raises(KeyboardInterrupt):
        driver.create(VOLUME)
    make_strangers(pool)
    next_one = set_up(backend)
    left = Leftover("temporary", VOLUME.id, f"{backend.pool}/{NAME}", "made in part")
    with pytest.raises(BackendInvalid, match="somebody else made it"):
        next_one.remove_leftover(left) if remove else next_one.delete(VOLUME)
    assert is_strangers(pool)
    assert next_one.audit() == []


@each_kind
def test_what_an_earlier_client_left_half_made_is_made_again_also_where_it_comes_late(
    backend: Any, driver: Any, create: Callable[[Any], object]
) -> None:
    """A request of a client that lost its connection may be carried out after the next attempt has looked."""
    with at("rbd.mark.before", killed), pytest.raises(KeyboardInterrupt):
        create(driver)
    second = set_up(backend)
    with at("rbd.mark.before", killed), pytest.raises(KeyboardInterrupt):
        create(second)
    intent = second._register.intent(VOLUME.id)
    assert intent.clients == [driver._connection.link.client, second._connection.link.client]
    third = set_up(backend)
    create(third)
    assert third.has_volume(VOLUME)
    third.delete(VOLUME)
    third.purge(VOLUME, unwatched)
    assert not [found for found in third.audit() if found.id == VOLUME.id]


@each_kind
def test_an_image_whose_first_client_made_it_late_is_removed_and_not_a_strangers(
    backend: Any, driver: Any, create: Callable[[Any], object]
) -> None:
    second = set_up(backend)
    with at("rbd.intend.after", killed), pytest.raises(KeyboardInterrupt):
        create(driver)

    def late() -> None:
        driver._connection.modules.rbd.RBD().create(driver._connection.ioctx, NAME, GIB)

    with at("rbd.create.before" if create is CREATES["new"] else "rbd.clone.before", late):
        create(second)
    assert second.has_volume(VOLUME)


def test_a_clone_of_what_is_not_there_is_noted_nowhere(driver: Any, pool: Any) -> None:
    for create in (CREATES["from snapshot"], CREATES["from volume"]):
        with pytest.raises(BackendNotFound):
            create(driver)
        assert entries(driver, pool) == []


def test_a_new_volume_is_made_though_its_entry_was_refused_with_anothers(
    driver: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entries that are written together are written all or none: who had no fault looks, and goes on."""
    monkeypatch.setattr(driver._register, "intend_first", lambda *_: False)
    driver.create(VOLUME)
    assert driver.has_volume(VOLUME)


def test_many_at_once_with_some_that_were_begun_before_are_all_made_and_nothing_is_noted(
    backend: Any, driver: Any, pool: Any
) -> None:
    volumes = [VolumeRef(str(number), 1, "pool") for number in range(40)]
    for volume in volumes[::4]:
        with at("rbd.mark.before", killed), pytest.raises(KeyboardInterrupt):
            driver.create(volume)
    again = set_up(backend)
    with ThreadPoolExecutor(8) as threads:
        for _ in range(2):
            list(threads.map(again.create, volumes))
    assert all(again.has_volume(volume) for volume in volumes)
    assert entries(again, pool) == []


def test_many_that_were_all_begun_before_are_made_beside_attaches(backend: Any, driver: Any, pool: Any) -> None:
    """A write that is refused for one's part in it is made again for the others'."""
    volumes = [VolumeRef(str(number), 1, "pool") for number in range(40)]
    for volume in volumes:
        with at("rbd.intend.after", killed), pytest.raises(KeyboardInterrupt):
            driver.create(volume)
    again = set_up(backend)

    def make(volume: VolumeRef) -> None:
        again.create(volume)
        again.ensure_export(volume, [access_of(volume.id)])

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(make, volumes))
    assert {left.id for left in again.audit() if left.kind == "export"} == {volume.id for volume in volumes}
    assert entries(again, pool) == []


def test_what_a_first_attempt_took_is_removed_by_the_delete_after_a_repeat_that_was_refused(
    backend: Any, driver: Any, pool: Any
) -> None:
    """The snapshot that it cloned from: a repeat that finds the source wanting forgets nothing of it."""
    import rbd

    driver.create(SOURCE)
    with at("rbd.clone.before", killed), pytest.raises(KeyboardInterrupt):
        driver.create_from_volume(VOLUME, SOURCE, unwatched)
    again = set_up(backend)
    with pytest.MonkeyPatch.context() as monkeypatch:

        def wanting(*_: object) -> None:
            raise BackendNotFound(what="volume source", backend="rbd")

        monkeypatch.setattr(type(again._images), "needed", wanting)
        with pytest.raises(BackendNotFound):
            again.create_from_volume(VOLUME, SOURCE, unwatched)
    again.delete(VOLUME)
    with rbd.Image(pool, "volume-source", read_only=True) as image:
        assert not list(image.list_snaps())
    assert entries(again, pool) == []


@pytest.mark.parametrize("killed_before", [False, True])
def test_a_strangers_image_that_is_half_in_the_trash_is_left_alone_too(
    driver: Any, pool: Any, killed_before: bool
) -> None:
    from tests.lab.ceph import interrupted

    make_strangers(pool)
    theirs = interrupted.id_of(pool, NAME)
    pool.remove_object(f"rbd_id.{NAME}")
    before = {found.key for found in pool.list_objects() if theirs in found.key}
    for call in (driver.create, driver.delete):
        if killed_before:
            with at("rbd.intend.after", killed), pytest.raises(KeyboardInterrupt):
                driver.create(VOLUME)
        if killed_before or call == driver.create:
            with pytest.raises(BackendInvalid, match="somebody else made it"):
                call(VOLUME)
        else:
            assert call(VOLUME) is None
        assert {found.key for found in pool.list_objects() if theirs in found.key} == before


def test_a_delete_ends_when_the_entry_is_gone_for_everybody(backend: Any, driver: Any) -> None:
    """A request that nobody waits for is lost when its connection ends before it is carried out."""
    observer = set_up(backend)
    for _ in range(10):
        with at("rbd.forget.before", killed), pytest.raises(KeyboardInterrupt):
            driver.create(VOLUME)
        assert list(observer._register.intents()) == [VOLUME.id]
        driver.delete(VOLUME)
        assert list(observer._register.intents()) == []
        driver.purge(VOLUME, unwatched)


def test_a_volume_that_is_given_back_is_not_taken_for_half_made(backend: Any, driver: Any, pool: Any) -> None:
    """Though its entry is there still, since its create was killed just at the end."""
    import rbd

    with at("rbd.forget.before", killed), pytest.raises(KeyboardInterrupt):
        driver.create(VOLUME)
    again = set_up(backend)
    with at("rbd.unmark.after", killed), pytest.raises(KeyboardInterrupt):
        again.unmanage(VOLUME)
    for _ in range(2):
        last = set_up(backend)
        assert not last.audit()
        last.remove_leftover(Leftover("temporary", VOLUME.id, f"{backend.pool}/{NAME}", "made in part"))
        assert len(rbd.RBD().list(pool)) == 1
        last.unmanage(VOLUME)
    assert rbd.RBD().list(pool) == [f"unmanaged-{NAME}"]


def test_an_entry_of_a_build_that_named_no_client_is_still_understood(backend: Any, driver: Any) -> None:
    with at("rbd.mark.before", killed), pytest.raises(KeyboardInterrupt):
        driver.create(VOLUME)
    driver._register._set("rbd.intend", f"making/{VOLUME.id}", {})
    again = set_up(backend)
    again.create(VOLUME)
    assert again.has_volume(VOLUME)


@pytest.mark.parametrize("wanted_by", ["nobody", "configuration", "pool"])
def test_images_have_the_features_that_librbd_gives_them_by_itself(backend: Any, pool: Any, wanted_by: str) -> None:
    import rbd

    configuration, wanted = Path(backend.client.configuration), "layering,exclusive-lock"
    if wanted_by == "configuration":
        before = configuration.read_text()
        configuration.write_text(f"{before}\n[client]\nrbd_default_features = {wanted}\n")
    if wanted_by == "pool":
        rbd.RBD().pool_metadata_set(pool, "conf_rbd_default_features", wanted)
    driver = set_up(backend)
    names = [NAME, "volume-w", "volume-x"]
    for name in names:
        driver.create(VolumeRef(name.removeprefix("volume-"), 1, "pool"))
    with pool_of(backend) as as_configured:
        rbd.RBD().create(as_configured, "by itself", GIB)
    found = []
    for name in [*names, "by itself"]:
        with rbd.Image(pool, name, read_only=True) as image:
            found.append(image.features())
    assert len(set(found)) == 1, found
    assert wanted_by == "nobody" or found[0] == rbd.RBD_FEATURE_LAYERING | rbd.RBD_FEATURE_EXCLUSIVE_LOCK


def test_a_pool_is_validated_by_the_first_create_and_then_believed_by_the_connection(driver: Any, pool: Any) -> None:
    cluster = driver._connection.link.cluster
    driver.create(VOLUME)
    assert cluster.conf_get("rbd_validate_pool") == "true"
    assert pool.read("rbd_info") == b"overwrite validated"
    driver.create(SOURCE)
    assert cluster.conf_get("rbd_validate_pool") == "false"


def test_a_pool_for_the_data_is_validated_by_each_create(backend: Any, pool: Any) -> None:
    """It is not the images' own."""
    import rbd

    set_up(backend).create(VOLUME)
    rbd.RBD().pool_metadata_set(pool, "conf_rbd_default_data_pool", backend.client.pool)
    driver = set_up(backend)
    driver.create(SOURCE)
    assert driver._connection.link.cluster.conf_get("rbd_validate_pool") == "true"
