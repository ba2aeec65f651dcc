"""Who is on the stage beside the application: a client, a recorder of casts, and a manager that a test directs."""

import threading
import time
from typing import TYPE_CHECKING, Any

import falcon.testing
from sqlalchemy import select

from tests.lab.published import published
from volumed.db import attachments, operations, snapshots, tables, volumes
from volumed.db.engine import Database
from volumed.model import attached
from volumed.model.records import Operation
from volumed.model.states import AttachStatus, SnapshotStatus, VolumeStatus
from volumed.operations import successors
from volumed.rpc.messenger import Messenger

if TYPE_CHECKING:
    from tests.lab.generated_requests import Request

#: What a target tells a client, without credentials.
#: As the attach stores it: without the credentials.
CONNECTION = {
    "driver_volume_type": "iscsi",
    "data": {"target_portal": "127.0.0.1:3260", "target_lun": 1, "auth_method": "CHAP"},
}

#: Projects that tests write into paths.
PROJECTS = frozenset({"p1", "p2", "ops"})

CONNECTOR = {"initiator": "iqn.1994-05.com.example:node", "host": "node", "ip": "127.0.0.1"}


class Recorder(Messenger):
    """Takes note of what would have been sent. ``away``: as if there were no broker."""

    def __init__(self) -> None:
        self.casts: list[tuple[str, dict[str, Any]]] = []
        self.answers: dict[str, Any] = {}
        self.away = False

    def cast(self, context: Any, topic: str, method: str, arguments: dict[str, Any], *args: Any, **more: Any) -> bool:
        if not self.away:
            self.casts.append((method, arguments))
        return not self.away

    def call(self, context: Any, topic: str, method: str, arguments: dict[str, Any], *args: Any, **more: Any) -> Any:
        return self.answers[method]


