"""Drivers and targets are found by the names that operators write, new and old."""

import logging
from pathlib import Path
from typing import Any

import pytest

from volumed import conf as configuration
from volumed.driver import registry
from volumed.driver.interface import Owner
from volumed.driver.registry import Setup, load_driver, load_target
from volumed.model.errors import ConfigurationError


def setup(tmp_path: Path, **options: Any) -> tuple[Any, Setup]:
    conf = configuration.load(
        defaults={("DEFAULT", "enabled_backends"): ["disk"]}
        | {("disk", name): value for name, value in options.items()}
    )
    return conf, Setup("disk", "node", Owner("d", "disk"), conf["disk"], tmp_path)


def test_by_entry_point(tmp_path: Path) -> None:
    assert type(load_driver(*setup(tmp_path, target_helper="fake"))).__name__ == "FileDriver"


def test_by_class_path(tmp_path: Path) -> None:
    path = "volumed_drivers.file.driver.FileDriver"
    assert type(load_driver(*setup(tmp_path, volume_driver=path, target_helper="fake"))).__name__ == "FileDriver"


def test_an_old_class_path_is_mapped_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(registry, "OLD_CLASS_PATHS", {"cinder.volume.drivers.old.OldDriver": "file"})
    with caplog.at_level(logging.WARNING):
        driver = load_driver(
            *setup(tmp_path, volume_driver="cinder.volume.drivers.old.OldDriver", target_helper="fake")
        )
    assert type(driver).__name__ == "FileDriver"
    assert "write file" in caplog.text


def test_a_driver_of_a_later_release_is_named_as_missing_by_its_new_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "OLD_CLASS_PATHS", {"cinder.volume.drivers.later.Driver": "later"})
    with pytest.raises(ConfigurationError, match=r"\[disk\] volume_driver: 'later' is not installed; known are: file"):
        load_driver(*setup(tmp_path, volume_driver="cinder.volume.drivers.later.Driver"))


def test_cinders_name_of_the_rbd_driver_is_understood(tmp_path: Path) -> None:
    driver = load_driver(*setup(tmp_path, volume_driver="cinder.volume.drivers.rbd.RBDDriver"))
    assert type(driver).__name__ == "RbdDriver"


def test_an_old_target_name_is_mapped(tmp_path: Path) -> None:
    assert type(load_target(setup(tmp_path, target_helper="tgtadm")[1])).__name__ == "TgtTarget"


@pytest.mark.parametrize("name", ["nonsense", "no.such.module.Driver", "pathlib.NoSuchClass"])
def test_what_is_not_there_is_named_with_its_option(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^\[disk\] volume_driver: ") as refused:
        load_driver(*setup(tmp_path, volume_driver=name))
    assert repr(name) in str(refused.value)


def test_a_driver_of_ones_own_brings_its_options(tmp_path: Path) -> None:
    conf, found = setup(tmp_path, target_helper="fake")
    load_driver(conf, found)
    assert conf.disk.file_pool_path is None or isinstance(conf.disk.file_pool_path, str)
