"""MariaDB for tests, demo and benchmarks: private, on 127.0.0.1, ended with its users.

with mariadb.database() as url: ...          # one's own database on the run's server
with mariadb.server() as server: server.kill(); server.start()
"""

import getpass
import signal
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pymysql

from tests.lab import database_server
from tests.lab.database_server import Tls


class Mariadb:
    """How MariaDB is made, started and asked. Nobody needs a password."""

    def __init__(self, tls: bool = False) -> None:
        """``tls``: it offers TLS, which clients take unless they are told otherwise."""
        self._tls = tls
        self.name = "mariadb-tls" if tls else "mariadb"

    stop_signal = signal.SIGTERM
    quit_signal = signal.SIGKILL

    def prepare(self, folder: Path) -> None:
        Tls.make(folder)
        options = ["--no-defaults", f"--datadir={folder / 'data'}", f"--user={getpass.getuser()}", "--skip-test-db"]
        install = database_server.program("mariadb-install-db")
        database_server.run([install, *options, "--auth-root-authentication-method=normal"], cwd=folder)

    def command(self, folder: Path, port: int, durable: bool) -> list[str]:
        options = [
            "--no-defaults",
            f"--datadir={folder / 'data'}",
            f"--user={getpass.getuser()}",
            "--bind-address=127.0.0.1",
            f"--port={port}",
            f"--socket={folder / 'socket'}",
            f"--pid-file={folder / 'pid'}",
            "--skip-name-resolve",
            "--max-connections=300",
            "--innodb-buffer-pool-size=64M",
            "--innodb-log-file-size=48M",
            # A wait that a test needs must be short; in production it is 50 s.
            "--innodb-lock-wait-timeout=20",
            # Another collation than the one that is needed, as somebody else's server has it.
            "--character-set-server=utf8mb4",
            "--collation-server=utf8mb4_general_ci",
        ]
        if self._tls:
            tls = Tls.of(folder)
            options += [f"--ssl-cert={tls.certificate}", f"--ssl-key={tls.key}"]
        if not durable:
            options += [
                "--innodb-flush-log-at-trx-commit=0",
                "--innodb-flush-method=nosync",
                "--skip-innodb-doublewrite",
            ]
        return ["setpriv", "--pdeathsig", "KILL", "--", database_server.program("mariadbd"), *options]

    def answers(self, port: int) -> bool:
        try:
            _connect(port).close()
        except pymysql.err.OperationalError:
            return False
        return True

    def url(self, port: int, database: str) -> str:
        return f"mysql+pymysql://root@127.0.0.1:{port}/{database}"

    def create(self, port: int, database: str, template: str | None) -> None:
        with closing(_connect(port)) as connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {database}")
            if template is not None:
                _copy(cursor, template, database)

    def is_in_use(self, port: int, database: str) -> bool:
        with closing(_connect(port)) as connection, connection.cursor() as cursor:
            return bool(_threads(cursor, database))

    def drop(self, port: int, database: str) -> None:
        with closing(_connect(port)) as connection, connection.cursor() as cursor:
            for thread in _threads(cursor, database):
                with suppress(pymysql.err.OperationalError):  # it is gone already
                    cursor.execute(f"KILL {thread}")
            cursor.execute(f"DROP DATABASE IF EXISTS {database}")


RECIPE, TLS = Mariadb(), Mariadb(tls=True)


_KIND = database_server.Kind(RECIPE, TLS)
shared, database, server = _KIND.shared, _KIND.database, _KIND.server


def _connect(port: int) -> "pymysql.Connection[Any]":
    return pymysql.connect(host="127.0.0.1", port=port, user="root", autocommit=True, connect_timeout=10)


def _threads(cursor: Any, database: str) -> list[int]:
    cursor.execute("SELECT id FROM information_schema.processlist WHERE db = %s", (database,))
    return [row[0] for row in cursor.fetchall()]


def _copy(cursor: Any, template: str, database: str) -> None:
    """Tables with their rows, in an order in which what they refer to is there."""
    cursor.execute("SET foreign_key_checks = 0")
    cursor.execute(f"USE {database}")
    cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = %s", (template,))
    for (table,) in cursor.fetchall():
        cursor.execute(f"SHOW CREATE TABLE {template}.`{table}`")
        cursor.execute(cursor.fetchone()[1])
        cursor.execute(f"INSERT INTO `{table}` SELECT * FROM {template}.`{table}`")
    cursor.execute("SET foreign_key_checks = 1")
