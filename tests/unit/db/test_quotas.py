"""Quota by construction: whoever races, the use never passes the limit and is the sum of what was accepted."""

import uuid
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.lab import databases
from volumed.db import quota_reports, quotas
from volumed.db.engine import Database
from volumed.model import quota_use
from volumed.model.errors import QuotaExceeded

DEFAULTS = {"volumes": 10, "gigabytes": 100}
ONE = {"volumes": 1, "gigabytes": 7}


def spend(
    database: Database, deltas: Mapping[str, int], project: str = "p", defaults: Mapping[str, int] = DEFAULTS
) -> bool:
    """Spend as an accepted request does; whether the quota allowed it."""
    while True:
        try:
            database.write(quotas.change, project, deltas, defaults)
            return True
        except quotas.MissingRows as missing:
            quotas.ensure_rows(database, missing)
        except QuotaExceeded:
            return False


def in_use(database: Database, resource: str, project: str = "p") -> int:
    with database.reading() as tx:
        return quotas.usage(tx, project, {resource: 0}, {}).get(resource, (0, 0))[0]


def test_sixteen_threads_at_the_limit_never_pass_it(database: Database, at_once: Callable[..., list[Any]]) -> None:
    accepted = at_once(lambda number: sum(spend(database, ONE) for _ in range(3)))
    assert sum(accepted) == 10
    assert (in_use(database, "volumes"), in_use(database, "gigabytes")) == (10, 70)


def test_the_first_requests_of_a_project_race_and_all_are_counted(
    database: Database, at_once: Callable[..., list[Any]]
) -> None:
    assert at_once(lambda number: spend(database, {"volumes": 1}, f"p{number % 2}"), count=12) == [True] * 12
    assert (in_use(database, "volumes", "p0"), in_use(database, "volumes", "p1")) == (6, 6)


@databases.only("postgresql", "mariadb")
def test_what_is_given_back_between_the_refusal_and_its_explanation_is_no_way_past_the_count(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert spend(database, {"volumes": 10})
    explained = quotas.usage

    def give_back_before(*arguments: Any) -> Any:
        monkeypatch.setattr(quotas, "usage", explained)
        database.write(quotas.adjust, "p", {"volumes": -1})
        return explained(*arguments)

    monkeypatch.setattr(quotas, "usage", give_back_before)
    assert spend(database, {"volumes": 1})
    assert in_use(database, "volumes") == 10


def test_sixteen_first_uses_without_a_check_are_all_counted(
    database: Database, at_once: Callable[..., list[Any]]
) -> None:
    at_once(lambda number: database.write(quotas.adjust, "p", {"volumes": 1, "gigabytes": 2}))
    assert (in_use(database, "volumes"), in_use(database, "gigabytes")) == (16, 32)


def test_a_refusal_changes_nothing_and_tells_both_numbers(database: Database) -> None:
    assert spend(database, {"volumes": 9, "gigabytes": 99})
    with pytest.raises(QuotaExceeded) as refused:
        database.write(quotas.change, "p", ONE, DEFAULTS)
    assert refused.value.fields["resource"] == "gigabytes"
    assert "7 more gigabytes asked, 99 of 100 in use by project p" in str(refused.value)
    assert (in_use(database, "volumes"), in_use(database, "gigabytes")) == (9, 99)


def test_without_a_limit_everything_is_accepted(database: Database) -> None:
    assert spend(database, {"volumes": 10**6}, defaults={"volumes": quotas.UNLIMITED})
    assert spend(database, {"volumes": 1}, defaults={})


def test_a_limit_of_zero_accepts_nothing(database: Database) -> None:
    assert not spend(database, {"volumes": 1}, defaults={"volumes": 0})


def test_a_type_has_a_limit_of_its_own(database: Database) -> None:
    database.write(quota_reports.set_defaults, {"volumes_fast": 1})
    assert spend(database, quota_use.of_volume(1, "fast"))
    assert not spend(database, quota_use.of_volume(1, "fast"))
    assert spend(database, quota_use.of_volume(1, "slow"))
    assert (in_use(database, "volumes"), in_use(database, "volumes_fast")) == (2, 1)


def test_the_projects_own_limit_wins_over_the_stored_default_and_that_over_the_configured_one(
    database: Database,
) -> None:
    database.write(quota_reports.set_defaults, {"volumes": 2})
    assert spend(database, {"volumes": 2})
    assert not spend(database, {"volumes": 1})
    database.write(quota_reports.set_limits, "p", {"volumes": 3})
    assert spend(database, {"volumes": 1})
    assert not spend(database, {"volumes": 1})


def test_above_a_lowered_limit_nothing_is_added_but_everything_can_be_given_back(database: Database) -> None:
    assert spend(database, {"volumes": 5})
    database.write(quota_reports.set_limits, "p", {"volumes": 2})
    assert not spend(database, {"volumes": 1})
    assert spend(database, {"volumes": -1})
    assert in_use(database, "volumes") == 4


def test_what_is_given_back_of_what_was_never_counted_makes_its_row(database: Database) -> None:
    database.write(quotas.adjust, "p", quota_use.of_volume(2, "fast"))
    assert in_use(database, "gigabytes_fast") == 2
    database.write(quotas.adjust, "p", quota_use.negative(quota_use.of_volume(2, "fast")))
    assert in_use(database, "gigabytes_fast") == 0


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(-3, 5), st.integers(-20, 40)), max_size=8))
def test_the_use_is_the_sum_of_what_was_accepted(database: Database, changes: list[tuple[int, int]]) -> None:
    project, counted = str(uuid.uuid4()), [0, 0]
    for volumes, gigabytes in changes:
        if spend(database, {"volumes": volumes, "gigabytes": gigabytes}, project):
            counted = [counted[0] + volumes, counted[1] + gigabytes]
            assert volumes <= 0 or counted[0] <= 10
            assert gigabytes <= 0 or counted[1] <= 100
    assert [in_use(database, "volumes", project), in_use(database, "gigabytes", project)] == counted
