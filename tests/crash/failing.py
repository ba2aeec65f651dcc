"""Scenarios in which the backend fails until it is told to be well again: each has an end that is declared.

The faults are lasting, so a scenario ends in the same way wherever the daemon is killed and however often it starts.
"""

import time
from collections.abc import Callable
from typing import Any

import requests

from tests.crash.scenarios import (
    PATIENCE,
    Scenario,
    Stage,
    attach,
    clean_snapshot,
    key,
    prepare_snapshot,
    remove_volumes,
)


def _until(stage: Stage, path: str, status: str) -> dict[str, Any]:
    """Wait until the resource has the status, whatever it has meanwhile; return it."""
    deadline = time.monotonic() + PATIENCE
    while (found := dict(next(iter(stage.rest.get(path).json().values()))))["status"] != status:
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    return found


def _says_why(stage: Stage, kind: str, resource_id: str) -> None:
    """The resource's last operation of the kind failed, with the reason."""
    query = {"kind": kind, "resource_id": resource_id, "all_tenants": 1}
    operation = stage.rest.get("/operations", params=query).json()["operations"][0]
    assert operation["state"] == "failed", operation
    assert "was told to fail" in operation["error"]["message"] or kind == "volume.create", operation


def _ask_for_one(stage: Stage) -> requests.Response:
    return stage.rest.post("/volumes", json={"volume": {"size": 1}}, headers=key(stage))


# --- a create that is undone, and placed nowhere ----------------------------------------------------------------------


def _check_refused(stage: Stage, answer: requests.Response) -> None:
    stage.made["new"] = answer.json()["volume"]["id"]
    volume = _until(stage, f"/volumes/{stage.made['new']}", "error")
    assert volume["volumed:error"]["type"] == "NoValidBackend", volume
    assert not stage.outside.data_of(stage.made["new"]).exists()
    _says_why(stage, "volume.create", stage.made["new"])


def _clean_well(clean: Callable[[Stage], None]) -> Callable[[Stage], None]:
    def well(stage: Stage) -> None:
        stage.faults.clear()
        clean(stage)

    return well


CREATE_UNDONE = Scenario(
    "create undone",
    prepare=lambda stage: stage.faults.order("create", "BackendFull", after=True, lasting=True),
    ask=_ask_for_one,
    check=_check_refused,
    clean=_clean_well(remove_volumes("new")),
    faulty=True,
)


# --- a create whose undo fails, too: what is left becomes a cleanup ---------------------------------------------------


def _prepare_stubborn(stage: Stage) -> None:
    stage.faults.order("create", "BackendFull", after=True, lasting=True)
    stage.faults.order("delete", "BackendUnreachable", lasting=True)


def _ask_and_recover(stage: Stage) -> requests.Response:
    """The backend is well again when the create has ended; the cleanup ends within its pause."""
    answer = _ask_for_one(stage)
    if answer.status_code == 202:
        _until(stage, f"/volumes/{answer.json()['volume']['id']}", "error")
        stage.faults.clear()
        _until_no_cleanup(stage)
    return answer


def _until_no_cleanup(stage: Stage) -> None:
    deadline = time.monotonic() + PATIENCE
    while found := [each for each in _cleanups(stage) if each["state"] not in ("succeeded", "failed")]:
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def _cleanups(stage: Stage) -> list[dict[str, Any]]:
    return list(stage.rest.get("/operations", params={"kind": "cleanup", "all_tenants": 1}).json()["operations"])


def _check_cleaned(stage: Stage, answer: requests.Response) -> None:
    _check_refused(stage, answer)
    mine = [each for each in _cleanups(stage) if each["volume_id"] == stage.made["new"]]
    assert [each["state"] for each in mine] == ["succeeded"], mine


CLEANUP = Scenario(
    "cleanup",
    prepare=_prepare_stubborn,
    ask=_ask_and_recover,
    check=_check_cleaned,
    clean=_clean_well(remove_volumes("new")),
    faulty=True,
)