class Api:
    """A client with a token and a microversion."""

    def __init__(self, client: falcon.testing.TestClient, token: str, version: str = "3.66") -> None:
        self._client = client
        self._token = token
        self._version = version

    def as_user(self, token: str) -> "Api":
        return Api(self._client, token, self._version)

    def at(self, version: str) -> "Api":
        return Api(self._client, self._token, version)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> falcon.testing.Result:
        told = {"X-Auth-Token": self._token, "OpenStack-API-Version": f"volume {self._version}"}
        told |= {name.replace("_", "-"): value for name, value in headers.items()}
        path, _, query = path.partition("?")
        sent: dict[str, Any] = {"body": body} if isinstance(body, bytes) else {"json": body}
        answer = self._client.simulate_request(method, path, query_string=query, headers=told, **sent)
        judge(method, path, answer)
        return answer

    def send(self, request: "Request") -> falcon.testing.Result:
        """Send a request that is complete as it is."""
        answer = self._client.simulate_request(
            request.method,
            request.path,
            query_string=request.query,
            headers=dict(request.headers),
            body=request.body,
        )
        judge(request.method, request.template, answer)
        return answer

    def get(self, path: str) -> Any:
        """The document at ``path``, which must be there."""
        answer = self.ask("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json

    def post(self, path: str, body: Any, expected: int = 202, **headers: str) -> Any:
        return self._said("POST", path, body, expected, **headers)

    def put(self, path: str, body: Any, expected: int = 200) -> Any:
        return self._said("PUT", path, body, expected)

    def delete(self, path: str, expected: int = 202) -> Any:
        return self._said("DELETE", path, None, expected)

    def act(self, volume_id: str, action: str, arguments: Any = None, expected: int = 202) -> Any:
        return self.post(f"/v3/volumes/{volume_id}/action", {action: arguments}, expected)

    def volume(self, volume_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"/v3/volumes/{volume_id}")["volume"]
        return found

    def _said(self, method: str, path: str, body: Any, expected: int, **headers: str) -> Any:
        answer = self.ask(method, path, body, **headers)
        assert answer.status_code == expected, answer.text
        return answer.json if answer.content else None


def judge(method: str, path: str, answer: falcon.testing.Result) -> None:
    """Every answer that a test sees must be one that the published document has."""
    parts = path.split("/", 3)
    if len(parts) == 4 and parts[1] == "v3" and parts[2] in PROJECTS:
        path = f"/v3/{parts[3]}"
    is_json = answer.content and answer.headers.get("content-type", "").startswith("application/json")
    published().judge(method, path, answer.status_code, answer.headers, answer.json if is_json else None)


class PlayedManager:
    """Does to the rows what the services would have done, when a test says so."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def live(self) -> list[Operation]:
        """Operations that wait, oldest first."""
        wanted = select(tables.operations).where(tables.operations.c.live_key.is_not(None))
        with self._database.reading() as tx:
            return [Operation(*row) for row in tx.execute(wanted.order_by(tables.operations.c.created_at))]

    def finish_all(self) -> None:
        """Let every operation succeed."""
        for operation in self.live():
            if operation.cancel_requested:
                self._database.write(self._fail, operation, operation.error)
            elif not operation.queue.startswith(operations.AFTER):
                self._database.write(self._succeed, operation)

    def fail_all(self, message: str = "no space", kind: str = "BackendFull") -> None:
        """Let every operation fail."""
        for operation in self.live():
            self._database.write(self._fail, operation, {"type": kind, "message": message})

    def soon(self, act: Any) -> threading.Thread:
        """Call ``act`` from another thread, once an operation waits."""

        def wait() -> None:
            end = time.monotonic() + 5
            while not self.live() and time.monotonic() < end:
                time.sleep(0.002)
            act()

        thread = threading.Thread(target=wait)
        thread.start()
        return thread

    def available(self, api: Api, size: int = 1, **asked: Any) -> str:
        """A new volume's id, when it is available."""
        made = api.post("/v3/volumes", {"volume": {"size": size, **asked}})
        self.finish_all()
        return str(made["volume"]["id"])

    def snapshot(self, api: Api, volume_id: str) -> str:
        """A new snapshot's id, when it is available."""
        made = api.post("/v3/snapshots", {"snapshot": {"volume_id": volume_id}})
        self.finish_all()
        return str(made["snapshot"]["id"])

    def _claimed(self, tx: Any, operation: Operation) -> Operation:
        claimed = operations.claim(tx, operation.id, operation.queue, "worker", "token")
        assert claimed is not None
        return claimed

    def _succeed(self, tx: Any, operation: Operation) -> None:
        held = self._claimed(tx, operation)
        subject = operation.resource_id
        if operation.kind == "volume.create":
            place = {"host": "node@file#pool", "storage_id": "storage"}
            volumes.move(tx, subject, VolumeStatus.CREATING, VolumeStatus.AVAILABLE, **place)
        elif operation.kind == "volume.delete":
            tx.execute(tables.snapshots.delete().where(tables.snapshots.c.volume_id == subject))
            volumes.remove(tx, subject)
        elif operation.kind == "volume.extend":
            size = operation.args["new_size"]
            volumes.move(tx, subject, VolumeStatus.EXTENDING, attachments.status_of_volume(tx, subject), size=size)
        elif operation.kind == "snapshot.create":
            snapshots.move(tx, subject, SnapshotStatus.CREATING, SnapshotStatus.AVAILABLE)
        elif operation.kind == "snapshot.delete":
            snapshots.remove(tx, subject)
        elif operation.kind == "attachment.attach":
            attachments.change(tx, subject, connection_info=CONNECTION)
        elif operation.kind == "attachment.detach":
            attachments.remove(tx, subject)
            self._settle(tx, operation.volume_id)
        elif operation.kind == "volume.manage":
            volumes.move(tx, subject, VolumeStatus.MANAGING, VolumeStatus.AVAILABLE)
        elif operation.kind == "snapshot.manage":
            snapshots.move(tx, subject, SnapshotStatus.MANAGING, SnapshotStatus.AVAILABLE)
        elif operation.kind == "volume.unmanage":
            volumes.remove(tx, subject)
        elif operation.kind == "snapshot.unmanage":
            snapshots.remove(tx, subject)
        elif operation.kind == "volume.reset":
            volumes.move(tx, subject, VolumeStatus(volumes.get(tx, subject).status), VolumeStatus.AVAILABLE, error=None)
        step = {"step": "play", "direction": "do", "attempt": 0, "start": 1, "end": 2, "outcome": "done"}
        operations.succeed(tx, held, [step])

    def _fail(self, tx: Any, operation: Operation, error: dict[str, Any]) -> None:
        held = self._claimed(tx, operation)
        subject = operation.resource_id
        if operation.kind == "volume.create":
            volumes.move(tx, subject, VolumeStatus.CREATING, VolumeStatus.ERROR, error=error)
        elif operation.kind == "attachment.attach":
            failed = {"error": error, "credentials": None, "connection_info": None}
            attachments.move(tx, subject, AttachStatus.ATTACHING, AttachStatus.ERROR_ATTACHING, **failed)
            self._settle(tx, operation.volume_id)
        operations.fail(tx, held, error, [])
        successors.begin(tx, held)

    def _settle(self, tx: Any, volume_id: str) -> None:
        to = attached.status_of([each.attach_status for each in attachments.of_volume(tx, volume_id)])
        volumes.move(tx, volume_id, VolumeStatus(volumes.get(tx, volume_id).status), to)
