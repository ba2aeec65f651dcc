"""Mutated messages to a real volume manager and a real scheduler over the in-process transport, and repeated ones.

A mutation makes a message invalid: the answer is an error of ours that says so, and no row changes. ``VOLUMED_FUZZ``
says how many messages, ``VOLUMED_SEED`` says the same ones again.
"""

import copy
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import oslo_messaging
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.functional.rpc import test_bare_rpc
from tests.functional.rpc.test_bare_rpc import CALLER, CONNECTOR, Rig
from tests.lab.generated_requests import CASES, SEED
from volumed.db import operations, tables, volumes
from volumed.model.states import VolumeStatus
from volumed.rpc import scheduler_client, volume_client
from volumed.rpc.scheduler_client import SchedulerClient
from volumed.rpc.volume_client import VolumeClient

rig = test_bare_rpc.rig

#: What a message that is wrong is answered with.
REFUSALS = frozenset(
    {"InvalidMessage", "NoSuchMethod", "UnsupportedVersion", "InvalidField", "InvalidStatus", "NotFound", "Invalid"}
)

#: Tables that change by themselves while nothing is asked.
RESTLESS = frozenset({"services"})

Message = dict[str, Any]

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats(allow_nan=False) | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)
_NOT_TEXT = _JSON.filter(lambda value: not isinstance(value, str | None))
_NOT_OBJECT = _JSON.filter(lambda value: not isinstance(value, dict | None))
_UNPLAIN = st.sampled_from(["a\0b", "\0", "\ud800", "x\udfffy"])
_VERSIONS = st.sampled_from(
    ["2.0", "0.9", "1.99", "1", "1.", ".1", "1.0.0", "-1.0", " 1.0", "1.0\n", "x", "", "9" * 99]
)
_UNKNOWN_ID = st.builds(lambda: str(uuid.uuid4())) | st.sampled_from(["", "x", "' OR 1=1 --", "a" * 5000, "../../etc"])

Mutation = Callable[[Message, Message], None]


def _put(where: str, key: str, value: Any) -> Mutation:
    def mutate(message: Message, context: Message) -> None:
        target = {"message": message, "context": context, "args": message.get("args")}[where]
        if isinstance(target, dict):
            target[key] = value

    return mutate


def _drop_volume(message: Message, context: Message) -> None:
    message["args"].pop("volume_id", None)


_CONTEXT_TEXTS = st.sampled_from(["user_id", "project_id", "request_id", "global_request_id"])
MUTATIONS = st.one_of(
    st.builds(_put, st.just("message"), st.just("version"), _VERSIONS | _NOT_TEXT),
    st.builds(_put, st.just("message"), st.just("namespace"), _JSON.filter(lambda value: value is not None)),
    st.builds(
        _put,
        st.just("message"),
        st.just("method"),
        _JSON | st.sampled_from(["__init__", "init_host", "stop", "_look", "service", "create_volume ", "RPC_METHODS"]),
    ),
    st.builds(_put, st.just("message"), st.just("args"), _NOT_OBJECT | st.just({})),
    st.builds(_put, st.just("args"), st.just("volume_id"), _NOT_TEXT | _UNPLAIN | _UNKNOWN_ID | st.none()),
    st.builds(_put, st.just("args"), st.just("operation_id"), _NOT_TEXT | _UNPLAIN),
    st.builds(_put, st.just("args"), st.text(min_size=1, max_size=8).map("no_such_".__add__), _JSON),
    st.builds(_put, st.just("context"), _CONTEXT_TEXTS, _NOT_TEXT | _UNPLAIN),
    st.builds(_put, st.just("context"), st.just("is_admin"), st.text() | st.integers() | st.lists(st.none())),
    st.builds(_put, st.just("context"), st.just("roles"), st.text(min_size=1) | st.integers() | st.just({"a": 1})),
    st.just(_drop_volume),
)

#: Methods with arguments that would do something, about a volume that is there.
VOLUME_MESSAGES: dict[str, Message] = {
    "create_volume": {},
    "delete_volume": {},
    "extend_volume": {"new_size": 2},
    "create_snapshot": {"snapshot_id": "11111111-1111-4111-8111-111111111111"},
    "initialize_connection": {"connector": CONNECTOR},
    "terminate_connection": {"connector": CONNECTOR},
    "attach_volume": {"instance_uuid": "11111111-1111-4111-8111-111111111111", "mountpoint": "/dev/vdb"},
    "detach_volume": {},
}


def few(cases: int) -> Any:
    """Hypothesis' settings and seed for so many messages."""

    def wrap(run: Any) -> Any:
        print(f"VOLUMED_SEED={SEED} says the same messages again")
        quiet = settings(
            max_examples=cases,
            database=None,
            deadline=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )
        return seed(SEED)(quiet(run))

    return wrap


def send(rig: Rig, message: Any, context: Any, topic: str, server: str | None) -> Any:
    """Put a message on the bus as it is, and wait for the answer."""
    target = oslo_messaging.Target(exchange="volumed", topic=topic, server=server)
    return rig.messenger._transport._send(target, context, message, wait_for_reply=True, timeout=20)


