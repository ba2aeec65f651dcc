"""TLS to a database server, as docs/databases.md has it: by the URL, and to nobody whom the authority does not know."""

from pathlib import Path
from types import ModuleType

import pytest
import sqlalchemy
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from tests.lab import mariadb, postgresql
from tests.lab.certificates import Authority
from volumed.db.engine import Database
from volumed.model.errors import ServiceUnavailable

#: What a server says of the connection on which it is asked; nothing where it is not sealed.
SEAL = {
    "postgresql": "SELECT cipher FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
    "mysql": "SELECT variable_value FROM information_schema.session_status WHERE variable_name = 'SSL_CIPHER'",
}


def trusting(url: str, authority: Path) -> str:
    """The URL for who trusts ``authority`` alone."""
    made, file = sqlalchemy.make_url(url), str(authority)
    options = {"postgresql": {"sslmode": "verify-full", "sslrootcert": file}, "mysql": {"ssl_ca": file}}
    return made.update_query_dict(options[made.get_backend_name()]).render_as_string(hide_password=False)


def seal_of(url: str) -> str:
    database = Database(url)
    try:
        with database.reading() as tx:
            return str(tx.execute(text(SEAL[database.url.get_backend_name()])).scalar() or "")
    finally:
        database.close()


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(postgresql, marks=pytest.mark.part("postgres"), id="postgresql"),
        pytest.param(mariadb, marks=pytest.mark.part("mariadbd"), id="mariadb"),
    ],
)
def test_a_connection_is_sealed_and_only_to_whom_the_authority_vouches_for(kind: ModuleType, tmp_path: Path) -> None:
    with kind.server(durable=False, tls=True) as server, server.database() as url:
        assert seal_of(trusting(url, server.tls.authority))
        with pytest.raises((OperationalError, ServiceUnavailable)) as refused:
            seal_of(trusting(url, Authority(tmp_path, "another").file))
    assert "certificate verify failed" in str(refused.value)
