"""The small words of the API: versions, times, tokens, rules."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volumed import conf
from volumed.api import microversions, moments
from volumed.api.policies import volumes as policies
from volumed.api.policy import Policy
from volumed.api.views.attachments import detail, listed
from volumed.identity.noauth import NoAuth
from volumed.model.context import RequestContext
from volumed.model.credentials import new_credentials
from volumed.model.errors import Forbidden, Invalid
from volumed.model.records import Attachment


@pytest.mark.parametrize(
    ("header", "minor"),
    [
        *((None, 0), ("", 0), ("volume 3.0", 0), ("volume 3.27", 27), ("volume latest", 66), ("compute 2.90", 0)),
        *(("compute 2.90, volume 3.44", 44), ("Volume 3.1", 1), (" volume  3.66 ", 66)),
    ],
)
def test_versions_that_are_understood(header: str | None, minor: int) -> None:
    assert microversions.minor_of(header) == minor


@given(st.integers(0, 4 * 10**15))
def test_a_time_that_was_told_is_read_again(time: int) -> None:
    told = moments.spelled(time)
    assert told is not None
    assert moments.read(told, "created_at") == time


@pytest.mark.parametrize(
    ("text", "time"),
    [("1970-01-01T00:00:01", 1_000_000), ("1970-01-01T01:00:00+01:00", 0), ("1970-01-02", 86_400_000_000)],
)
def test_times_with_and_without_zones(text: str, time: int) -> None:
    assert moments.read(text, "created_at") == time


@pytest.mark.parametrize("text", ["", "soon", "1970-13-01", "0001-01-01T00:00:00+23:59"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        moments.read(text, "created_at")


@pytest.mark.parametrize(
    ("token", "who"),
    [
        ("alice:p1", ("alice", "p1", False)),
        ("admin:p1", ("admin", "p1", True)),
        ("alice", ("alice", "alice", False)),
        ("alice:p:q", ("alice", "p:q", False)),
    ],
)
def test_a_token_says_who_asks(token: str, who: tuple[str, str, bool]) -> None:
    caller = NoAuth().caller({"HTTP_X_AUTH_TOKEN": token}, "req-1", None)
    assert caller is not None
    assert (caller.user_id, caller.project_id, caller.is_admin) == who


@pytest.mark.parametrize("token", [None, "", "  ", ":p", "x" * 192, "x:" + "y" * 192])
def test_a_token_that_says_nothing_is_nobodys(token: str | None) -> None:
    environ = {} if token is None else {"HTTP_X_AUTH_TOKEN": token}
    assert NoAuth().caller(environ, "req-1", None) is None


def test_an_operators_file_replaces_a_rule(tmp_path: Path) -> None:
    tmp_path.joinpath("policy.yaml").write_text('"volume:delete": "role:keeper"\n')
    settings = conf.load()
    policy = Policy(settings, str(tmp_path / "policy.yaml"))
    owner = RequestContext("u", "p", False, "r", ("member",))
    keeper = RequestContext("u", "p", False, "r", ("keeper",))
    assert policy.allows(owner, policies.CREATE)
    assert policy.allows(keeper, policies.DELETE)
    with pytest.raises(Forbidden):
        policy.enforce(owner, policies.DELETE)
    assert not policy.allows(owner, policies.GET, "another")


def test_credentials_are_long_and_never_the_same() -> None:
    made = [new_credentials() for _ in range(50)]
    words = [word for pair in made for word in pair.values()]
    assert len(set(words)) == 100
    assert min(map(len, words)) >= 16
    assert all(word.isalnum() for word in words)


def test_only_one_view_of_an_attachment_has_its_secret() -> None:
    attachment = Attachment(
        *("a", "p", "u", "v", None, "attached", "rw", None, {}),
        {"driver_volume_type": "iscsi", "data": {"target_lun": 1, "auth_method": "CHAP"}},
        {"username": "name", "password": "secret"},
        *(None, 1, 1, 1),
    )
    assert "secret" in str(detail(attachment))
    assert "secret" not in str(listed(attachment))
    assert "secret" not in str(attachment.connection_info)
