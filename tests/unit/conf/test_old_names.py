"""A backend's group as an operator has it from Cinder: the older names are understood, and each is said to be old."""

import logging
from pathlib import Path
from types import SimpleNamespace

import pytest

from volumed import conf
from volumed.conf import verify
from volumed.driver import registry
from volumed.driver.interface import Owner
from volumed.driver.registry import Setup
from volumed.model.errors import ConfigurationError
from volumed_drivers.lvm.driver import LvmDriver
from volumed_drivers.targets.lio.target import LioTarget

OLD = """
[DEFAULT]
enabled_backends = lvm
[lvm]
volume_driver = cinder.volume.drivers.lvm.LVMVolumeDriver
volume_group = cinder-volumes
iscsi_helper = lioadm
iscsi_ip_address = 192.0.2.1
iscsi_port = 3261
iscsi_target_prefix = iqn.2001-01.org.example:
target_secondary_ip_addresses = 192.0.2.2,192.0.2.3
iscsi_protocol = iscsi
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "volumed.conf"
    path.write_text(OLD)
    return path


def test_the_older_names_stand_for_the_new_options_with_a_warning_each(
    file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    known = conf.load([file])
    setup = Setup("lvm", "node", Owner("deployment", "lvm"), known.lvm, tmp_path)
    driver = registry.load_driver(known, setup)
    assert isinstance(driver, LvmDriver)
    assert isinstance(driver._target, LioTarget)
    found = known.lvm
    assert (found.target_ip_address, found.target_port) == ("192.0.2.1", 3261)
    assert found.target_prefix == "iqn.2001-01.org.example:"
    assert found.iscsi_secondary_ip_addresses == ["192.0.2.2", "192.0.2.3"]
    assert (found.volume_group, found.target_protocol) == ("cinder-volumes", "iscsi")
    names = ("iscsi_helper", "iscsi_ip_address", "iscsi_port", "iscsi_target_prefix", "iscsi_protocol")
    for old in (*names, "lioadm", "LVMVolumeDriver"):
        assert old in caplog.text


def test_a_check_of_the_file_knows_the_older_names(file: Path) -> None:
    known = conf.load([file])
    options = {"DEFAULT": [SimpleNamespace(dest="enabled_backends", name="enabled_backends", deprecated_opts=[])]}
    options["lvm"] = [*dict(conf.list_opts())["backend"], *registry.driver_options(known.lvm.volume_driver)]
    verify.refuse_unknown(file, options)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("target_protocol = iser", r"\[lvm\] target_protocol: .*iscsi.*'iser'"),
        ("max_over_subscription_ratio = auto", r"\[lvm\] max_over_.*: 'auto' is not a number from 1 on"),
        ("lvm_max_over_subscription_ratio = auto", r"\[lvm\] lvm_max_over_.*: 'auto' is not a number from 1 on"),
        ("target_port = many", r"\[lvm\] target_port: 'many' is not a number from 0 to 65535"),
        ("lvm_max_over_subscription_ratio = 0.5", r"lvm_max_over_subscription_ratio: .*1"),
    ],
)
def test_what_is_not_done_as_there_is_refused_with_what_can_be_said_instead(
    tmp_path: Path, line: str, told: str
) -> None:
    path = tmp_path / "volumed.conf"
    path.write_text(f"[DEFAULT]\nenabled_backends = lvm\n[lvm]\nvolume_driver = lvm\n{line}\n")
    known = conf.load([path])
    known.register_opts(registry.driver_options("lvm"), group="lvm")
    with pytest.raises(ConfigurationError, match=told):
        verify.refuse_wrong_values(known, ["lvm"])
