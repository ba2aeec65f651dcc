"""An older build beside a new one: nobody is sent what is too new for him, and each method goes as old as it can."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from tests.lab.rpc_ends import CALLER, EXCHANGE, configured, until
from volumed.db import migrate, services, tables
from volumed.db.clock import SECOND, now
from volumed.db.engine import Database
from volumed.model.context import RequestContext
from volumed.model.errors import ServiceUnavailable
from volumed.rpc import scheduler_client, volume_client
from volumed.rpc.dispatcher import RpcDispatcher, highest_version
from volumed.rpc.listener import Listener
from volumed.rpc.messenger import Messenger
from volumed.rpc.pins import Pins
from volumed.rpc.scheduler_client import SchedulerClient
from volumed.rpc.transport import close, make_transport
from volumed.rpc.volume_client import VolumeClient
from volumed.volume.diagnosis import DiagnosisEndpoint
from volumed.volume.manageable_endpoint import ManageableEndpoint
from volumed.volume.manager import VolumeManager
from volumed.volume.operation_endpoint import OperationEndpoint

#: Seconds after which a service that has not reported counts as gone.
DOWN_TIME = 60.0

OLD, NEW = "old@disk", "new@disk"

#: Every method of the client, by the name of the message.
ASKED: dict[str, Callable[[VolumeClient, str], Any]] = {
    "create_volume": lambda client, host: client.create_volume(CALLER, host, "v", "o"),
    "delete_volume": lambda client, host: client.delete_volume(CALLER, host, "v", "o"),
    "extend_volume": lambda client, host: client.extend_volume(CALLER, host, "v", 2, "o"),
    "create_snapshot": lambda client, host: client.create_snapshot(CALLER, host, "v", "s", "o"),
    "delete_snapshot": lambda client, host: client.delete_snapshot(CALLER, host, "s", "o"),
    "initialize_connection": lambda client, host: client.attach(CALLER, host, "v", "o"),
    "terminate_connection": lambda client, host: client.detach(CALLER, host, "v", "o"),
    "publish_service_capabilities": lambda client, host: client.publish_service_capabilities(CALLER),
    "service_version": lambda client, host: client.service_version(CALLER, host),
    "service_config": lambda client, host: client.service_config(CALLER, host),
    "diagnose": lambda client, host: client.diagnose(CALLER, host),
    "repair": lambda client, host: client.repair(CALLER, host, "o"),
    "wake_operation": lambda client, host: client.wake_operation(CALLER, host, "o"),
    "cancel_operation": lambda client, host: client.cancel_operation(CALLER, host, "o"),
    "can_manage": lambda client, host: client.can_manage(CALLER, host),
    "list_manageable": lambda client, host: client.list_manageable(CALLER, host, "volume"),
    "measure_manageable": lambda client, host: client.measure_manageable(CALLER, host, "volume", {}, None),
}

#: Those that wait for an answer.
CALLS = frozenset(
    {"service_version", "service_config", "diagnose", "can_manage", "list_manageable", "measure_manageable"}
)


def as_numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def known_in(version: str) -> set[str]:
    """The messages that a manager of ``version`` understands."""
    return {name for name, since in volume_client.VERSIONS.items() if as_numbers(since) <= as_numbers(version)}


class Endpoint:
    """One version's endpoint, which notes what it is asked."""

    def __init__(self, version: str, methods: set[str], heard: list[str]) -> None:
        self.RPC_VERSION = version
        self.RPC_METHODS = tuple(sorted(methods))
        for name in methods:
            setattr(self, name, self._noting(name, heard))

    @staticmethod
    def _noting(name: str, heard: list[str]) -> Callable[..., Any]:
        def method(context: RequestContext, **arguments: Any) -> list[Any]:
            heard.append(name)
            return []

        return method


