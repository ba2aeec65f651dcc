"""The raw work: what the storage, the database and a socket cost when nothing stands between.

Everything here is what volumed cannot avoid either; the ratio to it is what volumed itself costs.
"""

import os
import socket
import socketserver
import sqlite3
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from bench.waiting import wait_until
from volumed_drivers.targets.tgt.protocol import Management

GIB = 1024**3

#: Transactions of one create: accepted, placed, claimed, done.
COMMITS = 4


class RawCreate:
    """A truncate and four commits with ``synchronous = FULL``: the least that a create is."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._database = open_database(folder / "raw.db")
        self._database.execute("CREATE TABLE raw (id TEXT PRIMARY KEY, step INTEGER, value TEXT)")

    def close(self) -> None:
        self._database.close()

    def __call__(self) -> None:
        name = str(uuid.uuid4())
        self._commit("INSERT INTO raw VALUES (?, 1, ?)", (name, "x" * 500))
        for step in range(2, COMMITS):
            self._commit("UPDATE raw SET step = ? WHERE id = ?", (step, name))
        descriptor = os.open(self._folder / f"raw-{name}", os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(descriptor, GIB)
        os.close(descriptor)
        self._commit("UPDATE raw SET step = ? WHERE id = ?", (COMMITS, name))

    def commit(self) -> None:
        """One commit, as one accepted POST needs it."""
        self._commit("INSERT INTO raw VALUES (?, 1, ?)", (str(uuid.uuid4()), "x" * 500))

    def _commit(self, statement: str, values: tuple[Any, ...]) -> None:
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.execute(statement, values)
            self._database.execute("COMMIT")


def open_database(path: Path) -> sqlite3.Connection:
    """SQLite with the settings that volumed has."""
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    return database


@contextmanager
def raw_create(folder: Path) -> Iterator[RawCreate]:
    """The raw create in ``folder``."""
    work = RawCreate(folder)
    try:
        yield work
    finally:
        work.close()


def creates_per_second(work: RawCreate, clients: int, number: int) -> float:
    """The raw create by as many threads."""
    began = time.monotonic()
    with ThreadPoolExecutor(clients) as pool:
        for done in [pool.submit(work) for _ in range(number)]:
            done.result()
    return number / (time.monotonic() - began)


@contextmanager
def bare_server(work: RawCreate) -> Iterator[HTTPConnection]:
    """The standard library's HTTP server, whose POST does one commit; yields a connection to it."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            work.commit()
            self.send_response(202)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, format: str, *args: Any) -> None:
            """Silent."""

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        try:
            with closing(HTTPConnection("127.0.0.1", server.server_address[1], timeout=10)) as connection:
                yield connection
        finally:
            server.shutdown()
            serving.join()


def restored_in(folder: Path, files: Sequence[Path]) -> float:
    """Seconds in which a new tgtd has a target with a LUN and an account for each file, by bare requests."""
    folder.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    began = time.monotonic()
    tgtd = subprocess.Popen(
        ["tgtd", "-f", "-t", "1", "--iscsi", f"portal=127.0.0.1:{port}"],
        cwd=folder,
        env={"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin", "TGT_IPC_SOCKET": "control"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        management = Management(folder, "control")
        wait_until(lambda: (folder / "control.0").exists(), pause=0.002)
        for tid, path in enumerate(files, 1):
            management.new_target(tid, f"iqn.2010-10.org.openstack:bare-{tid}")
            management.new_lun(tid, 1, str(path))
            management.new_account(f"user-{tid}", "twelve-letters")
            management.bind_account(tid, f"user-{tid}")
            management.allow(tid, "ALL")
        return time.monotonic() - began
    finally:
        tgtd.kill()
        tgtd.wait()


#: What ``volumed up`` needs of others: the least that its start and its memory cost.
LIBRARIES = "sqlite3, oslo_config.cfg, oslo_messaging, kombu, sqlalchemy, falcon, cheroot.wsgi, jsonschema, oslo_policy"
