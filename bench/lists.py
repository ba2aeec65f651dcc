"""Lists: 1,000 volumes with details, and a page of a long list."""

import json
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from sqlite3 import Connection

from bench import seed
from bench.daemon import Daemon, request, running
from bench.figure import Figure, p50

ROUNDS = 20
PAGE = 100


def details() -> Iterator[Figure]:
    """One answer with 1,000 volumes."""
    with running() as daemon:
        seed.rows_only(daemon, 999, "admin")
        with closing(daemon.connect()) as connection, daemon.database() as database:
            path = "/volumes/detail?limit=1000"
            number = len(request(connection, "GET", path)["volumes"])
            if number != 1000:
                raise RuntimeError(f"the list has {number} volumes and not 1,000")
            measured = p50(lambda: request(connection, "GET", path), ROUNDS)
            bare = p50(lambda: _rows_as_json(database), ROUNDS)
    yield Figure("list of 1,000 volumes with details, p50", measured, "ms", "< 60", bare, "SELECT, json.dumps")


def page(volumes: int = 100_000) -> Iterator[Figure]:
    """A page in the middle of a long list, beside the same page of a short one."""
    with running() as daemon:
        short = _page_cost(daemon, PAGE * 3)
        long = _page_cost(daemon, volumes)
    yield Figure(
        f"page of {PAGE} in the middle of {volumes:,}, p50", long, "ms", "as short", short, f"the same of {PAGE * 3}"
    )


def _page_cost(daemon: Daemon, volumes: int) -> float:
    project = f"list-of-{volumes}"
    seed.rows_only(daemon, volumes, project)
    with daemon.database() as database:
        (marker,) = database.execute(
            "SELECT id FROM volumes WHERE project_id = ? ORDER BY created_at DESC, id DESC LIMIT 1 OFFSET ?",
            (project, volumes // 2),
        ).fetchone()
    with closing(daemon.connect()) as connection:
        path = f"/volumes/detail?limit={PAGE}&marker={marker}"
        return p50(lambda: _get(connection, path, project), ROUNDS)


def _get(connection: HTTPConnection, path: str, project: str) -> None:
    if len(request(connection, "GET", path, project=project)["volumes"]) != PAGE:
        raise RuntimeError(f"{path}: not a full page")


def _rows_as_json(database: Connection) -> str:
    rows = database.execute("SELECT * FROM volumes WHERE project_id = 'admin' ORDER BY created_at DESC, id DESC")
    return json.dumps(rows.fetchall())