class Build:
    """A manager of ``version`` on ``host``, with an endpoint for each version that brought methods."""

    def __init__(self, version: str, host: str) -> None:
        self.host = host
        self.heard: list[str] = []
        brought: dict[str, set[str]] = {}
        for name in known_in(version):
            brought.setdefault(volume_client.VERSIONS[name], set()).add(name)
        self.endpoints = [Endpoint(since, methods, self.heard) for since, methods in brought.items()]
        self.version = highest_version(self.endpoints)


@dataclass
class Fleet:
    """The rows, and what listens beside them."""

    database: Database
    conf: Any
    held: ExitStack

    def run(self, build: Build) -> None:
        """Have it listen, and be a live service."""
        transport = self.transport()
        dispatcher = RpcDispatcher(build.endpoints)
        listener = Listener(transport, EXCHANGE, volume_client.TOPIC, build.host, dispatcher, 2, lambda: None)
        listener.start()
        self.held.callback(listener.stop)
        self.row("volumed-volume", build.host, volume_client.TOPIC, build.version)

    def row(self, binary: str, host: str, topic: str, version: str) -> None:
        self.database.write(services.register, str(uuid.uuid4()), binary, host, topic, "nova", "life", version)

    def change(self, host: str, **values: Any) -> None:
        changed = update(tables.services).where(tables.services.c.host == host).values(values)
        self.database.write(lambda tx: tx.execute(changed) and None)

    def transport(self) -> Any:
        made = make_transport(self.conf)
        self.held.callback(close, made)
        return made

    def pins(self) -> Pins:
        pins = Pins(self.database, DOWN_TIME)
        pins.refresh()
        return pins

    def messenger(self, pins: Pins | None) -> Messenger:
        return Messenger(self.transport(), EXCHANGE, 60, pins)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path}/volumed.db")
    migrate.upgrade(database)
    yield database
    database.close()


@pytest.fixture(params=["in-process", pytest.param("rabbitmq", marks=pytest.mark.part("rabbitmq-server"))])
def fleet(database: Database, request: pytest.FixtureRequest) -> Iterator[Fleet]:
    in_process = f"kombu+in-process:///{uuid.uuid4().hex}"
    url = in_process if request.param == "in-process" else request.getfixturevalue("vhost").url
    with ExitStack() as held:
        yield Fleet(database, configured(url), held)


def test_the_table_is_what_the_managers_have() -> None:
    assert set(ASKED) == set(volume_client.VERSIONS)
    for endpoint in (DiagnosisEndpoint, OperationEndpoint, ManageableEndpoint):
        for method in endpoint.RPC_METHODS:
            assert volume_client.VERSIONS[method] == endpoint.RPC_VERSION
    classic = {name for name, since in volume_client.VERSIONS.items() if as_numbers(since) <= (1, 4)}
    assert classic <= set(VolumeManager.RPC_METHODS)


@pytest.mark.parametrize("version", ["1.0", "1.4", "1.5", "1.6", "1.7"])
def test_a_new_client_sends_each_method_only_where_the_oldest_knows_it(
    fleet: Fleet, version: str, caplog: pytest.LogCaptureFixture
) -> None:
    old, new = Build(version, OLD), Build("1.7", NEW)
    fleet.run(old)
    fleet.run(new)
    client = VolumeClient(fleet.messenger(fleet.pins()))
    for host in (OLD, NEW):
        for name, ask in ASKED.items():
            if name in CALLS and name not in known_in(version):
                with pytest.raises(ServiceUnavailable, match=f"volumed-volume on {OLD}, version {version}"):
                    ask(client, host)
            else:
                ask(client, host)
    twice = "publish_service_capabilities"
    for build in (old, new):
        until(lambda build=build: build.heard.count(twice) == 2 and set(build.heard) >= known_in(version))
        assert set(build.heard) == known_in(version)
    assert "UnsupportedVersion" not in caplog.text
    assert "NoSuchMethod" not in caplog.text


