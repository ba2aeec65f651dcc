"""CHAP credentials of an attachment, and where they stand in what its connector is told."""

import secrets
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, Final

from volumed.model.errors import SecretUnreadable
from volumed.model.records import Attachment, Json

#: Letters and digits of a user name and of a password. RFC 7143 (12.1.3) asks for 96 random bits at least.
LENGTH: Final = 20

#: Without those that are mistaken for others; nor does a name begin with ``0x`` or ``0b``, a number to LIO.
_ALPHABET: Final = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789"


#: What a connection's data says of CHAP; another method (``cephx``) has a user of its own, which is no secret.
METHOD: Final = "CHAP"


def initiator_of(connector: Json | None) -> str:
    """The initiator's name as it is on the wire (RFC 7143, 4.2.7); empty where the connector has none."""
    return str((connector or {}).get("initiator") or "").lower()


def is_same_connector(known: Json | None, asked: Json | None) -> bool:
    """Whether two connectors are one initiator on one host: several hosts may have no initiator."""
    hosts = [(connector or {}).get("host") for connector in (known, asked)]
    return initiator_of(known) == initiator_of(asked) and hosts[0] == hosts[1]


def credentials_for(known: Iterable[Attachment], attachment_id: str, connector: Json) -> Mapping[str, Any]:
    """New ones, but for an initiator that is in already by ``known``: a target knows one secret of an initiator."""
    initiator = initiator_of(connector)
    for each in known if initiator else ():
        if each.id != attachment_id and each.credentials is not None and initiator_of(each.connector) == initiator:
            with suppress(SecretUnreadable):
                return dict(each.credentials)
    return new_credentials()


def new_credentials() -> dict[str, str]:
    """A user name and a password that nobody had before."""
    name, password = ("".join(secrets.choice(_ALPHABET) for _ in range(LENGTH)) for _ in range(2))
    return {"username": name, "password": password}


def without_credentials(connection_info: Json) -> Json:
    """The connection's information as it is stored and logged; that CHAP is asked for stays in it."""
    data: dict[str, Any] = connection_info["data"]
    if data.get("auth_method") != METHOD:
        return connection_info
    kept = {key: value for key, value in data.items() if key not in ("auth_username", "auth_password")}
    return connection_info | {"data": kept}


def with_credentials(connection_info: Json, credentials: Mapping[str, Any] | None) -> Json:
    """The same for who may log in, with what ``without_credentials`` left out."""
    data: dict[str, Any] = connection_info["data"]
    if data.get("auth_method") != METHOD or credentials is None:
        return connection_info
    filled = {"auth_username": credentials["username"], "auth_password": credentials["password"]}
    return connection_info | {"data": data | filled}
