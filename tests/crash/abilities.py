"""Scenarios of what only drivers with further abilities do: purge what a delete left, flatten a copy."""

import time

import requests

from tests.crash.scenarios import (
    PATIENCE,
    Scenario,
    Stage,
    check_volume,
    create,
    operations_of,
    remember,
    remove_volumes,
)


def _volume_once_all_is_purged(stage: Stage) -> None:
    deadline = time.monotonic() + PATIENCE
    while live := operations_of(stage, kind="volume.purge", state="live"):
        assert time.monotonic() < deadline, live
        time.sleep(0.02)
    stage.made["volume"] = stage.volume()


def _check_purged(stage: Stage, answer: requests.Response) -> None:
    stage.rest.wait_until_gone(f"/volumes/{stage.made['volume']}")
    deadline = time.monotonic() + PATIENCE
    while [each["state"] for each in operations_of(stage, kind="volume.purge", volume_id=stage.made["volume"])] != [
        "succeeded"
    ]:
        assert time.monotonic() < deadline, operations_of(stage, volume_id=stage.made["volume"])
        time.sleep(0.02)


PURGE = Scenario(
    "delete and purge",
    prepare=_volume_once_all_is_purged,
    ask=lambda stage: stage.rest.delete(f"/volumes/{stage.made['volume']}"),
    check=_check_purged,
    clean=lambda stage: None,
    driver="tests.lab.remaining_driver.FaultyRemainingDriver",
    only=("volume.delete.succeeded", "volume.purge", "remaining", "operation.claimed"),
)


def _flatten_once(stage: Stage, volume_id: str, state: str) -> None:
    query = {"kind": "volume.flatten", "resource_id": volume_id}
    deadline = time.monotonic() + PATIENCE
    while [each["state"] for each in operations_of(stage, **query)] != [state]:
        assert time.monotonic() < deadline, operations_of(stage, **query)
        time.sleep(0.02)


def _check_flattened(stage: Stage, answer: requests.Response) -> None:
    check_volume(1, marked=True)(stage, answer)
    _flatten_once(stage, stage.made["new"], "succeeded")


FLATTEN = Scenario(
    "clone and flatten",
    prepare=remember("source", lambda stage: stage.volume(marked=True)),
    ask=create(lambda stage: {"source_volid": stage.made["source"]}),
    check=_check_flattened,
    clean=remove_volumes("new", "source"),
    driver="tests.lab.flattening_driver.FaultyFlatteningDriver",
    only=("volume.create.succeeded", "volume.flatten", "flattening"),
)


def _prepare_flattening(stage: Stage) -> None:
    """A clone whose flattening does not come to an end."""
    stage.made["source"] = stage.volume()
    stage.faults.order("flatten", None, lasting=True, pause=600, beats=True)
    stage.made["volume"] = stage.volume(source_volid=stage.made["source"])
    _flatten_once(stage, stage.made["volume"], "running")


def _check_gone_with_its_flattening(stage: Stage, answer: requests.Response) -> None:
    stage.rest.wait_until_gone(f"/volumes/{stage.made['volume']}", patience=PATIENCE)
    _flatten_once(stage, stage.made["volume"], "failed")
    stage.faults.clear()


DELETE_FLATTENING = Scenario(
    "delete what is flattened",
    prepare=_prepare_flattening,
    ask=lambda stage: stage.rest.delete(f"/volumes/{stage.made['volume']}"),
    check=_check_gone_with_its_flattening,
    clean=remove_volumes("source"),
    driver="tests.lab.flattening_driver.FaultyFlatteningDriver",
    only=("api.accepted", "volume.flatten"),
)

ALL = (PURGE, FLATTEN, DELETE_FLATTENING)
