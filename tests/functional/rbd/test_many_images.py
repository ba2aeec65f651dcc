"""Thousands of images in a pool: reports and lists are read from what the pool says of them, and none is opened."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.part("ceph"),
    pytest.mark.rbd,
    pytest.mark.timeout(900),
    pytest.mark.embedded_only("it is about the driver alone"),
]

MANY = 5000
GIB = 1024**3

#: So high that what the images promise is less than all that the pool may promise.
RATIO = 2000.0
PATIENCE = 60.0


@pytest.fixture
def client() -> Iterator[Any]:
    """A pool with images that somebody made."""
    import rados
    import rbd

    from tests.lab.ceph import cluster

    with cluster.shared().pool() as client:
        with rados.Rados(conffile=client.configuration, rados_id=client.user) as connected:
            with connected.open_ioctx(client.pool) as ioctx, ThreadPoolExecutor(8) as threads:
                list(threads.map(lambda n: rbd.RBD().create(ioctx, f"disk-{n}", GIB), range(MANY)))
        yield client


def test_no_image_is_opened_for_a_report_or_a_list(
    client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import rbd

    from tests.lab.ceph.data_paths import Librbd
    from tests.lab.rbd_backend import RbdBackend

    options = {"max_over_subscription_ratio": RATIO}
    driver = RbdBackend(client, tmp_path, Librbd(client.configuration), options=options).driver()
    driver.do_setup()

    def refuse(*arguments: Any, **named: Any) -> None:
        raise AssertionError("an image is opened")

    monkeypatch.setattr(rbd, "Image", refuse)
    deadline = time.monotonic() + PATIENCE
    while (found := driver.capabilities().pools[0]).foreign_gib == 0:
        assert time.monotonic() < deadline, "what the images promise is not known"
        time.sleep(0.1)
    assert found.foreign_gib * RATIO == pytest.approx(MANY)
    listed = driver.manageable_volumes()
    assert len(listed) == MANY
    assert all(each.safe_to_manage and each.size == 1 for each in listed)
    assert not driver.audit()
