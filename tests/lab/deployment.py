"""What the tests of this moment run on: everything in one process, or the services of a fleet.

A test asks for a daemon and does not know; a fixture chooses (``tests/functional/conftest.py``).
"""

from collections.abc import Iterator
from contextlib import contextmanager

EMBEDDED = "embedded"
#: On RabbitMQ and PostgreSQL.
FLEET = "fleet"

_chosen = [EMBEDDED]


def current() -> str:
    """What was chosen last."""
    return _chosen[-1]


@contextmanager
def chosen(deployment: str) -> Iterator[None]:
    """Every daemon that is made inside the block is of ``deployment``."""
    _chosen.append(deployment)
    try:
        yield
    finally:
        _chosen.pop()
