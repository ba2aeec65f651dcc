"""The units for systemd: systemd's own check finds nothing, and what they start exists."""

import re
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from volumed.cmd import service
from volumed.conf import operations
from volumed.conf import service as options
from volumed_drivers.helper import capabilities
from volumed_drivers.lvm import helper as lvm
from volumed_drivers.targets.lio import helper as lio

ROOT = Path(__file__).parents[2]
UNITS = sorted(unit for unit in (ROOT / "etc" / "systemd").iterdir() if unit.suffix in (".service", ".socket"))
OURS = [unit for unit in UNITS if not unit.name.startswith(("volumed-tgtd", "volumed-lio", "volumed-lvm"))]

#: What a verified unit must have; without one of these, systemd knows less than it could.
DEMANDED = (
    "Type=notify",
    "KillMode=mixed",
    "Restart=always",
    "NoNewPrivileges=yes",
    "ExecReload=/bin/kill -HUP $MAINPID",
)


@pytest.mark.part("systemd-analyze")
def test_systemd_finds_nothing_to_complain_about(tmp_path: Path) -> None:
    for unit in UNITS:
        text = unit.read_text().replace("/usr/bin/volumed-", f"{ROOT}/bin/volumed-")
        (tmp_path / unit.name).write_text(text.replace("User=volumed\nGroup=volumed\n", ""))
    names = [path.name.replace("@.", "@disk.") for path in sorted(tmp_path.iterdir())]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(str(tmp_path / name) for name in names)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, [line for line in done.stderr.splitlines() if str(tmp_path) in line]) == (0, [])


@pytest.mark.parametrize("unit", OURS, ids=lambda unit: unit.name)
def test_each_service_tells_systemd_and_is_started_by_a_command_that_exists(unit: Path) -> None:
    text = unit.read_text()
    assert [line for line in DEMANDED if line not in text.splitlines()] == []
    found = re.search(r"^ExecStart=/usr/bin/volumed-(\w+) --config-file /etc/volumed/volumed.conf", text, re.MULTILINE)
    assert found is not None
    assert found[1] in service.SERVICES
    assert (ROOT / "bin" / f"volumed-{found[1]}").exists()


@pytest.mark.parametrize(("name", "helper", "held"), [("lio", lio, {21}), ("lvm", lvm, {0, 2, 14, 19, 21, 23, 27})])
def test_a_helper_takes_the_options_and_holds_the_capabilities_that_its_unit_names(
    name: str, helper: ModuleType, held: set[int]
) -> None:
    unit = ROOT / "etc" / "systemd" / f"volumed-{name}.service"
    text = unit.read_text()
    words = re.search(r'^Environment=VOLUMED_\w+_OPTIONS="(.*)"$', text, re.MULTILINE)
    bound = re.search(r"^CapabilityBoundingSet=(.*)$", text, re.MULTILINE)
    assert words is not None
    assert bound is not None
    assert helper.options(words[1].split()).user == ["volumed"]
    assert {getattr(capabilities, word) for word in bound[1].split()} == held == set(helper.CAPABILITIES)
    assert f"ListenStream={helper.SOCKET}" in unit.with_suffix(".socket").read_text()
    assert (ROOT / "bin" / f"volumed-{name}").exists()


def test_systemd_waits_longer_than_the_launcher() -> None:
    defaults = {option.name: option.default for option in (*options.OPTIONS, *operations.OPTIONS)}
    for unit in (path for path in OURS if "volume" in path.name.removeprefix("volumed")):
        values = dict(line.split("=", 1) for line in unit.read_text().splitlines() if "=" in line)
        assert float(values["TimeoutStopSec"]) > defaults["graceful_shutdown_timeout"] + 10
        assert float(values["WatchdogSec"]) > defaults["stuck_timeout"]
