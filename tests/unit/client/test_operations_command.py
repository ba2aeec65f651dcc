"""Where the options of ``volumed operations`` may stand."""

import pytest

from volumed.client import operations
from volumed.client.answer import UNREACHABLE
from volumed.client.cli import build_parser, main


@pytest.mark.parametrize(
    "words",
    [
        "--json --all-projects --resource v list",
        "list --json --all-projects --resource v",
        "--json list --all-projects --resource v",
    ],
)
def test_an_option_counts_before_and_behind_the_command(words: str) -> None:
    args = build_parser().parse_args(["operations", *words.split()])
    assert (args.json, args.all_projects, args.resource, args.watch) == (True, True, "v", False)
    assert args.run is operations.list_operations
    assert args.url.startswith("http")


@pytest.mark.parametrize("words", ["--watch", "list --watch", "--watch list"])
def test_watch_is_the_commands_own_and_the_lists(words: str) -> None:
    assert build_parser().parse_args(["operations", *words.split()]).watch


def test_a_server_that_has_never_answered_is_not_waited_for() -> None:
    assert main(["operations", "--watch", "--url", "http://127.0.0.1:1"]) == UNREACHABLE
