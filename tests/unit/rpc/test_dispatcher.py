"""Which messages reach a method, and what the others are answered with."""

import uuid
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volumed import conf as configuration
from volumed.model import subject
from volumed.model.context import RequestContext
from volumed.model.errors import InternalError, InvalidMessage, NoSuchMethod, NotFound, UnsupportedVersion, VolumedError
from volumed.model.subject import Subject
from volumed.rpc.dispatcher import RpcDispatcher
from volumed.rpc.messenger import Messenger
from volumed.rpc.transport import make_server, make_transport

CONTEXT = RequestContext(user_id="u", project_id="p", is_admin=False, request_id="req-1")


class Volumes:
    RPC_VERSION = "1.4"
    RPC_METHODS = ("extend", "fail", "break_down", "who")

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def extend(self, context: RequestContext, volume_id: str, new_size: int = 1) -> str:
        self.calls.append((volume_id, new_size))
        return f"{volume_id} has {new_size}"

    def who(self, context: RequestContext) -> list[Any]:
        return [context.user_id, context.project_id, context.is_admin]

    def fail(self, context: RequestContext) -> None:
        raise NotFound(resource_type="volume", resource_id="v1")

    def break_down(self, context: RequestContext) -> None:
        raise KeyError("secret")

    def wipe_everything(self, context: RequestContext) -> None:
        self.calls.append("wiped")


class NextVolumes:
    RPC_VERSION = "2.1"
    RPC_METHODS = ("extend", "only_next")

    def extend(self, context: RequestContext, volume_id: str) -> str:
        return "next"

    def only_next(self, context: RequestContext) -> str:
        return "next"


def message(method: Any = "extend", version: Any = "1.4", **fields: Any) -> dict[str, Any]:
    return {"method": method, "version": version, "args": {"volume_id": "v1"}, **fields}


#: What is sent, to which endpoints, and what comes of it.
TABLE = [
    ("the same version", message(), 1, "v1 has 1"),
    ("a lower minor", message(version="1.0"), 1, "v1 has 1"),
    ("a higher minor", message(version="1.5"), 1, UnsupportedVersion),
    ("another major", message(version="2.0"), 1, UnsupportedVersion),
    ("no version counts as 1.0", {"method": "extend", "args": {"volume_id": "v1"}}, 1, "v1 has 1"),
    ("a version that is null", message(version=None), 1, "v1 has 1"),
    ("garbage for a version", message(version="one.two"), 1, UnsupportedVersion),
    ("a negative version", message(version="-1.0"), 1, UnsupportedVersion),
    ("three parts", message(version="1.4.0"), 1, UnsupportedVersion),
    ("a number", message(version=1.4), 1, UnsupportedVersion),
    ("a foreign namespace", message(namespace="other"), 1, UnsupportedVersion),
    ("no such method", message("shrink"), 1, NoSuchMethod),
    ("a method that is not listed", message("wipe_everything"), 1, NoSuchMethod),
    ("a method of every object", message("__init__"), 1, NoSuchMethod),
    ("no method at all", {"version": "1.0"}, 1, NoSuchMethod),
    ("two endpoints, the first serves", message(), 2, "v1 has 1"),
    ("two endpoints, the second serves", message(version="2.0"), 2, "next"),
    ("two endpoints, the method is the other's", message("only_next", version="1.0"), 2, NoSuchMethod),
    ("two endpoints, none serves", message(version="3.0"), 2, UnsupportedVersion),
    ("an unknown argument", message(args={"volume_id": "v1", "colour": "red"}), 1, InvalidMessage),
    ("a missing argument", message(args={}), 1, InvalidMessage),
    ("arguments without names", message(args=["v1"]), 1, InvalidMessage),
    ("an argument in the context's place", message(args={"volume_id": "v1", "context": {}}), 1, InvalidMessage),
]


def endpoints(count: int) -> list[Any]:
    return [Volumes(), NextVolumes()][:count]


