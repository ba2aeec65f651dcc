"""The pool must have what the volume type's extra specs ask for.

A key is a capability's name, with ``:`` between the levels of a nested one, and may begin with the scope
``capabilities:``. A key of any other scope is the driver's business and matches every pool.
"""

from collections.abc import Mapping
from typing import Any

from volumed.scheduler.filters.extra_specs import matcher
from volumed.scheduler.pools import Pool
from volumed.scheduler.request import PlacementRequest

_SCOPE = "capabilities"


class CapabilitiesFilter:
    name = "CapabilitiesFilter"

    def __init__(self, options: Any) -> None:
        pass

    def passes(self, request: PlacementRequest, pool: Pool) -> str | None:
        if request.multiattach and not pool.capabilities.get("multiattach"):
            return "a multiattach volume is asked, multiattach is False"
        for key, wanted in request.extra_specs.items():
            scope, _, rest = key.partition(":")
            if rest and scope != _SCOPE:
                continue
            found = _capability(pool.capabilities, rest or key)
            if found is None:
                return f"{key}: {wanted!r} is asked, the pool has no such capability"
            if not matcher(wanted)(found):
                return f"{key}: {wanted!r} is asked, it is {found!r}"
        return None


def _capability(capabilities: Mapping[str, Any], path: str) -> Any:
    found: Any = capabilities
    for name in path.split(":"):
        if not isinstance(found, Mapping):
            return None
        found = found.get(name)
    return found