@pytest.mark.parametrize("version", ["1.0", "1.4", "1.5", "1.6", "1.7"])
def test_a_new_manager_understands_every_method_of_an_older_client(
    fleet: Fleet, version: str, caplog: pytest.LogCaptureFixture
) -> None:
    new = Build("1.7", NEW)
    fleet.run(new)
    fleet.row("volumed-volume", OLD, volume_client.TOPIC, version)
    client = VolumeClient(fleet.messenger(fleet.pins()))
    for name in known_in(version):
        ASKED[name](client, NEW)
    until(lambda: set(new.heard) == known_in(version))
    assert "UnsupportedVersion" not in caplog.text


def test_a_pin_goes_when_the_old_build_has_gone_and_comes_with_it(fleet: Fleet) -> None:
    new = Build("1.7", NEW)
    fleet.run(new)
    fleet.row("volumed-volume", OLD, volume_client.TOPIC, "1.4")
    pins = fleet.pins()
    client = VolumeClient(fleet.messenger(pins))
    with pytest.raises(ServiceUnavailable, match=OLD):
        client.diagnose(CALLER, NEW)
    fleet.row("volumed-volume", OLD, volume_client.TOPIC, "1.6")
    with pytest.raises(ServiceUnavailable, match=OLD):
        client.diagnose(CALLER, NEW)
    pins.refresh()
    assert client.diagnose(CALLER, NEW) == []


@pytest.mark.parametrize("version", ["1.0", "1.3", "1.4"])
def test_a_scheduler_is_sent_what_the_oldest_scheduler_knows(fleet: Fleet, version: str) -> None:
    heard: list[str] = []
    endpoint = Endpoint("1.4", set(scheduler_client.VERSIONS), heard)
    topic = scheduler_client.TOPIC
    listener = Listener(fleet.transport(), EXCHANGE, topic, "new", RpcDispatcher([endpoint]), 2, lambda: None)
    listener.start()
    fleet.held.callback(listener.stop)
    fleet.row("volumed-scheduler", "new", topic, "1.4")
    fleet.row("volumed-scheduler", "old", topic, version)
    client = SchedulerClient(fleet.messenger(fleet.pins()))
    client.create_volume(CALLER, "v", "o")
    client.update_service_capabilities(CALLER, "disk", OLD, {})
    if version == "1.4":
        assert client.get_pools(CALLER) == []
    else:
        with pytest.raises(ServiceUnavailable, match="volumed-scheduler on old"):
            client.get_pools(CALLER)
    known = {name for name, since in scheduler_client.VERSIONS.items() if as_numbers(since) <= as_numbers(version)}
    until(lambda: set(heard) >= known)
    assert set(heard) == known


@pytest.mark.parametrize(
    ("changed", "pinned"),
    [
        ({"disabled": False}, True),
        ({"state": "starting"}, True),
        ({"state": "down"}, False),
        ({"disabled": True}, True),
        ({"updated_at": now() - int(2 * DOWN_TIME) * SECOND}, False),
        ({"rpc_version": "garbage"}, True),
        ({"rpc_version": "2.0"}, False),
    ],
    ids=["live", "starting", "down", "disabled", "silent", "unreadable", "of another major beside one that serves"],
)
def test_live_services_pin(database: Database, changed: dict[str, Any], pinned: bool) -> None:
    fleet = Fleet(database, None, ExitStack())
    fleet.row("volumed-volume", NEW, volume_client.TOPIC, "1.6")
    fleet.row("volumed-volume", OLD, volume_client.TOPIC, "1.4")
    fleet.change(OLD, **changed)
    old = fleet.pins().too_old_for(volume_client.TOPIC, "1.5")
    assert (old is not None and OLD in old.name) is pinned
    assert fleet.pins().too_old_for("another topic", "1.5") is None


def test_before_the_first_look_nothing_is_pinned(database: Database) -> None:
    fleet = Fleet(database, None, ExitStack())
    fleet.row("volumed-volume", OLD, volume_client.TOPIC, "1.4")
    assert Pins(database, DOWN_TIME).too_old_for(volume_client.TOPIC, "1.6") is None
