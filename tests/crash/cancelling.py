"""Scenarios of what is asked over a live operation, and of resets: a forced delete cancels and follows a clone."""

import time
from contextlib import ExitStack
from typing import Any

import requests

from tests.crash.scenarios import (
    PATIENCE,
    Scenario,
    Stage,
    clean_snapshot,
    key,
    operations_of,
    prepare_snapshot,
    remove_volumes,
)
from volumed.operations.locks import Claims, NodeLocks

#: Seconds that the clone would take: it ends because it is cancelled.
FOR_EVER = 600.0


def _clone(stage: Stage) -> dict[str, Any]:
    """The create of the clone, as its operation shows it."""
    return operations_of(stage, kind="volume.create", resource_id=stage.made["clone"])[0]


def _prepare_clone(stage: Stage) -> None:
    """A clone that is being copied and does not come to an end."""
    stage.made["source"] = stage.volume()
    stage.faults.order("create_from_volume", None, lasting=True, pause=FOR_EVER, beats=True)
    stage.made["clone"] = stage.rest.create_volume(source_volid=stage.made["source"])["id"]
    deadline = time.monotonic() + PATIENCE
    while _clone(stage)["state"] != "running":
        assert time.monotonic() < deadline, _clone(stage)
        time.sleep(0.02)


def _delete_by_force(stage: Stage) -> requests.Response:
    return stage.rest.delete(f"/volumes/{stage.made['clone']}?force=true", headers=key(stage))


def _check_cancelled(stage: Stage, answer: requests.Response) -> None:
    stage.rest.wait_until_gone(f"/volumes/{stage.made['clone']}", patience=PATIENCE)
    assert _clone(stage)["error"]["type"] == "Cancelled", _clone(stage)
    assert not stage.outside.data_of(stage.made["clone"]).exists()


def _clean_cancelled(stage: Stage) -> None:
    stage.faults.clear()
    stage.remove(f"/volumes/{stage.made['source']}")


CANCEL = Scenario(
    "cancel and delete", _prepare_clone, _delete_by_force, _check_cancelled, _clean_cancelled, faulty=True
)


def _extend(stage: Stage) -> dict[str, Any]:
    return operations_of(stage, kind="volume.extend", resource_id=stage.made["volume"])[0]


def _prepare_extend(stage: Stage) -> None:
    """A growth that cannot begin: its volume's lock is somebody else's."""
    volume = stage.made["volume"] = stage.volume()
    held = stage.made["held"] = ExitStack()
    held.enter_context(NodeLocks(stage.daemon.state / "locks").holding(Claims(exclusive=[volume]), patience=0))
    asked = stage.rest.post(f"/volumes/{volume}/action", json={"os-extend": {"new_size": 2}})
    assert asked.status_code == 202, asked.text
    deadline = time.monotonic() + PATIENCE
    while _extend(stage)["state"] != "waiting":
        assert time.monotonic() < deadline, _extend(stage)
        time.sleep(0.02)


def _cancel_extend(stage: Stage) -> requests.Response:
    """Asked once more it may have ended, which is said."""
    return stage.rest.post(f"/operations/{_extend(stage)['id']}/action", json={"cancel": {}})


def _check_extend_cancelled(stage: Stage, answer: requests.Response) -> None:
    """It never begins, also when its lock is free meanwhile."""
    stage.made["held"].close()
    deadline = time.monotonic() + PATIENCE
    while (found := _extend(stage))["state"] != "failed":
        assert found["state"] != "succeeded", found
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    assert found["error"]["type"] == "Cancelled", found
    volume = stage.rest.wait_for_status(f"/volumes/{stage.made['volume']}", "available")
    assert volume["size"] == 1


CANCEL_EXTEND = Scenario(
    "cancel of a growth",
    _prepare_extend,
    _cancel_extend,
    _check_extend_cancelled,
    clean=remove_volumes("volume"),
)


def _reset(stage: Stage, path: str, status: str) -> requests.Response:
    headers = key(stage) if status == "available" else {}
    return stage.rest.post(f"{path}/action", json={"os-reset_status": {"status": status}}, headers=headers)


def _check_reset(stage: Stage, path: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while (found := next(iter(stage.rest.get(path).json().values())))["status"] != "available":
        assert time.monotonic() < deadline, found
        time.sleep(0.02)


def _volume(stage: Stage) -> str:
    return f"/volumes/{stage.made['volume']}"


def _prepare_reset(stage: Stage) -> None:
    stage.made["volume"] = stage.volume()
    assert _reset(stage, _volume(stage), "error").status_code == 202


RESET = Scenario(
    "reset",
    prepare=_prepare_reset,
    ask=lambda stage: _reset(stage, _volume(stage), "available"),
    check=lambda stage, answer: _check_reset(stage, _volume(stage)),
    clean=remove_volumes("volume"),
)


def _snapshot(stage: Stage) -> str:
    return f"/snapshots/{stage.made['snapshot']}"


def _prepare_snapshot_reset(stage: Stage) -> None:
    prepare_snapshot(stage)
    assert _reset(stage, _snapshot(stage), "error").status_code == 202


RESET_SNAPSHOT = Scenario(
    "reset of a snapshot",
    prepare=_prepare_snapshot_reset,
    ask=lambda stage: _reset(stage, _snapshot(stage), "available"),
    check=lambda stage, answer: _check_reset(stage, _snapshot(stage)),
    clean=clean_snapshot,
)

ALL = (CANCEL, CANCEL_EXTEND, RESET, RESET_SNAPSHOT)
