"""librbd killed in the middle of one of its calls, where no crash point is: the repeat ends it, and nothing is left."""

from typing import Any

import pytest

from tests.functional.rbd.drivers import at, killed
from volumed.driver.interface import VolumeRef, unwatched

pytestmark = [pytest.mark.part("ceph"), pytest.mark.embedded_only("it is about the driver alone")]

GIB = 1024**3
VOLUME = VolumeRef("v", 1, "pool")
COPY = VolumeRef("c", 1, "pool")
NAME = "volume-v"
OLD = {"source-name": "old"}


def purged(driver: Any, pool: Any) -> bool:
    """Whether nothing is left of anything after a purge, for anybody to see."""
    from tests.lab.ceph import interrupted

    driver.purge(VOLUME, unwatched)
    assert not driver.audit()
    return not interrupted.left(pool)


@pytest.mark.parametrize("listed", [True, False])
def test_a_move_into_the_trash_is_ended_by_the_delete_that_is_asked_again(driver: Any, pool: Any, listed: bool) -> None:
    from tests.lab.ceph import interrupted

    driver.create(VOLUME)
    image_id = interrupted.id_of(pool, NAME)
    driver.delete(VOLUME)
    interrupted.moved_into_the_trash(pool, NAME, image_id, listed)
    assert image_id in driver.delete(VOLUME).detail
    assert not driver.has_volume(VOLUME)
    assert purged(driver, pool)


@pytest.mark.parametrize("listed", [True, False])
def test_a_move_into_the_trash_that_nobody_ended_is_ended_by_the_purge(driver: Any, pool: Any, listed: bool) -> None:
    from tests.lab.ceph import interrupted

    driver.create(VOLUME)
    image_id = interrupted.id_of(pool, NAME)
    driver.delete(VOLUME)
    interrupted.moved_into_the_trash(pool, NAME, image_id, listed)
    assert purged(driver, pool)


def test_an_undo_keeps_what_it_has_moved_into_the_trash_until_it_is_purged(driver: Any, pool: Any) -> None:
    """The undo of a create just after its mark: its entry in the register is still there."""
    from tests.lab.ceph import interrupted

    with at("rbd.mark.after", killed), pytest.raises(KeyboardInterrupt):
        driver.create(VOLUME)
    image_id = interrupted.id_of(pool, NAME)
    with at("rbd.trash.after", killed), pytest.raises(KeyboardInterrupt):
        driver.delete(VOLUME)
    interrupted.moved_into_the_trash(pool, NAME, image_id, listed=True)
    assert image_id in driver.delete(VOLUME).detail
    (entry,) = driver.audit()
    assert (entry.kind, entry.id) == ("remains", VOLUME.id)
    assert purged(driver, pool)


def test_a_removal_that_left_only_its_entry_in_the_trash_is_ended(driver: Any, pool: Any) -> None:
    from tests.lab.ceph import interrupted

    driver.create(VOLUME)
    image_id = interrupted.id_of(pool, NAME)
    driver.delete(VOLUME)
    interrupted.removed_from_the_trash(pool, image_id)
    assert purged(driver, pool)


def test_what_others_have_in_the_trash_is_left_there(driver: Any, pool: Any) -> None:
    import rbd

    from tests.lab.ceph import interrupted

    for name in (NAME, "theirs"):
        rbd.RBD().create(pool, name, GIB)
        rbd.RBD().trash_move(pool, name, 0)
    before = interrupted.left(pool)
    assert driver.delete(VOLUME) is None
    driver.purge(VOLUME, unwatched)
    assert not driver.audit()
    assert interrupted.left(pool) == before


def test_a_name_that_only_the_directory_has_is_taken_away(driver: Any, pool: Any) -> None:
    from tests.lab.ceph import interrupted

    driver.create(VOLUME)
    image_id = interrupted.id_of(pool, NAME)
    for gone in (f"rbd_header.{image_id}", f"rbd_object_map.{image_id}", f"rbd_id.{NAME}"):
        pool.remove_object(gone)
    assert driver.delete(VOLUME) is None
    assert not interrupted.left(pool)


@pytest.mark.parametrize("listed", [True, False])
def test_an_image_that_was_being_renamed_is_managed_and_deleted(driver: Any, pool: Any, listed: bool) -> None:
    import rbd

    from tests.lab.ceph import interrupted

    rbd.RBD().create(pool, "old", GIB)
    with at("rbd.rename.before", killed), pytest.raises(KeyboardInterrupt):
        driver.manage(VOLUME, OLD)
    interrupted.named(pool, "old", NAME, listed)
    driver.manage(VOLUME, OLD)
    assert rbd.RBD().list(pool) == [NAME]
    assert driver.has_volume(VOLUME)
    driver.delete(VOLUME)
    assert purged(driver, pool)


@pytest.mark.parametrize("listed", [True, False])
def test_an_image_that_was_being_renamed_is_what_it_was_after_the_undo(driver: Any, pool: Any, listed: bool) -> None:
    import rbd

    from tests.lab.ceph import interrupted

    rbd.RBD().create(pool, "old", GIB)
    before = interrupted.left(pool)
    with at("rbd.rename.before", killed), pytest.raises(KeyboardInterrupt):
        driver.manage(VOLUME, OLD)
    interrupted.named(pool, "old", NAME, listed)
    driver.unmanage(VOLUME)
    assert interrupted.left(pool) == before


@pytest.mark.parametrize("listed", [True, False])
def test_an_image_that_was_getting_its_name_back_gets_it(driver: Any, pool: Any, listed: bool) -> None:
    import rbd

    from tests.lab.ceph import interrupted

    rbd.RBD().create(pool, "old", GIB)
    before = interrupted.left(pool)
    driver.manage(VOLUME, OLD)
    with at("rbd.rename.before", killed), pytest.raises(KeyboardInterrupt):
        driver.unmanage(VOLUME)
    interrupted.named(pool, NAME, "old", listed)
    driver.unmanage(VOLUME)
    assert interrupted.left(pool) == before


def test_a_volume_that_the_directory_knows_by_its_old_name_is_deleted(driver: Any, pool: Any) -> None:
    """As a rename that was interrupted left it to a build that did not look."""
    import rbd

    from tests.lab.ceph import interrupted

    driver.create(VOLUME)
    interrupted.named(pool, NAME, "old", listed=True)
    assert rbd.RBD().list(pool) == ["old"]
    driver.delete(VOLUME)
    assert purged(driver, pool)


def test_a_snapshot_that_a_clone_left_is_told_and_removed(driver: Any, pool: Any) -> None:
    import rbd

    driver.create(VOLUME)
    with rbd.Image(pool, NAME) as image:
        image.create_snap("clone-c")
    (left,) = [found for found in driver.audit() if found.kind == "temporary"]
    assert (left.id, left.where.rpartition("/")[2]) == ("c", "volume-v@clone-c")
    driver.remove_leftover(left)
    driver.remove_leftover(left)
    assert [found.kind for found in driver.audit()] == ["volume"]
    with at("rbd.clone.before", killed), pytest.raises(KeyboardInterrupt):
        driver.create_from_volume(COPY, VOLUME, unwatched)
    assert {found.where.rpartition("/")[2] for found in driver.audit()} == {NAME, "volume-c"}
    driver.remove_leftover(left)
    driver.create_from_volume(COPY, VOLUME, unwatched)
    assert {found.kind for found in driver.audit()} == {"volume"}
