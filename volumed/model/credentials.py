"""CHAP credentials of an attachment."""

import secrets
from collections.abc import Mapping
from typing import Any, Final

#: Letters and digits of a user name and of a password. RFC 7143 (12.1.3) asks for 96 random bits at least.
LENGTH: Final = 20

#: Without those that are mistaken for others.
_ALPHABET: Final = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789"


def new_credentials() -> dict[str, str]:
    """A user name and a password that nobody had before."""
    name, password = ("".join(secrets.choice(_ALPHABET) for _ in range(LENGTH)) for _ in range(2))
    return {"username": name, "password": password}


def speaks_chap(connection_info: Mapping[str, Any]) -> bool:
    """Whether a connection is opened with CHAP credentials; a client of Ceph has a key of its own and its own user."""
    return connection_info.get("driver_volume_type") != "rbd"
