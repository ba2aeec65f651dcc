"""Where the cluster's monitors are, as the cluster says it now.

Knows the answer of ``mon dump``.
"""

import re
from typing import NamedTuple

from volumed_drivers.rbd.connection import Connection

_ADDRESS = re.compile(r"\[?(?P<host>[^\]]*)\]?:(?P<port>\d+)(/\d+)?")


class Address(NamedTuple):
    """Of a monitor; an IPv6 host is without brackets."""

    host: str
    port: int


def monitors(connection: Connection) -> list[Address]:
    """One address a monitor: the old protocol's where it has one, which every client speaks, else the new one's."""
    return [_address(found) for found in connection.ask("mon dump")["mons"]]


def _address(monitor: dict[str, dict[str, list[dict[str, str]]]]) -> Address:
    known = {each["type"]: each["addr"] for each in monitor["public_addrs"]["addrvec"]}
    match = _ADDRESS.fullmatch(known.get("v1") or known["v2"])
    assert match is not None
    return Address(match["host"], int(match["port"]))
