"""psycopg's connection with a bound on every wait.

libpq waits for an answer for ever where the server's host lives and its database does not answer (a stopped process, a
proxy that drops): keepalives are answered, and ``statement_timeout`` is the server's. Source: psycopg's ``waiting``.
"""

import time
from collections.abc import Generator
from typing import Any

import psycopg
from psycopg.rows import TupleRow

from volumed.db import connecting


class BoundedConnection(psycopg.Connection[TupleRow]):
    """A connection that is closed when the server does not answer in ``connecting.ANSWER_TIMEOUT`` seconds."""

    def wait(self, gen: Any, *arguments: Any, **options: Any) -> Any:
        """Wait for ``gen`` as psycopg does. Raises ``OperationalError`` past the bound."""
        return super().wait(self._bounded(gen), *arguments, **options)

    def _bounded(self, gen: Any) -> Generator[Any, Any, Any]:
        until = time.monotonic() + connecting.ANSWER_TIMEOUT
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready and time.monotonic() >= until:
                    self.close()
                    raise psycopg.OperationalError("the server does not answer")
                wanted = gen.send(ready)
        except StopIteration as end:
            return end.value
