"""Filters and weighers by the names in the options, found by entry points: a package may bring its own."""

from typing import Any

from volumed.model.errors import ConfigurationError
from volumed.model.installed import installed
from volumed.scheduler.filters.service import ServiceFilter
from volumed.scheduler.filters.source import SourceFilter
from volumed.scheduler.placement import Filter, Weigher

FILTERS = "volumed.scheduler.filters"
WEIGHERS = "volumed.scheduler.weighers"


def load_filters(conf: Any) -> tuple[Filter, ...]:
    """The filters that always apply, then the enabled ones. Raises ``ConfigurationError`` for an unknown name."""
    enabled = _load(FILTERS, "enabled_filters", conf)
    return (ServiceFilter(conf.scheduler), SourceFilter(conf.scheduler), *enabled)


def load_weighers(conf: Any) -> tuple[Weigher, ...]:
    """The enabled weighers. Raises ``ConfigurationError`` for an unknown name."""
    return tuple(_load(WEIGHERS, "enabled_weighers", conf))


def _load(group: str, option: str, conf: Any) -> list[Any]:
    known = installed(group)
    loaded = []
    for name in conf.scheduler[option]:
        if name not in known:
            raise ConfigurationError(
                option=f"[scheduler] {option}", reason=f"{name} is unknown; known are {', '.join(sorted(known))}"
            )
        loaded.append(known[name].load()(conf.scheduler))
    return loaded
