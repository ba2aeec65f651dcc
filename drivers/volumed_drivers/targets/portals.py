"""Where a target listens, as operators write it: one address, others beside it, one port."""

from typing import Any


def spelled(address: str) -> str:
    """The address as it stands in a portal: an IPv6 one in brackets."""
    return f"[{address.lower()}]" if ":" in address else address


def portals_of(options: Any) -> list[str]:
    """The portals of a backend's group, the first one first, each as ``address:port`` and none twice."""
    addresses = [options.target_ip_address, *options.iscsi_secondary_ip_addresses]
    return list(dict.fromkeys(f"{spelled(address)}:{options.target_port}" for address in addresses))
