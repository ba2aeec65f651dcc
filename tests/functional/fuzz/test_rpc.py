"""Mutated messages to a real volume manager and a real scheduler over the in-process transport, and repeated ones.

A mutation makes a message invalid: the answer is an error of ours that says so, and no row changes. Every run sends the
same; ``VOLUMED_FUZZ`` says how many (four for each request), ``VOLUMED_SEED`` says others.
"""

import copy
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import oslo_messaging
import pytest
from kombu import Connection, Producer

from tests.functional.rpc import test_bare_rpc
from tests.lab.bare_rig import CALLER, CONNECTOR, Rig, bare_rig
from tests.lab.generated_requests import SEED
from tests.lab.mutated_messages import MESSAGES, Envelope, Message, dice_of, envelopes, json_value, mutate, sealed
from volumed.db import operations, tables, volumes
from volumed.model.states import VolumeStatus
from volumed.rpc import in_process, scheduler_client, volume_client
from volumed.rpc.scheduler_client import SchedulerClient
from volumed.rpc.volume_client import VolumeClient

pytestmark = pytest.mark.embedded_only("it runs on a service in this process")

#: What a message that is wrong is answered with.
REFUSALS = frozenset(
    {"InvalidMessage", "NoSuchMethod", "UnsupportedVersion", "InvalidField", "InvalidStatus", "NotFound", "Invalid"}
)

#: Tables that change by themselves while nothing is asked.
RESTLESS = frozenset({"services"})

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


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """One for all tests: wrong messages leave it as it was."""
    folder: Path = tmp_path_factory.mktemp("rig")
    with bare_rig(folder) as rig:
        yield rig


def send(rig: Rig, message: Any, context: Any, topic: str, server: str | None) -> Any:
    """Put a message on the bus as it is, and wait for the answer."""
    target = oslo_messaging.Target(exchange="volumed", topic=topic, server=server)
    return rig.messenger._transport._send(target, context, message, wait_for_reply=True, timeout=60)


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


#: Of all messages those that go to a manager: so many of each method.
OF_EACH = MESSAGES * 8 // 10 // len(VOLUME_MESSAGES)

#: Tests that share them, so that no test takes long on a machine that does other things too.
PARTS = 4


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("method", VOLUME_MESSAGES)
def test_a_mutated_message_to_a_manager_is_refused_and_changes_nothing(rig: Rig, method: str, part: int) -> None:
    args = {"volume_id": rig.finished_volume(), **VOLUME_MESSAGES[method]}
    right: Message = {"method": method, "version": "1.4", "args": args}
    before = rows(rig)
    for number in range(part, OF_EACH, PARTS):
        message, context = mutate(dice_of(method, number), right, CALLER.to_dict())
        answer = end_of(rig, message, context, volume_client.TOPIC, rig.host)
        assert answer in REFUSALS, (SEED, number, message, context)
    assert rig.call("service_version")["service"] == "volumed-volume"
    assert rows(rig) == before


@pytest.fixture
def scheduler(rig: Rig) -> Iterator[str]:
    """The host of a real scheduler on the same bus."""
    from volumed.launch.assembly import service_lock
    from volumed.launch.service import Identity, Service
    from volumed.rpc.transport import make_transport
    from volumed.scheduler.manager import SchedulerManager

    conf = rig.messenger._transport.conf
    manager = SchedulerManager(conf, rig.database, VolumeClient(rig.messenger), "node")
    identity = Identity("volumed-scheduler", scheduler_client.TOPIC, "node", "nova", str(uuid.uuid4()))
    lock = service_lock(rig.pool.parent, identity.binary, identity.host)
    service = Service(conf, rig.database, identity, manager, make_transport(conf), lock)
    service.start()
    service.wait_until_started()
    yield "node"
    service.stop()
    service.wait()


@pytest.mark.parametrize("part", range(PARTS))
def test_a_mutated_message_to_a_scheduler_is_refused_and_changes_nothing(rig: Rig, scheduler: str, part: int) -> None:
    report = {"service_name": "disk", "host": "other@disk", "capabilities": {"pools": []}}
    known = {
        "create_volume": {"volume_id": rig.finished_volume()},
        "update_service_capabilities": report,
        "get_pools": {},
    }
    before = rows(rig)
    for number in range(part, MESSAGES // 10, PARTS):
        dice = dice_of("scheduler", number)
        method = dice.choice(list(known))
        right: Message = {"method": method, "version": "1.4", "args": copy.deepcopy(known[method])}
        if method == "update_service_capabilities":
            right["args"][dice.choice(("host", "capabilities"))] = json_value(dice)
        message, context = mutate(dice, right, CALLER.to_dict())
        answer = end_of(rig, message, context, scheduler_client.TOPIC, scheduler)
        # A create of a volume that is not there is a wake-up call that wakes nobody.
        assert answer is None or isinstance(answer, list) or answer in REFUSALS, (SEED, number, message, context)
    assert SchedulerClient(rig.messenger).get_pools(CALLER, {}) is not None
    assert rows(rig) == before


@pytest.fixture
def producer(rig: Rig) -> Iterator[Producer]:
    """Speaks to the rig's broker below oslo.messaging."""
    with Connection(f"{in_process.SCHEME}://volumed") as connection:
        yield Producer(connection)


def put(rig: Rig, producer: Producer, envelope: Envelope) -> None:
    """Have the manager's own queue hold the envelope as it is."""
    producer.publish(
        envelope.body,
        routing_key=f"{volume_client.TOPIC}.{rig.host}",
        content_type=envelope.content_type,
        content_encoding=envelope.content_encoding,
    )


def test_a_broken_envelope_is_skipped_and_changes_nothing(rig: Rig, producer: Producer) -> None:
    args = {"volume_id": rig.finished_volume(), "new_size": 2}
    right: Message = {"method": "extend_volume", "version": "1.4", "args": args}
    before = rows(rig)
    for number, envelope in enumerate(envelopes("envelope", MESSAGES // 10, right, CALLER.to_dict())):
        put(rig, producer, envelope)
        # The queue keeps its order: an answer says that all before it was read.
        if number % 100 == 99:
            assert rig.call("service_version"), (SEED, number, envelope)
    assert rig.call("service_version")["service"] == "volumed-volume"
    assert rows(rig) == before


def test_an_envelope_that_is_whole_is_read_from_where_the_broken_ones_are_put(rig: Rig, producer: Producer) -> None:
    volume_id = rig.volume()
    right: Message = {"method": "create_volume", "version": "1.4", "args": {"volume_id": volume_id}}
    put(rig, producer, sealed(right, CALLER.to_dict()))
    rig.until(lambda: rig.read(volumes.get, volume_id).status == "available")


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
