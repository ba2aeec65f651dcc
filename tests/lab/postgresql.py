"""PostgreSQL for tests, demo and benchmarks: private, on 127.0.0.1, ended with its users.

with postgresql.database() as url: ...          # one's own database on the run's server
with postgresql.server() as server: server.kill(); server.start()
"""

import os
import pwd
import signal
import time
from pathlib import Path
from typing import Any

import psycopg

from tests.lab import database_server
from tests.lab.database_server import Tls

#: The account that it runs as when root asks; it refuses to run as root.
ACCOUNT = "postgres"


class Postgresql:
    """How PostgreSQL is made, started and asked. Nobody needs a password."""

    def __init__(self, tls: bool = False) -> None:
        """``tls``: it offers TLS, which clients take unless they are told otherwise."""
        self._tls = tls
        self.name = "postgresql-tls" if tls else "postgresql"

    stop_signal = signal.SIGINT
    #: "Immediate shutdown" in pg_ctl(1): without a checkpoint, and its shared memory is removed.
    quit_signal = signal.SIGQUIT

    def prepare(self, folder: Path) -> None:
        tls = Tls.make(folder)
        if os.geteuid() == 0:
            account = pwd.getpwnam(ACCOUNT)
            for path in (folder, tls.key):
                os.chown(path, account.pw_uid, account.pw_gid)
        options = ["--username=volumed", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
        database_server.run(_as_account([_program("initdb"), "-D", str(folder / "data"), *options]), cwd=folder)

    def command(self, folder: Path, port: int, durable: bool) -> list[str]:
        tls = Tls.of(folder)
        settings = {
            "ssl": "on" if self._tls else "off",
            "ssl_cert_file": tls.certificate,
            "ssl_key_file": tls.key,
            "listen_addresses": "127.0.0.1",
            "port": port,
            "unix_socket_directories": "",
            "max_connections": 300,
            "shared_buffers": "64MB",
            "autovacuum_naptime": "5s",
            # In the data folder: nothing of it is left in /dev/shm.
            "dynamic_shared_memory_type": "mmap",
            "fsync": "on" if durable else "off",
            "synchronous_commit": "on" if durable else "off",
            "full_page_writes": "on" if durable else "off",
        }
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return _as_account([_program("postgres"), "-D", str(folder / "data"), *arguments], dies="QUIT")

    def answers(self, port: int) -> bool:
        try:
            _connect(port).close()
        except psycopg.OperationalError:
            return False
        return True

    def url(self, port: int, database: str) -> str:
        return f"postgresql+psycopg://volumed@127.0.0.1:{port}/{database}"

    def create(self, port: int, database: str, template: str | None) -> None:
        until = time.monotonic() + 60
        while True:
            try:
                with _connect(port) as connection:
                    connection.execute(f"CREATE DATABASE {database} TEMPLATE {template or 'template0'}")
                return
            except psycopg.errors.ObjectInUse:  # whoever has filled the template is not quite gone
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)

    def is_in_use(self, port: int, database: str) -> bool:
        asked = "SELECT 1 FROM pg_stat_activity WHERE datname = %s AND backend_type = 'client backend'"
        with _connect(port) as connection:
            return connection.execute(asked, (database,)).fetchone() is not None

    def drop(self, port: int, database: str) -> None:
        with _connect(port) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")


RECIPE, TLS = Postgresql(), Postgresql(tls=True)


_KIND = database_server.Kind(RECIPE, TLS)
shared, database, server = _KIND.shared, _KIND.database, _KIND.server


def _connect(port: int) -> "psycopg.Connection[Any]":
    return psycopg.connect(
        host="127.0.0.1", port=port, user="volumed", dbname="postgres", autocommit=True, connect_timeout=10
    )


def _as_account(command: list[str], dies: str | None = None) -> list[str]:
    """``command`` as the account, ``dies``: with this signal when its parent does."""
    given = ["--pdeathsig", dies] if dies else []
    if os.geteuid() == 0:
        given += ["--reuid", ACCOUNT, "--regid", ACCOUNT, "--init-groups"]
    return ["setpriv", *given, "--", *command] if given else command


def _program(name: str) -> str:
    """Debian keeps one folder a major version; the newest is taken."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda each: int(each.parent.name), reverse=True)
    return database_server.program(name, *map(str, folders))
