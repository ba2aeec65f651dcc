"""The table of requests: every status gets one of three answers, and a refusal is said in OpenStack's words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volumed.model.errors import InvalidStatus
from volumed.model.requests import ATTACHMENT_REQUESTS, SNAPSHOT_REQUESTS, VOLUME_REQUESTS, Answer, judge
from volumed.model.states import AttachStatus, SnapshotStatus, VolumeStatus

TABLES = {
    "volume": (VOLUME_REQUESTS, VolumeStatus),
    "snapshot": (SNAPSHOT_REQUESTS, SnapshotStatus),
    "attachment": (ATTACHMENT_REQUESTS, AttachStatus),
}

CASES = [
    (resource, request, str(status))
    for resource, (requests, statuses) in TABLES.items()
    for request in requests
    for status in statuses
]


@given(st.sampled_from(CASES))
def test_every_status_runs_joins_or_is_refused_with_what_is_allowed(case: tuple[str, str, str]) -> None:
    resource, request, status = case
    answers = TABLES[resource][0][request]
    if status in answers:
        assert judge(resource, "x", request, status) is answers[status]
        return
    with pytest.raises(InvalidStatus) as refused:
        judge(resource, "x", request, status)
    allowed = [known for known, answer in answers.items() if answer is Answer.RUN]
    assert str(refused.value).startswith(f"Invalid {resource}: {resource} status must be {' or '.join(allowed)}, but")
    assert str(refused.value).endswith(f"{resource} x is {status}.")


@pytest.mark.parametrize("resource", TABLES)
def test_the_tables_name_only_statuses_that_exist(resource: str) -> None:
    requests, statuses = TABLES[resource]
    assert all(status in set(statuses) for answers in requests.values() for status in answers)


@pytest.mark.parametrize("request_name", ["delete", "extend", "snapshot", "clone", "attach", "reset"])
@pytest.mark.parametrize("status", ["creating", "extending", "attaching"])
def test_nothing_runs_on_a_volume_in_transit(request_name: str, status: str) -> None:
    with pytest.raises(InvalidStatus):
        judge("volume", "x", request_name, status)


def test_a_delete_of_what_is_being_deleted_joins() -> None:
    assert judge("volume", "x", "delete", "deleting") is Answer.JOIN
    assert judge("snapshot", "x", "delete", "deleting") is Answer.JOIN
    assert judge("attachment", "x", "delete", "detaching") is Answer.JOIN


@pytest.mark.parametrize("status", ["error", "error_deleting", "error_extending"])
def test_a_volume_in_error_may_always_be_deleted(status: str) -> None:
    assert judge("volume", "x", "delete", status) is Answer.RUN
