"""``volumed doctor``: its exit status, and what it understands."""

from argparse import ArgumentParser
from typing import Any

import pytest

from volumed.client.doctor import answer_of, repair_options, wanted_repair
from volumed.client.rest import Misused

FINDING = {"id": "0123456789abcdef", "kind": "data.orphan", "evidence": "a file is nobody's", "repair": None}
BLIND = {"host": "node@disk", "reason": "the service is down"}


def examined(**more: Any) -> dict[str, Any]:
    return {"findings": [], "looked_at": ["node@disk"], "not_looked_at": []} | more


def repaired(state: str) -> dict[str, Any]:
    return {"finding": FINDING, "operation_id": "1", "operation": {"id": "1", "state": state, "error": None}}


@pytest.mark.parametrize(
    ("told", "status"),
    [
        (examined(), 0),
        (examined(findings=[FINDING]), 1),
        (examined(not_looked_at=[BLIND]), 2),
        (examined(findings=[FINDING], not_looked_at=[BLIND]), 2),
        (examined(repairs=[repaired("succeeded")]), 0),
        (examined(repairs=[repaired("failed")]), 1),
        (examined(repairs=[repaired("waiting")]), 1),
    ],
)
def test_the_exit_status_says_whether_all_is_well(told: dict[str, Any], status: int) -> None:
    assert answer_of(told).exit_status == status


@pytest.mark.parametrize(
    ("words", "body"),
    [
        ([], None),
        (["--repair", "0123456789abcdef"], {"repair": {"finding": "0123456789abcdef"}}),
        (["--repair", "--all"], {"repair": {"all": True}}),
    ],
)
def test_nothing_is_repaired_unless_it_is_said_what(words: list[str], body: dict[str, Any] | None) -> None:
    assert wanted_repair(_parsed(words)) == body


@pytest.mark.parametrize("words", [["--repair"], ["--all"], ["--repair", "0123456789abcdef", "--all"]])
def test_what_is_not_clear_is_refused(words: list[str]) -> None:
    with pytest.raises(Misused, match="--repair FINDING or --repair --all"):
        wanted_repair(_parsed(words))


def _parsed(words: list[str]) -> Any:
    parser = ArgumentParser()
    repair_options(parser)
    return parser.parse_args(words)