def end_of(rig: Rig, message: Any, context: Any, topic: str, server: str | None) -> Any:
    """The answer to a message, or the name of the family of the error that it was refused with."""
    try:
        return send(rig, message, context, topic, server)
    except Exception as error:
        families = REFUSALS.intersection(each.__name__ for each in type(error).__mro__)
        if not families:
            raise AssertionError(f"{message!r} of {context!r} was answered with {error!r}") from error
        return min(families)


def rows(rig: Rig) -> dict[str, list[Any]]:
    """Everything that is in the database."""
    with rig.database.reading() as tx:
        return {
            table.name: sorted(map(repr, tx.execute(table.select())))
            for table in tables.METADATA.sorted_tables
            if table.name not in RESTLESS
        }


@pytest.mark.parametrize("method", VOLUME_MESSAGES)
def test_a_mutated_message_to_a_manager_is_refused_and_changes_nothing(rig: Rig, method: str) -> None:
    volume_id = rig.finished_volume()
    before = rows(rig)

    @few(max(20, CASES // 16))
    @given(mutate=MUTATIONS)
    def run(mutate: Mutation) -> None:
        args = {"volume_id": volume_id, **copy.deepcopy(VOLUME_MESSAGES[method])}
        message: Message = {"method": method, "version": "1.4", "args": args}
        context = CALLER.to_dict()
        mutate(message, context)
        assert end_of(rig, message, context, volume_client.TOPIC, rig.host) in REFUSALS, (message, context)

    run()
    assert rig.call("service_version")["service"] == "volumed-volume"
    assert rows(rig) == before


@pytest.fixture
def scheduler(rig: Rig) -> Iterator[str]:
    """The host of a real scheduler on the same bus."""
    from volumed.launch.service import Identity, Service
    from volumed.rpc.transport import make_transport
    from volumed.scheduler.manager import SchedulerManager

    conf = rig.messenger._transport.conf
    manager = SchedulerManager(conf, rig.database, VolumeClient(rig.messenger), "node")
    identity = Identity("volumed-scheduler", scheduler_client.TOPIC, "node", "nova", str(uuid.uuid4()))
    service = Service(conf, rig.database, identity, manager, make_transport(conf))
    service.start()
    service.wait_until_started()
    yield "node"
    service.stop()
    service.wait()


def test_a_mutated_message_to_a_scheduler_is_refused_and_changes_nothing(rig: Rig, scheduler: str) -> None:
    volume_id = rig.finished_volume()
    before = rows(rig)
    report = {"service_name": "disk", "host": "other@disk", "capabilities": {"pools": []}}
    of_method = {"create_volume": {"volume_id": volume_id}, "update_service_capabilities": report, "get_pools": {}}
    known = st.sampled_from(sorted(of_method))

    @few(max(20, CASES // 8))
    @given(method=known, mutation=MUTATIONS, changed=_JSON, field=st.sampled_from(["host", "capabilities"]))
    def run(method: str, mutation: Mutation, changed: Any, field: str) -> None:
        message: Message = {"method": method, "version": "1.4", "args": copy.deepcopy(of_method[method])}
        context = CALLER.to_dict()
        if method == "update_service_capabilities":
            message["args"][field] = changed
        mutation(message, context)
        answer = end_of(rig, message, context, scheduler_client.TOPIC, scheduler)
        # A create of a volume that is not there is a wake-up call that wakes nobody.
        assert answer is None or isinstance(answer, list) or answer in REFUSALS

    run()
    assert SchedulerClient(rig.messenger).get_pools(CALLER, {}) is not None
    assert rows(rig) == before


@pytest.mark.parametrize("message", [{}, {"method": None}, {"args": {}}, {"method": ["a"]}])
def test_what_is_no_message_is_refused(rig: Rig, message: Any) -> None:
    assert end_of(rig, message, CALLER.to_dict(), volume_client.TOPIC, rig.host) == "NoSuchMethod"
    assert rig.call("service_version")


def test_a_thousand_repeated_casts_have_one_effect(rig: Rig) -> None:
    volume_id = rig.volume()
    for _ in range(1000):
        rig.messenger.cast(
            CALLER, volume_client.TOPIC, "create_volume", {"volume_id": volume_id}, version="1.4", server=rig.host
        )
    rig.until(lambda: rig.read(volumes.get, volume_id).status == "available")
    rig.call("service_version")
    (made,) = rig.read(lambda tx: test_bare_rpc.operations_of(tx, volume_id))
    assert (made.kind, made.state, made.claims) == ("volume.create", "succeeded", 1)
    operation_id = str(uuid.uuid4())
    arguments = {"volume_id": volume_id, "operation_id": operation_id}
    new = operations.NewOperation(
        operation_id, "volume.delete", "volume", volume_id, volume_id, "p", "u", "req-rpc", rig.host
    )
    rig.database.write(volumes.move, volume_id, VolumeStatus.AVAILABLE, VolumeStatus.DELETING)
    rig.database.write(operations.add, new)
    for _ in range(1000):
        rig.messenger.cast(CALLER, volume_client.TOPIC, "delete_volume", arguments, version="1.4", server=rig.host)
    rig.until(lambda: rig.read(volumes.find, volume_id) is None)
    rig.call("service_version")
    assert rig.read(operations.get, operation_id).claims == 1
    assert len(rig.read(lambda tx: test_bare_rpc.operations_of(tx, volume_id))) == 2
