"""Finds drivers and targets by the names operators write, and makes them.

Knows entry points and old class paths; knows nothing of what a driver does.
"""

import importlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from oslo_config import cfg

from volumed.driver.interface import Driver, Owner, Target
from volumed.model.errors import ConfigurationError
from volumed.model.installed import installed

LOG = logging.getLogger(__name__)

DRIVERS = "volumed.drivers"
TARGETS = "volumed.targets"

#: Cinder's class paths, as operators have them in their files, and the entry point that serves them here.
OLD_CLASS_PATHS: Mapping[str, str] = {
    "cinder.volume.drivers.lvm.LVMVolumeDriver": "lvm",
    "cinder.volume.drivers.lvm.LVMISCSIDriver": "lvm",
    "cinder.volume.driver.ISCSIDriver": "lvm",
    "cinder.volume.drivers.rbd.RBDDriver": "rbd",
    "cinder.volume.driver.RBDDriver": "rbd",
}

#: The same for targets (``target_helper`` and the older ``iscsi_helper`` values).
OLD_TARGETS: Mapping[str, str] = {"tgtadm": "tgt", "lioadm": "lio"}


@dataclass(frozen=True)
class Setup:
    """Everything a driver or target is told about its place.

    ``options`` is the backend's group of the configuration; ``state_path`` is a folder of this node for sockets,
    ports and other small things that must survive a restart.
    """

    backend: str
    host: str
    owner: Owner
    options: Any
    state_path: Path

    @property
    def service(self) -> str:
        """``host@backend``, as rows have it: who owns what on storage that services of several nodes share."""
        return f"{self.host}@{self.backend}"


def load_driver(conf: cfg.ConfigOpts, setup: Setup) -> Driver:
    """Make the driver that the backend's group names.

    Raises ``ConfigurationError`` naming the option when no such driver is installed.
    """
    name = conf[setup.backend].volume_driver
    driver_class = _find(DRIVERS, name, OLD_CLASS_PATHS, f"[{setup.backend}] volume_driver")
    _register(conf, setup.backend, driver_class)
    return cast(Driver, driver_class(setup))


def load_target(setup: Setup) -> Target:
    """Make the target that the backend's group names. Raises ``ConfigurationError``."""
    name = setup.options.target_helper
    return cast(Target, _find(TARGETS, name, OLD_TARGETS, f"[{setup.backend}] target_helper")(setup))


def driver_options(volume_driver: str) -> list[Any]:
    """The options a driver adds to its backend's group."""
    return list(getattr(_find(DRIVERS, volume_driver, OLD_CLASS_PATHS, "volume_driver"), "OPTIONS", ()))


def _register(conf: cfg.ConfigOpts, group: str, plugin: Any) -> None:
    conf.register_opts(list(getattr(plugin, "OPTIONS", ())), group=group)


def _find(group: str, name: str, old_names: Mapping[str, str], option: str) -> Any:
    if name in old_names:
        LOG.warning("%s = %s is an old name; write %s", option, name, old_names[name])
        name = old_names[name]
    if name in installed(group):
        return installed(group)[name].load()
    if "." not in name:
        known = ", ".join(sorted(installed(group)))
        raise ConfigurationError(option=option, reason=f"{name!r} is not installed; known are: {known}")
    module, _, attribute = name.rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(option=option, reason=f"cannot load {name!r}: {error}") from error
