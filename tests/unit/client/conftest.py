"""The client's commands against a server that answers as it is told."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.lab.told_server import Told, told_server
from volumed.client.cli import main


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Ended]


@pytest.fixture
def server() -> Iterator[Told]:
    with told_server() as told:
        yield told


@pytest.fixture
def run(server: Told, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command against ``server``."""

    def run_command(*words: str) -> Ended:
        try:
            status = main([*words, "--url", server.url])
        except SystemExit as error:
            status = int(error.code or 0)
        captured = capsys.readouterr()
        return Ended(status, captured.out, captured.err)

    return run_command
