"""So many requests a second and project, in each process; more are told when to come again.

Stands behind the caller's identity and before anything that reads the database.
"""

import math
import threading
import time
from collections.abc import Callable

import falcon

from volumed.api.paths import OPEN
from volumed.api.request import ApiRequest

#: Projects that are kept at most; those that have used nothing for long are forgotten first.
MOST_BUCKETS = 10_000


class Buckets:
    """A bucket of tokens for each key, filled with ``rate`` a second; it holds one second's, and one at least."""

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._size = max(1.0, rate)
        self._clock = clock
        self._lock = threading.Lock()
        #: Tokens and when they were counted; who was asked for last stands last.
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, key: str) -> float:
        """Take a token; 0, or the seconds until there is one."""
        with self._lock:
            now = self._clock()
            tokens, counted = self._buckets.pop(key, (self._size, now))
            tokens = min(self._size, tokens + (now - counted) * self._rate)
            wait = 0.0 if tokens >= 1 else (1 - tokens) / self._rate
            self._buckets[key] = (tokens if wait else tokens - 1, now)
            while len(self._buckets) > MOST_BUCKETS:
                del self._buckets[next(iter(self._buckets))]
            return wait


class RateLimit:
    """Middleware: 429 with ``Retry-After`` for a project that asks too often. ``rate`` 0: nobody does."""

    def __init__(self, rate: float) -> None:
        self._buckets = Buckets(rate) if rate else None

    def process_request(self, req: ApiRequest, resp: falcon.Response) -> None:
        if self._buckets is None or req.path in OPEN:
            return
        wait = self._buckets.take(req.caller.project_id)
        if wait:
            raise falcon.HTTPTooManyRequests(
                description="The project asks too often.", retry_after=max(1, math.ceil(wait))
            )