@pytest.mark.parametrize(("sent", "count", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_a_message_is_answered_as_its_version_and_method_say(sent: Any, count: int, expected: Any) -> None:
    parts = endpoints(count)
    dispatcher = RpcDispatcher(parts)
    if isinstance(expected, str):
        assert dispatcher.answer(sent, CONTEXT.to_dict()) == expected
        return
    with pytest.raises(expected):
        dispatcher.answer(sent, CONTEXT.to_dict())
    assert parts[0].calls == []


@pytest.fixture
def connected() -> Iterator[tuple[Messenger, str]]:
    """A messenger, and the topic on which both endpoints listen over the in-process broker."""
    conf = configuration.load()
    transports = []

    def transport() -> Any:
        transports.append(make_transport(conf))
        return transports[-1]

    from volumed.rpc.transport import register_options

    register_options(conf)
    conf.set_default("transport_url", f"kombu+in-process:///{uuid.uuid4().hex}")
    server = make_server(transport(), "volumed", "topic", "host@backend", RpcDispatcher(endpoints(2)))
    server.start(override_pool_size=2)
    yield Messenger(transport(), "volumed", 10), "topic"
    server.stop()
    server.wait()
    for each in transports:
        each.cleanup()


@pytest.mark.parametrize("server", [None, "host@backend"])
def test_the_same_holds_over_the_wire(connected: tuple[Messenger, str], server: str | None) -> None:
    messenger, topic = connected

    def call(method: str, version: str, **arguments: Any) -> Any:
        return messenger.call(CONTEXT, topic, method, arguments, version, server=server)

    assert call("extend", "1.4", volume_id="v1", new_size=3) == "v1 has 3"
    assert call("extend", "2.0", volume_id="v1") == "next"
    assert call("who", "1.0") == ["u", "p", False]
    for method, version, arguments, expected in (
        ("extend", "1.5", {"volume_id": "v1"}, UnsupportedVersion),
        ("shrink", "1.0", {}, NoSuchMethod),
        ("wipe_everything", "1.0", {}, NoSuchMethod),
        ("extend", "1.0", {"colour": "red"}, InvalidMessage),
    ):
        with pytest.raises(expected) as caught:
            call(method, version, **arguments)
        assert type(caught.value) is expected
        assert "Traceback" not in str(caught.value)


def test_an_error_arrives_as_it_was_raised_with_its_fields(connected: tuple[Messenger, str]) -> None:
    messenger, topic = connected
    with pytest.raises(NotFound) as caught:
        messenger.call(CONTEXT, topic, "fail", {}, "1.4")
    assert str(caught.value) == "volume v1 could not be found."
    assert caught.value.fields == {"resource_type": "volume", "resource_id": "v1"}


def test_what_nobody_foresaw_is_logged_here_and_told_without_its_details(
    connected: tuple[Messenger, str], caplog: pytest.LogCaptureFixture
) -> None:
    messenger, topic = connected
    with pytest.raises(InternalError) as caught:
        messenger.call(CONTEXT, topic, "break_down", {}, "1.4")
    assert "secret" not in str(caught.value)
    assert "KeyError: 'secret'" in caplog.text


def test_an_endpoint_that_lists_what_it_has_not_is_refused() -> None:
    class Wrong:
        RPC_VERSION = "1.0"
        RPC_METHODS = ("absent",)

    with pytest.raises(AttributeError):
        RpcDispatcher([Wrong()])


@pytest.mark.parametrize(
    "context",
    [None, [], "admin", {"is_admin": "false"}, {"user_id": 7}, {"roles": "admin"}, {"request_id": ["req"]}],
    ids=repr,
)
def test_a_context_that_is_garbage_is_refused_before_the_method(context: Any) -> None:
    volumes = Volumes()
    with pytest.raises(InvalidMessage):
        RpcDispatcher([volumes]).answer(message(), context)
    assert volumes.calls == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(sent=JSON | st.fixed_dictionaries({"method": JSON, "version": JSON, "args": JSON}), context=JSON)
def test_whatever_is_sent_ends_in_an_answer_or_an_error_of_ours(sent: Any, context: Any) -> None:
    volumes = Volumes()
    try:
        RpcDispatcher([volumes]).answer(sent, context)
    except VolumedError:
        assert volumes.calls == []


@given(
    served=st.tuples(st.integers(0, 99), st.integers(0, 99)), asked=st.tuples(st.integers(0, 99), st.integers(0, 99))
)
def test_a_version_is_served_by_the_same_major_with_at_least_its_minor(
    served: tuple[int, int], asked: tuple[int, int]
) -> None:
    class Some(Volumes):
        RPC_VERSION = f"{served[0]}.{served[1]}"

    try:
        RpcDispatcher([Some()]).answer(message(version=f"{asked[0]}.{asked[1]}"), CONTEXT.to_dict())
        answered = True
    except UnsupportedVersion:
        answered = False
    assert answered == (asked[0] == served[0] and asked[1] <= served[1])


def test_what_a_method_logs_is_about_the_request_and_the_operation_of_its_message() -> None:
    class Seen(Volumes):
        RPC_METHODS = ("wake",)

        def wake(self, context: RequestContext, operation_id: str = "") -> None:
            self.calls.append(subject.current())

    seen = Seen()
    for operation_id in ("op-1", "op-2\nforged line"):
        incoming = SimpleNamespace(message=message("wake", args={"operation_id": operation_id}), ctxt=CONTEXT.to_dict())
        RpcDispatcher([seen]).dispatch(incoming)
    assert seen.calls == [Subject("req-1", "op-1"), Subject("req-1", None)]
    assert subject.current() == subject.NOTHING
