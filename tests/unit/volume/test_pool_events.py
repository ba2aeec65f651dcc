"""Events of a pool that fills up: one for each change, in order, and told later where the database was away."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from volumed.db import events, services
from volumed.db.engine import Database
from volumed.driver.interface import SECONDS_LEFT, TAKES_NO_MORE, Capabilities, PoolCapabilities
from volumed.model.errors import Invalid, ServiceUnavailable
from volumed.volume.pool_events import PoolEvents

HOST = "node@thin"


def measured(**features: Any) -> Capabilities:
    pool = PoolCapabilities("vg", "storage", 10.0, 9.0, 0.0, 0, 20.0, True, features)
    return Capabilities("lvm", "iSCSI", "volumed", "1.0", False, True, False, (pool,))


OPEN = measured()
SLOW = measured(**{SECONDS_LEFT: 9000, TAKES_NO_MORE: None})
FAST = measured(**{SECONDS_LEFT: 600, TAKES_NO_MORE: None})
FULL = measured(**{SECONDS_LEFT: 60, TAKES_NO_MORE: "its data is 96.0 % full"})


def told(database: Database) -> list[dict[str, Any]]:
    with database.reading() as tx:
        found = events.unpublished(tx)
    assert all(each.event_type == "capacity.pool" and each.resource_type == "pool" for each in found)
    assert [each.sequence for each in found] == list(range(1, len(found) + 1))
    return [each.payload for each in found]


def test_each_change_is_told_once(database: Database) -> None:
    watching = PoolEvents(database, HOST)
    for each in (OPEN, SLOW, FAST, FAST, FULL, FULL, SLOW, OPEN):
        assert watching.observe(each) is each
    assert [(each["state"], each["seconds_left"], each["reason"]) for each in told(database)] == [
        ("fills_soon", 600, None),
        ("takes_no_more", 60, "its data is 96.0 % full"),
        ("open", 9000, None),
    ]
    assert {each["name_to_id"] for each in told(database)} == {"node@thin#vg"}


def test_what_could_not_be_told_is_told_the_next_time(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    watching = PoolEvents(database, HOST)

    def away(*arguments: Any) -> None:
        raise ServiceUnavailable(reason="the database is away")

    with monkeypatch.context() as patched:
        patched.setattr(database, "write", away)
        watching.observe(FULL)
    watching.observe(FULL)
    assert [each["state"] for each in told(database)] == ["takes_no_more"]


def test_the_services_row_says_whether_volumes_in_use_are_extended(database: Database) -> None:
    watching = PoolEvents(database, HOST)

    def said() -> str | None:
        with database.reading() as tx:
            return services.find_with_age(tx, services.VOLUME_BINARY, HOST)[0].extends_in_use

    watching.observe(OPEN)  # there is no row yet
    database.write(services.register, "id", services.VOLUME_BINARY, HOST, "t", "nova", "incarnation", "1.4")
    assert said() is None
    for supported in (False, True, True, False):
        watching.observe(replace(OPEN, online_extend_support=supported))
        assert said() == ("incarnation" if supported else "")


def test_what_one_process_said_of_volumes_in_use_is_not_believed_of_the_next(database: Database) -> None:
    """An older release may be started next, which makes an attached volume available when it has grown."""
    volume: Any = SimpleNamespace(id="v", status="in-use", host=f"{HOST}#pool")
    database.write(services.register, "id", services.VOLUME_BINARY, HOST, "t", "nova", "incarnation", "1.4")
    PoolEvents(database, HOST).observe(replace(OPEN, online_extend_support=True))
    database.write(services.refuse_to_extend_in_use, volume)
    database.write(services.register, "id", services.VOLUME_BINARY, HOST, "t", "nova", "successor", "1.4")
    with pytest.raises(Invalid, match="has not said"):
        database.write(services.refuse_to_extend_in_use, volume)
