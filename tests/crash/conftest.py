"""What crash tests share: each tells its cases, and ``make crash`` ends with a report of them."""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

_CASES = "crash cases"


@pytest.fixture
def cases(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """A test appends a word for each case that it has come through."""
    told: list[str] = []
    yield told
    request.node.user_properties.append((_CASES, len(told)))


@dataclass
class _Row:
    cases: int = 0
    failures: int = 0
    seconds: float = 0.0


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Cases, failures and seconds of each scenario."""
    rows: dict[str, _Row] = defaultdict(_Row)
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            row = rows[_subject(report.nodeid)]
            row.seconds += report.duration
            row.failures += outcome == "failed"
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", "") == "teardown":
                rows[_subject(report.nodeid)].cases += dict(report.user_properties).get(_CASES, 0)
    told = sorted((subject, row) for subject, row in rows.items() if row.cases or row.failures)
    if told:
        terminalreporter.section("crash matrix")
        terminalreporter.write_line(f"{'cases':>6} {'failures':>9} {'seconds':>8}  scenario")
        for subject, row in told:
            terminalreporter.write_line(f"{row.cases:>6} {row.failures:>9} {row.seconds:>8.0f}  {subject}")


def _subject(nodeid: str) -> str:
    """The test without its module, and its scenario without the part's number."""
    return re.sub(r"-\d+\]$", "]", nodeid.rpartition("::")[2])
