"""Requests generated from the published document: no 5xx, and no answer that the document does not have.

Every run asks the same. ``VOLUMED_FUZZ=50000 VOLUMED_SEED=random pytest tests/functional/api/test_fuzz.py`` asks more
and other requests; a failure says the seed.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from tests.functional.api.stage import Api, PlayedManager, Recorder
from tests.lab.generated_requests import CASES, Request, labels, requests_of, share_of_each

if TYPE_CHECKING:
    from volumed.db.engine import Database

#: Messages whose operation the request waits for.
WAITED_FOR = {"initialize_connection", "terminate_connection", "wake_operation"}

#: Of the things that the generated requests are about there are always some.
FEW = 2

#: What others made, as a manager lists it.
MANAGEABLE = {
    "reference": {"source-name": "disk"},
    "size": 1,
    "safe_to_manage": False,
    "reason_not_safe": "it is empty",
    "id": None,
    "source_reference": None,
    "extra_info": None,
}


class ActingRecorder(Recorder):
    """Carries out what it is asked for before the request is answered; every fifth time somebody was not listening.

    To what a request waits for somebody always listens: it would be answered with a 503 otherwise, as it should.
    """

    def __init__(self, manager: PlayedManager) -> None:
        super().__init__()
        self.answers = {
            "get_pools": [{"name": "node@file#pool", "capabilities": {"total_capacity_gb": 10}}],
            "diagnose": [],
            "can_manage": True,
            "list_manageable": [MANAGEABLE],
            "measure_manageable": {"size": 1, "host": "node@file#pool", "storage_id": "storage"},
        }
        self._manager = manager

    def cast(self, context: Any, topic: str, method: str, *args: Any, **more: Any) -> bool:
        sent = super().cast(context, topic, method, *args, **more)
        if len(self.casts) % 5 or method in WAITED_FOR:
            self._manager.finish_all()
        return sent


class Ground:
    """What there is for requests to be about; it grows again when they have deleted it."""

    def __init__(self, database: "Database", api: Api, manager: PlayedManager) -> None:
        self._database = database
        self._api = api
        self._manager = manager

    def known(self, kind: str, pick: int) -> str | None:
        """An id of this kind."""
        fixed: Mapping[str, tuple[str, ...]] = {
            "projects": ("p1", "p2"),
            "classes": ("default",),
            "keys": ("k", "volume_backend_name"),
            "hosts": ("node@file", "node"),
            "binaries": ("volumed-volume", "cinder-volume"),
        }
        found = fixed.get(kind) or self._ids(kind)
        return found[pick % len(found)] if found else None

    def tend(self) -> None:
        """Let there be volumes, snapshots, attachments and types."""
        while len(self._ids("volumes")) < FEW:
            self._manager.available(self._api, metadata={"k": "v"})
        volume_id = self._ids("volumes")[0]
        if not self._ids("snapshots") and self._api.volume(volume_id)["status"] == "available":
            self._manager.snapshot(self._api, volume_id)
        if not self._ids("attachments"):
            self._api.ask("POST", "/v3/attachments", {"attachment": {"volume_uuid": self._ids("volumes")[-1]}})
        if len(self._ids("types")) < FEW:
            self._api.ask("POST", "/v3/types", {"volume_type": {"name": "fast", "extra_specs": {"k": "v"}}})

    def _ids(self, kind: str) -> list[str]:
        from volumed.db import tables

        table = {"types": tables.volume_types}.get(kind)
        if table is None:
            table = getattr(tables, kind, None)
        if table is None or "created_at" not in table.c:
            return []
        with self._database.reading() as tx:
            return list(tx.execute(select(table.c.id).order_by(table.c.created_at.desc()).limit(10)).scalars())


@pytest.fixture
def recorder(manager: PlayedManager) -> Recorder:
    return ActingRecorder(manager)


@pytest.fixture
def options() -> dict[tuple[str, str], Any]:
    return {
        ("api", "attach_timeout"): 60,
        ("quota", "volumes"): 50,
        ("quota", "gigabytes"): -1,
        ("quota", "snapshots"): 50,
    }


@pytest.mark.parametrize("label", labels())
def test_generated_requests_are_answered_as_published(
    database: "Database", admin: Api, manager: PlayedManager, label: str
) -> None:
    owner = admin.as_user("admin:p1")
    ground = Ground(database, owner, manager)

    asked = 0
    ground.tend()

    def ask(request: Request) -> None:
        nonlocal asked
        asked += 1
        answer = owner.send(request)
        assert answer.status_code < 500, (request, answer.text)
        if request.method != "GET":
            ground.tend()

    requests_of(label, share_of_each(CASES), ground.known, ask)
    assert asked >= share_of_each(CASES)
