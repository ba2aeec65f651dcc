"""Every option of volumed, one module a group. The sample file and the reference are generated from here.

``load`` makes a private ``ConfigOpts``; nothing here is global.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from oslo_config import cfg

from volumed.conf import api, backend, database, operations, paths, quota, rpc, scheduler, service, tracing
from volumed.model.errors import ConfigurationError

_GROUPS = (paths, service, database, rpc, api, quota, operations, scheduler, tracing)


def list_opts() -> list[tuple[str, list[Any]]]:
    """All options by group, as ``oslo.config``'s generator wants them; ``[backend]`` stands for any backend's."""
    return [(module.GROUP, list(module.OPTIONS)) for module in _GROUPS] + [("backend", list(backend.OPTIONS))]


def load(config_files: Sequence[str | Path] = (), defaults: dict[tuple[str, str], Any] | None = None) -> cfg.ConfigOpts:
    """Read the configuration and register every group, the enabled backends' among them.

    ``defaults`` replaces defaults by ``(group, option)``, the files win over it. Raises ``ConfigurationError`` naming
    the option that is wrong, unknown or missing.
    """
    conf = cfg.ConfigOpts()
    for module in _GROUPS:
        conf.register_opts(module.OPTIONS, group=None if module.GROUP == "DEFAULT" else module.GROUP)
    try:
        conf([], project="volumed", default_config_files=[str(path) for path in config_files], default_config_dirs=[])
    except cfg.ConfigFilesNotFoundError as error:
        raise ConfigurationError(option="--config-file", reason=str(error)) from error
    except (cfg.ConfigFileParseError, cfg.ConfigFileValueError) as error:
        raise ConfigurationError(option="configuration file", reason=str(error)) from error
    for (group, name), value in (defaults or {}).items():
        if group in {module.GROUP for module in _GROUPS}:
            conf.set_default(name, value, group=None if group == "DEFAULT" else group)
    for name in conf.enabled_backends:
        backend.register(conf, name)
    for (group, name), value in (defaults or {}).items():
        if group in conf.enabled_backends:
            conf.set_default(name, value, group=group)
    return conf


def masked(conf: cfg.ConfigOpts) -> dict[str, dict[str, Any]]:
    """The options in force by group, as plain values; a secret that is set reads ``***``."""
    groups: dict[str, dict[str, Any]] = {}
    for group, option, value in _in_force(conf):
        hidden = option.secret and value is not None
        groups.setdefault(group, {})[option.dest] = "***" if hidden else value
    return groups


def _in_force(conf: cfg.ConfigOpts) -> list[tuple[str, Any, Any]]:
    found = [("DEFAULT", info["opt"], conf[name]) for name, info in conf._opts.items() if not info["cli"]]
    for group in conf._groups.values():
        found += [(group.name, info["opt"], conf[group.name][name]) for name, info in group._opts.items()]
    return found
