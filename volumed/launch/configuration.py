"""The configuration of a process: which files are read, which options there are, and what is wrong in them.

Two ways: a state folder with everything in it, and the configuration files of a fleet.
"""

import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from oslo_config import cfg

from volumed import conf as configuration
from volumed.api import cors
from volumed.conf import verify
from volumed.driver.registry import driver_options
from volumed.identity import keystone
from volumed.launch import logs
from volumed.launch.state_folder import StateFolder
from volumed.launch.wishes import Wishes
from volumed.model.errors import ConfigurationError
from volumed.rpc import transport
from volumed.rpc.transport import IN_PROCESS_URL

Defaults = Mapping[tuple[str, str], Any]

#: Options by group.
Known = dict[str, list[Any]]

#: Groups of libraries that are loaded only where a file has the group, and who knows and registers its options.
_ON_DEMAND: Mapping[str, Any] = {cors.GROUP: cors, keystone.GROUP: keystone}


def of_folder(wishes: Wishes, folder: StateFolder) -> cfg.ConfigOpts:
    """The configuration of everything in one process. Raises ``ConfigurationError`` for what is wrong or unknown."""
    files = [*([folder.configuration] if folder.configuration.exists() else []), *wishes.config_files]
    conf = _read(files, _folder_defaults(wishes, folder))
    conf.set_default("transport_url", IN_PROCESS_URL)
    _check_values(conf)
    return conf


def of_fleet(files: Sequence[Path]) -> cfg.ConfigOpts:
    """The configuration of a service of a fleet. Raises ``ConfigurationError`` for what is wrong or missing."""
    if not files:
        raise ConfigurationError(option="--config-file", reason="a service needs at least one")
    conf = _read(files, {})
    _check_values(conf)
    if conf.transport_url.startswith(IN_PROCESS_URL.partition("/")[0]):
        raise ConfigurationError(option="transport_url", reason="it names no broker that several processes can reach")
    if not conf.database.secrets_key_file:
        reason = "every node needs the same file; `volumed-manage secrets new-key` prints a key for it"
        raise ConfigurationError(option="[database] secrets_key_file", reason=reason)
    for path in files:
        _refuse_open_secrets(conf, path)
    return conf


def _read(files: Sequence[Path], defaults: Defaults) -> cfg.ConfigOpts:
    for path in files:
        verify.read(path)
    conf = configuration.load(files, dict(defaults))
    transport.register_options(conf)
    logs.register_options(conf)
    for group in _wanted_on_demand(files):
        _ON_DEMAND[group].register_options(conf)
    known = _known(conf)
    for path in files:
        verify.refuse_unknown(path, known)
    return conf


def _wanted_on_demand(files: Sequence[Path]) -> list[str]:
    """The groups that are in any of the files."""
    present = {group for path in files for group in verify.read(path)}
    return [group for group in _ON_DEMAND if group in present]


def _known(conf: cfg.ConfigOpts) -> Known:
    known: Known = {}
    on_demand = (each for group in _ON_DEMAND if group in conf for each in _ON_DEMAND[group].known_options(conf))
    libraries = [*transport.known_options(), *logs.known_options(), *on_demand]
    for group, options in [*configuration.list_opts(), *libraries]:
        known.setdefault(group, []).extend(options)
    for name in conf.enabled_backends:
        known[name] = [*known["backend"], *driver_options(conf[name].volume_driver)]
    return known


def _check_values(conf: cfg.ConfigOpts) -> None:
    verify.refuse_wrong_values(conf, [group for group in _known(conf) if group != "backend"])


def _refuse_open_secrets(conf: cfg.ConfigOpts, path: Path) -> None:
    """A file in which a secret stands is not for everybody's eyes."""
    if not path.stat().st_mode & (stat.S_IRWXO):
        return
    secret = {(group, name) for group, options in _known(conf).items() for name in _secret_names(options)}
    for group, options in verify.read(path).items():
        for option in options:
            if (group, option.replace("-", "_")) in secret:
                reason = f"{group}.{option} is a secret and everybody on this node can read it; chmod o= {path}"
                raise ConfigurationError(option=f"configuration file {path}", reason=reason)


def _secret_names(options: Sequence[Any]) -> list[str]:
    return [option.dest for option in options if option.secret]


def _folder_defaults(wishes: Wishes, folder: StateFolder) -> Defaults:
    return {
        ("DEFAULT", "state_path"): str(folder.path),
        ("DEFAULT", "host"): folder.host(),
        ("DEFAULT", "enabled_backends"): ["file"],
        ("DEFAULT", "periodic_fuzzy_delay"): 5,
        ("DEFAULT", "debug"): wishes.debug,
        ("database", "connection"): folder.database_url,
        ("database", "secrets_key_file"): str(folder.secrets_key),
        ("file", "volume_driver"): "file",
        ("file", "target_helper"): "tgt",
        ("file", "target_port"): 0,
    }


def contradictions(conf: cfg.ConfigOpts) -> list[str]:
    """What is allowed each for itself and does no good together, in sentences."""
    told = []
    if conf.service_down_time < 3 * conf.report_interval:
        told.append(
            f"service_down_time = {conf.service_down_time:g} s is less than three times report_interval ="
            f" {conf.report_interval:g} s: a service that lives may count as down"
        )
    if conf.operations.stuck_timeout and conf.operations.stuck_timeout <= conf.operations.blocked_after:
        told.append("[operations] stuck_timeout is not above blocked_after: a slow call ends its process")
    lanes = conf.operations.short_workers + conf.operations.long_workers + conf.operations.idle_workers
    if conf.rpc.workers + lanes > conf.database.max_pool_size + 10:
        told.append("[database] max_pool_size is far below the number of threads that use it: they wait for each other")
    if conf.database.connection.startswith("sqlite"):
        told.append("[database] connection is SQLite: services on other nodes cannot share it")
    return told
