"""docs/rpc.md says what the endpoints have."""

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from volumed.model.context import RequestContext
from volumed.scheduler.manager import SchedulerManager
from volumed.volume.diagnosis import DiagnosisEndpoint
from volumed.volume.manager import VolumeManager
from volumed.volume.operation_endpoint import OperationEndpoint

TEXT = (Path(__file__).parents[3] / "docs" / "rpc.md").read_text()


@pytest.mark.parametrize(
    ("manager", "title"),
    [
        (VolumeManager, "Volume manager"),
        (DiagnosisEndpoint, "Diagnosis"),
        (OperationEndpoint, "Operations"),
        (SchedulerManager, "Scheduler"),
    ],
    ids=["volume", "diagnosis", "operations", "scheduler"],
)
def test_every_method_is_described_with_its_arguments(manager: Any, title: str) -> None:
    section = TEXT.partition(f"## {title}, version {manager.RPC_VERSION}")[2].partition("\n## ")[0]
    described = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", section, re.MULTILINE))
    assert set(described) == set(manager.RPC_METHODS)
    for name, arguments in described.items():
        parameters = list(inspect.signature(getattr(manager, name)).parameters.values())[2:]
        expected = [each.name if each.default is each.empty else f"{each.name}={each.default}" for each in parameters]
        assert re.findall(r"`([^`]+)`", arguments) == expected, name


def test_every_key_of_the_context_is_described() -> None:
    keys = RequestContext(user_id="u", project_id="p", is_admin=False, request_id="r").to_dict()
    for key in keys:
        assert f"| `{key}` |" in TEXT
