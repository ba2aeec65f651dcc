"""Refuses to listen beyond this machine while everybody is believed to be whoever he says he is."""

import ipaddress
import socket

from oslo_config import cfg

from volumed.launch.http import Address
from volumed.model.errors import ConfigurationError


def refuse(conf: cfg.ConfigOpts, listen: Address, permitted: bool, remedy: str) -> None:
    """Raise ``ConfigurationError``, with the ``remedy``, unless it is ``permitted`` or no danger."""
    if conf.api.auth_strategy != "noauth" or permitted or _is_loopback(listen.host):
        return
    raise ConfigurationError(
        option="--listen",
        reason=f"{listen} can be reached from other machines, and with auth_strategy = noauth whoever reaches it"
        f" is an administrator if he says so; {remedy}",
    )


def refuse_hosted(conf: cfg.ConfigOpts) -> None:
    """The same behind another's server: nobody here knows where that one listens."""
    if conf.api.auth_strategy == "noauth" and not conf.api.allow_remote_noauth:
        raise ConfigurationError(
            option="[api] auth_strategy",
            reason="with noauth whoever reaches the server is an administrator if he says so; keystone is for that, or"
            " [api] allow_remote_noauth = true permits it",
        )


def _is_loopback(host: str) -> bool:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return True  # not an address at all: listening says so
    return all(ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback for *_, address in found)
