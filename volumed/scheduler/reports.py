"""The wire form of a backend's capabilities, checked: a message that is wrong anywhere changes nothing.

docs/scheduling.md has the fields and a sample.
"""

import math
from collections.abc import Mapping
from typing import Any

from volumed.model.errors import InvalidField
from volumed.model.host import place
from volumed.scheduler.pools import Pool, Report

#: More pools than this in one report is a mistake, not a backend.
MOST_POOLS = 10_000

_BACKEND_TEXTS = ("driver", "storage_protocol", "vendor_name", "driver_version")
_BACKEND_FLAGS = ("online_extend_support", "multiattach", "snapshot_attached_support")


def read(host: str, capabilities: Any) -> Report:
    """The report of the backend ``host``. Raises ``InvalidField`` naming the field that is wrong."""
    if not isinstance(capabilities, Mapping):
        raise InvalidField(field="capabilities", reason="it must be an object")
    message = _Fields("capabilities", capabilities)
    if not host or "#" in host or message.text("host") != host:
        raise message.wrong("host", f"it must be host@backend, the sender {host!r}")
    sequence = message.number("sequence", least=0)
    if int(sequence) != sequence:
        raise message.wrong("sequence", "it must be whole")
    return Report(
        backend=host, incarnation=message.text("incarnation"), sequence=int(sequence), pools=_pools(host, message)
    )


def _pools(host: str, message: "_Fields") -> tuple[Pool, ...]:
    found = message.values.get("pools")
    if not isinstance(found, list) or len(found) > MOST_POOLS:
        raise message.wrong("pools", f"it must be a list of at most {MOST_POOLS}")
    zone = message.text("availability_zone")
    shared: dict[str, Any] = {name: message.text(name, "") for name in _BACKEND_TEXTS}
    shared |= {name: message.flag(name) for name in _BACKEND_FLAGS}
    pools = []
    for position, values in enumerate(found):
        name = f"capabilities.pools[{position}]"
        if not isinstance(values, Mapping):
            raise InvalidField(field=name, reason="it must be an object")
        pools.append(_pool(host, zone, message.text("service_name"), shared, _Fields(name, values)))
    if len({pool.host for pool in pools}) != len(pools):
        raise message.wrong("pools", "two pools have the same name")
    return tuple(pools)


def _pool(host: str, zone: str, service_name: str, shared: Mapping[str, Any], fields: "_Fields") -> Pool:
    total, free = fields.size("total_gib"), fields.size("free_gib")
    percentage = fields.number("reserved_percentage", least=0, most=100)
    ratio = fields.number("max_over_subscription_ratio", least=1)
    thin = fields.flag("thin_provisioning")
    features = fields.values.get("features") or {}
    if not isinstance(features, Mapping):
        raise fields.wrong("features", "it must be an object")
    capabilities = {
        **features,
        **shared,
        "volume_backend_name": fields.text("volume_backend_name", service_name),
        "pool_name": fields.text("name"),
        "total_capacity_gb": "unknown" if total is None else total,
        "free_capacity_gb": "unknown" if free is None else free,
        "reserved_percentage": percentage,
        "max_over_subscription_ratio": ratio,
        "thin_provisioning_support": thin,
        "thick_provisioning_support": not thin,
        "availability_zone": zone,
    }
    return Pool(
        host=place(host, fields.text("name")),
        backend=host,
        storage_id=fields.text("storage_id"),
        availability_zone=zone,
        total=total,
        free=free,
        foreign=fields.size("foreign_gib") or 0.0,
        reserved=(total or 0.0) * percentage / 100,
        ratio=ratio if thin else 1.0,
        capabilities=capabilities,
    )


class _Fields:
    """The fields of one object of the message; each is taken with its check."""

    def __init__(self, name: str, values: Mapping[str, Any]) -> None:
        self._name = name
        self.values = values

    def wrong(self, field: str, reason: str) -> InvalidField:
        return InvalidField(field=f"{self._name}.{field}", reason=reason)

    def text(self, field: str, default: str | None = None) -> str:
        value = self.values.get(field)
        if value is None and default is not None:
            return default
        if not isinstance(value, str) or not value or len(value) > 255:
            raise self.wrong(field, "it must be a text of 1 to 255 characters")
        return value

    def flag(self, field: str) -> bool:
        value = self.values.get(field)
        if not isinstance(value, bool):
            raise self.wrong(field, "it must be true or false")
        return value

    def size(self, field: str) -> float | None:
        return None if self.values.get(field) is None else self.number(field, least=0)

    def number(self, field: str, least: float, most: float = math.inf) -> float:
        value = self.values.get(field)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self.wrong(field, "it must be a finite number")
        if not least <= value <= most:
            raise self.wrong(field, f"it must be from {least:g} to {most:g}")
        return float(value)
