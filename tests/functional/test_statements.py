"""What a create costs the database, all services together."""

import pytest

from bench import statements

pytestmark = pytest.mark.embedded_only("it counts on SQLite")

#: SQL statements of one create without BEGIN and COMMIT.
MOST = 20


@pytest.mark.part("tgtd")
def test_a_create_takes_at_most_twenty_statements_and_four_transactions() -> None:
    found = statements.of_one_create(rounds=6)
    assert len(found) <= MOST, "\n".join(found)
    changes = [statement for statement in found if not statement.startswith("SELECT")]
    assert [statement.split()[0] for statement in changes].count("INSERT") == 4, "volume, operation, two events"
