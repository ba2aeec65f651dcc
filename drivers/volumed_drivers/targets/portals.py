"""Where a target listens, as operators write it and what initiators are told."""

import ipaddress
from collections.abc import Sequence
from typing import Any

from volumed.driver.interface import Access, Export


def spelled(address: str) -> str:
    """The address as it stands in a portal: an IPv6 one in brackets."""
    return f"[{address.lower()}]" if ":" in address else address


def addresses_of(options: Any) -> list[str]:
    """The addresses of a backend's group, the first one first and none twice, in whatever way it is written."""
    written = [options.target_ip_address, *options.iscsi_secondary_ip_addresses]
    return list(dict.fromkeys(_canonical(address) for address in written))


def _canonical(address: str) -> str:
    """As the kernel shows it. A name of a host, or a mistake, is left to whoever listens there."""
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return address


def portals_of(addresses: Sequence[str], port: int) -> list[str]:
    """The portals, each as ``address:port``."""
    return [f"{spelled(address)}:{port}" for address in addresses]


def connection_info(export: Export, access: Access, portals: Sequence[str], name: str, lun: int) -> dict[str, Any]:
    """What an initiator needs to log in to the target ``name``; with several portals all of them, for multipath.

    Source: os-brick's connection properties of an iSCSI volume.
    """
    data: dict[str, Any] = {
        "target_discovered": False,
        "target_portal": portals[0],
        "target_iqn": name,
        "target_lun": lun,
        "volume_id": export.volume_id,
        "auth_method": "CHAP",
        "auth_username": access.username,
        "auth_password": access.password,
        "access_mode": "ro" if access.read_only else "rw",
        "discard": True,
        "encrypted": False,
        "qos_specs": None,
    }
    if len(portals) > 1:
        count = len(portals)
        data |= {"target_portals": list(portals), "target_iqns": [name] * count, "target_luns": [lun] * count}
    return {"driver_volume_type": "iscsi", "data": data}