# --- the others -------------------------------------------------------------------------------------------------------


def _check_snapshot_undone(stage: Stage, answer: requests.Response) -> None:
    stage.made["snapshot"] = answer.json()["snapshot"]["id"]
    _until(stage, f"/snapshots/{stage.made['snapshot']}", "error")
    _says_why(stage, "snapshot.create", stage.made["snapshot"])


def _prepare_snapshot_undone(stage: Stage) -> None:
    stage.made["source"] = stage.volume()
    stage.faults.order("create_snapshot", "BackendUnreachable", after=True, lasting=True)


SNAPSHOT_UNDONE = Scenario(
    "snapshot undone",
    prepare=_prepare_snapshot_undone,
    ask=lambda stage: stage.rest.post(
        "/snapshots", json={"snapshot": {"volume_id": stage.made["source"]}}, headers=key(stage)
    ),
    check=_check_snapshot_undone,
    clean=_clean_well(clean_snapshot),
    faulty=True,
)


def _prepare_attach_undone(stage: Stage) -> None:
    stage.made["volume"] = stage.volume()
    stage.faults.order("connection_info", "BackendUnreachable", lasting=True)


def _attachments(stage: Stage) -> list[dict[str, Any]]:
    query = {"volume_id": stage.made["volume"]}
    return list(stage.rest.get("/attachments/detail", params=query).json()["attachments"])


def _check_attach_undone(stage: Stage, answer: requests.Response) -> None:
    deadline = time.monotonic() + PATIENCE
    while len(found := _attachments(stage)) != 1 or found[0]["status"] != "error_attaching":
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    _says_why(stage, "attachment.attach", found[0]["id"])
    stage.made["attachment"] = found[0]["id"]


ATTACH_UNDONE = Scenario(
    "attach undone",
    prepare=_prepare_attach_undone,
    ask=attach,
    check=_check_attach_undone,
    clean=_clean_well(
        lambda stage: stage.remove(f"/attachments/{stage.made['attachment']}", f"/volumes/{stage.made['volume']}")
    ),
    faulty=True,
)


def _prepare_delete_given_up(stage: Stage) -> None:
    prepare_snapshot(stage)
    stage.faults.order("delete", "BackendBusy", lasting=True)


def _check_delete_given_up(stage: Stage, answer: requests.Response) -> None:
    _until(stage, f"/volumes/{stage.made['source']}", "error_deleting")
    _until(stage, f"/snapshots/{stage.made['snapshot']}", "error_deleting")
    _says_why(stage, "volume.delete", stage.made["source"])


DELETE_GIVEN_UP = Scenario(
    "delete given up",
    prepare=_prepare_delete_given_up,
    ask=lambda stage: stage.rest.delete(f"/volumes/{stage.made['source']}?cascade=true"),
    check=_check_delete_given_up,
    clean=_clean_well(lambda stage: stage.remove(f"/volumes/{stage.made['source']}?cascade=true")),
    faulty=True,
)


def _prepare_extend_given_up(stage: Stage) -> None:
    stage.made["volume"] = stage.volume()
    stage.faults.order("extend", "BackendFull", lasting=True)


def _check_extend_given_up(stage: Stage, answer: requests.Response) -> None:
    assert _until(stage, f"/volumes/{stage.made['volume']}", "error_extending")["size"] == 1
    _says_why(stage, "volume.extend", stage.made["volume"])


EXTEND_GIVEN_UP = Scenario(
    "extend given up",
    prepare=_prepare_extend_given_up,
    ask=lambda stage: stage.rest.post(
        f"/volumes/{stage.made['volume']}/action", json={"os-extend": {"new_size": 3}}, headers=key(stage)
    ),
    check=_check_extend_given_up,
    clean=_clean_well(remove_volumes("volume")),
    faulty=True,
)

ALL = (
    CREATE_UNDONE,
    CLEANUP,
    SNAPSHOT_UNDONE,
    ATTACH_UNDONE,
    DELETE_GIVEN_UP,
    EXTEND_GIVEN_UP,
)
