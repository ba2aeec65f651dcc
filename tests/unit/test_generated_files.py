"""What is generated from the code is up to date in the repository."""

import socket
from pathlib import Path

import pytest

from volumed.cmd.generate import generated

ROOT = Path(__file__).parents[2]
FILES = [
    *(
        "etc/volumed.conf.sample",
        "etc/policy.yaml.sample",
        "docs/configuration.md",
        "docs/requests.md",
        "docs/openapi.json",
    ),
]


@pytest.mark.parametrize("name", FILES)
def test_a_generated_file_is_up_to_date(name: str) -> None:
    assert (ROOT / name).read_text() == generated()[name], "run `make docs`"


def test_nothing_of_this_machine_is_in_it() -> None:
    for name, text in generated().items():
        assert str(ROOT) not in text, name
        assert f"host = {socket.gethostname()}\n" not in text, name
