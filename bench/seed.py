"""Many volumes at once: a real one is made by REST, then its rows and files are multiplied in the stopped state folder.

Knows the tables' names and which columns are ids; what else is in a row is copied as it is.
"""

import json
import os
import uuid
from collections.abc import Iterable
from contextlib import closing
from sqlite3 import Connection

from cryptography.fernet import Fernet

from bench.daemon import Daemon, request
from bench.waiting import wait_until

GIB = 1024**3


def rows_only(daemon: Daemon, number: int, project: str) -> None:
    """Rows of volumes of ``project``, no files: for what only reads or counts rows."""
    model = _create(daemon)
    with daemon.database() as database:
        _multiply(database, model, _ids(number), project)


def with_files(daemon: Daemon, number: int, attached: int) -> None:
    """A stopped server's state with ``number`` volumes, their files, and ``attached`` of them attached."""
    model = _create(daemon)
    attachment = _attach(daemon, model)
    pool = next(path.parent for path in daemon.state.rglob(f"volume-{model}"))
    daemon.stop()
    ids = _ids(number - 1)
    with daemon.database() as database:
        _multiply(database, model, ids, "admin")
        database.execute("UPDATE volumes SET status = 'available' WHERE id <> ?", (model,))
        key = Fernet((daemon.state / "secrets.key").read_bytes().split()[0])
        _multiply_attachments(database, key, model, attachment, ids[: attached - 1])
    for volume_id in ids:
        _truncate(str(pool / f"volume-{volume_id}"))


def _ids(number: int) -> list[str]:
    return [str(uuid.uuid4()) for _ in range(number)]


def _create(daemon: Daemon) -> str:
    with closing(daemon.connect()) as connection:
        volume_id = str(request(connection, "POST", "/volumes", {"volume": {"size": 1}})["volume"]["id"])
        path = f"/volumes/{volume_id}"
        wait_until(lambda: request(connection, "GET", path)["volume"]["status"] == "available")
    return volume_id


def _attach(daemon: Daemon, volume_id: str) -> str:
    connector = {"initiator": "iqn.2010-10.org.openstack:bench", "host": "bench", "ip": "127.0.0.1"}
    body = {"volume_uuid": volume_id, "instance_uuid": str(uuid.uuid4()), "connector": connector}
    with closing(daemon.connect()) as connection:
        attachment = request(connection, "POST", "/attachments", {"attachment": body})["attachment"]
        request(connection, "POST", f"/attachments/{attachment['id']}/action", {"os-complete": {}})
    return str(attachment["id"])


def _multiply(database: Connection, model: str, ids: Iterable[str], project: str) -> None:
    """Copies of the model's row, with the quota and the pool that they use."""
    found = list(ids)
    columns = _columns(database, "volumes")
    # A millisecond between two, as requests come.
    changed = {"id": ":id", "project_id": ":project", "created_at": "created_at - 1000 * :number"}
    values = ", ".join(changed.get(column, column) for column in columns)
    database.executemany(
        f"INSERT INTO volumes ({', '.join(columns)}) SELECT {values} FROM volumes WHERE id = :model",
        ({"id": each, "project": project, "model": model, "number": n} for n, each in enumerate(found)),
    )
    database.execute("UPDATE pools SET allocated = allocated + ?, volumes = volumes + ?", (len(found), len(found)))
    database.execute(
        """INSERT INTO quotas (project_id, resource, in_use, hard_limit, updated_at)
           SELECT ?, resource, ?, NULL, updated_at FROM quotas WHERE project_id = 'admin' AND in_use > 0
           ON CONFLICT (project_id, resource) DO UPDATE SET in_use = in_use + excluded.in_use""",
        (project, len(found)),
    )


def _multiply_attachments(
    database: Connection, key: Fernet, model: str, attachment: str, volume_ids: Iterable[str]
) -> None:
    """Copies of the model's attachment: its ids are replaced wherever they stand, each has an account of its own."""
    columns = _columns(database, "attachments")
    changed = {column: column for column in ("created_at", "updated_at", "attached_at")}
    changed["credentials"] = ":credentials"
    values = ", ".join(
        changed.get(column, f"replace(replace({column}, :model, :volume), :attachment, :id)") for column in columns
    )
    for volume_id in volume_ids:
        names = {"model": model, "volume": volume_id, "attachment": attachment, "id": str(uuid.uuid4())}
        names["credentials"] = _sealed(key, names["id"])
        database.execute(
            f"INSERT INTO attachments ({', '.join(columns)}) SELECT {values} FROM attachments WHERE id = :attachment",
            names,
        )
        database.execute("UPDATE volumes SET status = 'in-use' WHERE id = ?", (volume_id,))


def _sealed(key: Fernet, attachment_id: str) -> str:
    """An account of the attachment's own, as docs/secrets.md says that it is kept."""
    secret = {"username": attachment_id, "password": uuid.uuid4().hex[:20]}
    return json.dumps(
        key.encrypt(json.dumps({"of": f"attachment {attachment_id}", "secret": secret}).encode()).decode()
    )


def _columns(database: Connection, table: str) -> list[str]:
    return [
        f'"{row[1]}"' if row[1] == "metadata" else row[1] for row in database.execute(f"PRAGMA table_info({table})")
    ]


def _truncate(path: str) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.ftruncate(descriptor, GIB)
    finally:
        os.close(descriptor)
