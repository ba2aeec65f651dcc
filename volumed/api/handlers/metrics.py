"""Figures for Prometheus: what operations came to, how long their steps took, what waits, pools, services.

Counters start with the process and grow by what ended since the last look, so a look costs what happened, not what is
kept. Several API processes each count everything: sum over none of them.
"""

import functools
import threading
from typing import Any

import falcon
from sqlalchemy import Connection

from volumed.api.handlers.services import is_up
from volumed.api.request import ApiRequest
from volumed.api.tier import Tier
from volumed.db import progress, services
from volumed.model.records import Operation

#: Operations that are counted in one transaction.
BATCH = 500

#: Batches of one look at most; the next look goes on.
MOST_BATCHES = 20

#: Storages that are told of.
MOST_STORAGES = 2000

#: Seconds of the buckets of a step's time.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)


class Metrics:
    """``GET /metrics``. It asks nobody who he is: nothing in it is a project's."""

    def __init__(self, tier: Tier) -> None:
        self._tier = tier
        self._lock = threading.Lock()
        with tier.database.reading() as tx:
            self._place: progress.Place = (progress.present(tx), "")

    def on_get(self, req: ApiRequest, resp: falcon.Response) -> None:
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

        with self._lock:
            for _ in range(MOST_BATCHES):
                if self._count_ended() < BATCH:
                    break
            with self._tier.database.reading() as tx:
                self._look(tx)
            resp.data = generate_latest(self._figures.registry)
        resp.content_type = CONTENT_TYPE_LATEST

    @functools.cached_property
    def _figures(self) -> "_Figures":
        return _Figures()

    def _count_ended(self) -> int:
        with self._tier.database.reading() as tx:
            ended = progress.ended_since(tx, self._place, BATCH)
        for operation in ended:
            self._count(operation)
        if ended:
            self._place = (ended[-1].ended_at or 0, ended[-1].id)
        return len(ended)

    def _count(self, operation: Operation) -> None:
        figures = self._figures
        figures.ended.labels(operation.kind, operation.state).inc()
        took = (operation.ended_at or operation.created_at) - operation.created_at
        figures.seconds.labels(operation.kind).observe(max(0, took) / 1e6)
        for entry in operation.timeline:
            if "outcome" in entry:
                labels = figures.steps.labels(operation.kind, entry["step"], entry["direction"], entry["outcome"])
                labels.observe(max(0, entry["end"] - entry["start"]) / 1e6)

    def _look(self, tx: Connection) -> None:
        figures = self._figures
        figures.live.clear()
        for (kind, state), number in progress.live_counts(tx).items():
            figures.live.labels(kind, state).set(number)
        figures.up.clear()
        figures.enabled.clear()
        for service, age in services.all_with_age(tx):
            up = is_up(service, age, self._tier.settings.service_down_time)
            figures.up.labels(service.binary, service.host).set(up)
            figures.enabled.labels(service.binary, service.host).set(not service.disabled)
        figures.allocated.clear()
        figures.volumes.clear()
        for storage_id, allocated, volumes in progress.allocations(tx, MOST_STORAGES):
            figures.allocated.labels(storage_id).set(allocated)
            figures.volumes.labels(storage_id).set(volumes)


class _Figures:
    """A registry of this app's own: two apps in one process do not meet."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self.registry = CollectorRegistry()
        own: dict[str, Any] = {"registry": self.registry}
        self.ended = Counter(
            "volumed_operations", "Operations that ended, by kind and outcome.", ["kind", "outcome"], **own
        )
        self.seconds = Histogram(
            "volumed_operation_seconds", "Seconds from request to end.", ["kind"], buckets=BUCKETS, **own
        )
        self.steps = Histogram(
            "volumed_step_seconds",
            "Seconds of each step.",
            ["kind", "step", "direction", "outcome"],
            buckets=BUCKETS,
            **own,
        )
        self.live = Gauge("volumed_operations_live", "Operations under way or waiting.", ["kind", "state"], **own)
        self.allocated = Gauge("volumed_pool_allocated_gigabytes", "GiB promised of a storage.", ["storage"], **own)
        self.volumes = Gauge("volumed_pool_volumes", "Volumes on a storage.", ["storage"], **own)
        self.up = Gauge("volumed_service_up", "1 while the service works.", ["binary", "host"], **own)
        self.enabled = Gauge("volumed_service_enabled", "1 unless disabled.", ["binary", "host"], **own)
