"""The decision: a request and the pools in, the best pool and the reason for every other out.

A pure function; it neither reads nor changes anything.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from volumed.model.records import Json
from volumed.scheduler.pools import Pool
from volumed.scheduler.request import PlacementRequest

#: How many candidates of a decision are stored; the others are in its counts.
STORED_CANDIDATES = 50


class Filter(Protocol):
    """A condition that a pool must meet. Made once, with the options of ``[scheduler]``, and asked by many threads."""

    #: As it is named in the options and in explanations.
    name: str

    def passes(self, request: PlacementRequest, pool: Pool) -> str | None:
        """None when ``pool`` may take the request, else why not, with the numbers."""


class Weigher(Protocol):
    """A reason to prefer a pool. Made once, with the options of ``[scheduler]``, and asked by many threads."""

    name: str
    #: What the weight, brought between 0 and 1 over all candidates, is multiplied by.
    multiplier: float

    def weigh(self, request: PlacementRequest, pool: Pool) -> float | None:
        """The raw weight of ``pool``; None is unknown and counts as the worst."""


class Rejected(NamedTuple):
    pool: Pool
    filter: str
    reason: str


class Ranked(NamedTuple):
    pool: Pool
    weight: float
    #: The share of each weigher.
    weights: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """One look at all candidates: ``ranked`` passed, best first; ``rejected`` failed, in the order of the pools."""

    ranked: Sequence[Ranked]
    rejected: Sequence[Rejected]
    weighers: tuple[str, ...]
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def chosen(self) -> Pool | None:
        return self.ranked[0].pool if self.ranked else None

    def record(self) -> Json:
        """The decision as it is stored with the operation: the counts of all, the best candidates with reasons."""
        best = [self._passed(ranked) for ranked in self.ranked[:STORED_CANDIDATES]]
        rest = self.rejected[: STORED_CANDIDATES - len(best)]
        return {
            "chosen": self.chosen.host if self.chosen else None,
            "considered": len(self.ranked) + len(self.rejected),
            "counts": dict(self.counts),
            "candidates": best + [_failed(rejected) for rejected in rest],
        }

    def _passed(self, ranked: Ranked) -> Json:
        shares = {name: round(share, 4) for name, share in zip(self.weighers, ranked.weights, strict=True)}
        return {
            "host": ranked.pool.host,
            "passed": True,
            "filter": None,
            "reason": None,
            "weight": round(ranked.weight, 4),
            "weights": shares,
        }


def _failed(rejected: Rejected) -> Json:
    return {
        "host": rejected.pool.host,
        "passed": False,
        "filter": rejected.filter,
        "reason": rejected.reason,
        "weight": None,
        "weights": {},
    }


def decide(
    request: PlacementRequest, pools: Sequence[Pool], filters: Sequence[Filter], weighers: Sequence[Weigher]
) -> Decision:
    """Judge every pool. The heaviest that passes all filters is chosen; of equal ones the first by name."""
    passed: list[Pool] = []
    rejected: list[Rejected] = []
    checks = [(each.name, each.passes) for each in filters]
    for pool in pools:
        for name, passes in checks:
            reason = passes(request, pool)
            if reason is not None:
                rejected.append(Rejected(pool, name, reason))
                break
        else:
            passed.append(pool)
    return Decision(
        ranked=_rank(request, passed, weighers),
        rejected=rejected,
        weighers=tuple(weigher.name for weigher in weighers),
        counts=Counter(each.filter for each in rejected),
    )


def _rank(request: PlacementRequest, pools: Sequence[Pool], weighers: Sequence[Weigher]) -> list[Ranked]:
    columns = [
        _normalised([weigher.weigh(request, pool) for pool in pools], weigher.multiplier) for weigher in weighers
    ]
    shares = list(zip(*columns, strict=True)) if columns else [()] * len(pools)
    ranked = [Ranked(pool, sum(share), share) for pool, share in zip(pools, shares, strict=True)]
    ranked.sort(key=_order)
    return ranked


def _order(ranked: Ranked) -> tuple[float, str]:
    return -ranked.weight, ranked.pool.host


def _normalised(raw: Sequence[float | None], multiplier: float) -> list[float]:
    """Each weight between 0 (the least) and 1 (the most), times the multiplier; equal weights count nothing."""
    known = [weight for weight in raw if weight is not None]
    least, most = min(known, default=0.0), max(known, default=0.0)
    span = most - least
    unknown = 0.0 if multiplier >= 0 else multiplier
    if not span:
        # A pool whose weight is unknown still comes after those whose weight is known, equal as they may be.
        known_share = max(multiplier, 0.0) if len(known) < len(raw) else 0.0
        return [unknown if weight is None else known_share for weight in raw]
    return [unknown if weight is None else (weight - least) / span * multiplier for weight in raw]
