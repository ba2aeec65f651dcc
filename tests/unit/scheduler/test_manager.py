"""Creates meet schedulers: placed, waiting, refused, adopted. Checked in the database and on the wire."""

import math
import threading
import uuid
from contextlib import closing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, select, update

from volumed.db import operations, pools, quotas, services, tables, volumes
from volumed.model.context import RequestContext
from volumed.model.errors import ConfigurationError, InvalidField
from volumed.model.states import VolumeStatus

CONTEXT = RequestContext(user_id="ann", project_id="demo", is_admin=False, request_id="req-1")


def allocated(cloud, storage_id):
    with cloud.database.reading() as tx:
        return pools.allocations(tx).get(storage_id, (0, 0))


def test_a_create_is_handed_to_the_backend_with_volume_operation_and_allocation_in_step(cloud):
    manager = cloud.scheduler(sweep_age=60)
    cloud.service("a@one")
    cloud.report("a@one")
    volume_id, operation_id = cloud.create(size=7)
    manager.create_volume(CONTEXT, volume_id, operation_id=operation_id)
    (operation,) = cloud.until_settled(operation_id)
    volume = cloud.volume(volume_id)
    assert (operation.queue, operation.state, operation.attempt) == ("a@one", "queued", 0)
    assert (volume.host, volume.storage_id, volume.status) == ("a@one#main", "storage-a@one", "creating")
    assert allocated(cloud, "storage-a@one") == (7, 1)
    cloud.until(lambda: bool(cloud.wire.named("create_volume")))
    ((server, arguments),) = cloud.wire.named("create_volume")
    assert server == "a@one"
    assert (arguments["volume_id"], arguments["operation_id"]) == (volume_id, operation_id)
    assert operation.placement["chosen"] == "a@one#main"
    assert operation.placement["candidates"][0]["passed"] is True


def test_a_placement_costs_one_read_and_three_updates_once_the_rows_are_known(cloud):
    manager = cloud.scheduler(sweep_interval=60, sweep_age=60)
    cloud.service("a@one")
    cloud.report("a@one")
    manager.get_pools(CONTEXT)
    volume_id, operation_id = cloud.create()
    statements = []

    def note(connection, cursor, statement, *_):
        statements.append((threading.get_ident(), statement.split()[0].upper()))

    event.listen(cloud.database.engine, "before_cursor_execute", note)
    manager.create_volume(CONTEXT, volume_id, operation_id=operation_id)
    cloud.until(lambda: bool(cloud.wire.named("create_volume")))
    # On a slow machine the sweep of the start may look at the same time.
    (placing,) = {thread for thread, verb in statements if verb == "UPDATE"}
    verbs = [verb for thread, verb in statements if thread == placing and verb not in ("BEGIN", "COMMIT")]
    assert verbs == ["SELECT", "UPDATE", "UPDATE", "UPDATE"]


def test_a_create_whose_message_was_lost_is_found_by_the_sweep(cloud):
    cloud.scheduler()
    cloud.service("a@one")
    cloud.report("a@one")
    _, operation_id = cloud.create()
    assert cloud.until_settled(operation_id)[0].queue == "a@one"


def test_a_starting_scheduler_asks_every_backend_to_report(cloud):
    cloud.scheduler()
    assert len(cloud.wire.named("publish_service_capabilities")) == 1


def test_a_create_waits_for_a_live_service_that_has_not_reported_and_goes_there_when_it_does(cloud):
    manager = cloud.scheduler()
    cloud.service("a@one")
    volume_id, operation_id = cloud.create()
    manager.create_volume(CONTEXT, volume_id, operation_id=operation_id)
    cloud.until(lambda: cloud.operation(operation_id).state == "waiting")
    assert "a@one" in cloud.operation(operation_id).wait_reason
    cloud.report("a@one")
    (operation,) = cloud.until_settled(operation_id)
    assert (operation.queue, operation.wait_reason) == ("a@one", None)


def test_a_create_that_waited_for_placement_timeout_is_refused(cloud):
    manager = cloud.scheduler(placement_timeout=0.3)
    cloud.service("a@one")
    volume_id, operation_id = cloud.create()
    manager.create_volume(CONTEXT, volume_id, operation_id=operation_id)
    cloud.until_settled(operation_id)
    assert cloud.volume(volume_id).status == "error"


@pytest.mark.parametrize(
    ("arguments", "pool", "filter_name"),
    [
        ({"size": 101}, {}, "CapacityFilter"),
        ({"availability_zone": "mars"}, {}, "AvailabilityZoneFilter"),
        ({"extra_specs": {"storage_protocol": "ceph"}}, {}, "CapabilitiesFilter"),
        ({"source_host": "b@two#main"}, {}, "SourceFilter"),
    ],
)
def test_a_create_that_no_reporting_backend_can_take_ends_in_error_with_the_reason(cloud, arguments, pool, filter_name):
    manager = cloud.scheduler()
    cloud.service("a@one")
    cloud.report("a@one", **pool)
    volume_id, operation_id = cloud.create(**arguments)
    manager.create_volume(CONTEXT, volume_id, operation_id=operation_id)
    (operation,) = cloud.until_settled(operation_id)
    volume = cloud.volume(volume_id)
    assert (operation.state, operation.live_key) == ("failed", None)
    assert (volume.status, volume.host) == ("error", None)
    assert volume.error == operation.error
    assert volume.error["type"] == "NoValidBackend"
    assert f"{filter_name} refused 1" in volume.error["message"]
    assert operation.placement["counts"] == {filter_name: 1}
    assert operation.placement["chosen"] is None
    with cloud.database.reading() as tx:
        told = tx.execute(select(tables.events.c.event_type).where(tables.events.c.resource_id == volume_id)).all()
    assert [row[0] for row in told] == ["volume.create.error"]
    assert allocated(cloud, "storage-a@one") == (0, 0)


def test_after_the_last_attempt_the_error_tells_the_reason_of_each(cloud):
    manager = cloud.scheduler(scheduler_max_attempts=2)
    cloud.service("a@one")
    cloud.report("a@one")
    tried = [
        {"host": "b@two#main", "storage_id": "s-2", "error": {"type": "BackendFull", "message": "two is full"}},
        {"host": "c@three#main", "storage_id": "s-3", "error": {"type": "BackendFull", "message": "three is full"}},
    ]
    volume_id, operation_id = cloud.create(tried=tried, attempt=2)
    manager.create_volume(CONTEXT, volume_id, operation_id=operation_id)
    cloud.until_settled(operation_id)
    message = cloud.volume(volume_id).error["message"]
    assert "attempt 1: two is full; attempt 2: three is full" in message


def test_a_storage_that_failed_is_not_tried_again_through_another_host(cloud):
    manager = cloud.scheduler()
    for host in ("a@one", "b@one"):
        cloud.service(host)
        cloud.report(host, storage_id="shared")
    tried = [{"host": "a@one#main", "storage_id": "shared", "error": {"type": "BackendFull", "message": "it is full"}}]
    volume_id, operation_id = cloud.create(tried=tried, attempt=1)
    manager.create_volume(CONTEXT, volume_id, operation_id=operation_id)
    (operation,) = cloud.until_settled(operation_id)
    assert operation.placement["counts"] == {"AlreadyTriedFilter": 2}
    assert "attempt 1: it is full" in cloud.volume(volume_id).error["message"]


@pytest.mark.parametrize(
    ("cleanup", "keeper", "is_placed"),
    [
        ({"state": "waiting"}, "a@one", False),
        ({"state": "failed"}, "a@one", False),
        ({"state": "succeeded"}, "a@one", True),
        ({"state": "waiting"}, "b@one", True),
        ({"state": "failed"}, "removed@one", True),
    ],
)
def test_what_is_made_again_is_not_made_beside_what_another_service_removes(cloud, cleanup, keeper, is_placed):
    manager = cloud.scheduler()
    cloud.service("a@one", disabled=True)
    cloud.service("b@one")
    for host in ("a@one", "b@one"):
        cloud.report(host, storage_id="shared")
    volume_id = str(uuid.uuid4())
    cloud.left_behind(volume_id, keeper, "shared", cleanup)  # before the create, which the sweep takes at once
    _, operation_id = cloud.create(volume_id=volume_id, again=True)
    manager.create_volume(CONTEXT, volume_id, operation_id=operation_id)
    (operation,) = cloud.until_settled(operation_id)
    assert (operation.queue == "b@one") is is_placed
    if not is_placed:
        reasons = {each["host"]: each["reason"] for each in operation.placement["candidates"]}
        assert reasons["b@one#main"].startswith("a@one has still to remove from storage shared")


@pytest.mark.parametrize("row", [{"disabled": True}, {"age": 3600}, {"state": "down"}])
def test_nothing_is_placed_on_a_service_that_is_disabled_silent_or_down(cloud, row):
    manager = cloud.scheduler()
    cloud.service("a@one", **row)
    cloud.service("b@two")
    cloud.report("a@one", total_gib=1000.0)
    cloud.report("b@two")
    volume_id, operation_id = cloud.create()
    manager.create_volume(CONTEXT, volume_id, operation_id=operation_id)
    (operation,) = cloud.until_settled(operation_id)
    assert operation.queue == "b@two"
    assert operation.placement["counts"] == {"ServiceFilter": 1}


def test_a_service_disabled_after_its_row_was_read_gets_nothing(cloud):
    manager = cloud.scheduler()
    for host, total in (("a@one", 1000.0), ("b@two", 100.0)):
        cloud.service(host)
        cloud.report(host, total_gib=total)
    manager.get_pools(CONTEXT)
    cloud.database.write(services.set_disabled, "volumed-volume", "a@one", True, "broken disk")
    volume_id, operation_id = cloud.create()
    manager.create_volume(CONTEXT, volume_id, operation_id=operation_id)
    (operation,) = cloud.until_settled(operation_id)
    assert operation.queue == "b@two"
    assert allocated(cloud, "storage-a@one") == (0, 0)


def test_space_that_another_scheduler_spent_is_noticed_and_the_create_goes_elsewhere_at_once(cloud):
    manager = cloud.scheduler(sweep_interval=60, sweep_age=60)
    for host, total in (("a@one", 100.0), ("b@two", 50.0)):
        cloud.service(host)
        cloud.report(host, total_gib=total)
    manager.get_pools(CONTEXT)
    assert cloud.database.write(pools.allocate, "storage-a@one", 99, 100.0, "a@one")
    volume_id, operation_id = cloud.create(size=10)
    manager.create_volume(CONTEXT, volume_id, operation_id=operation_id)
    (operation,) = cloud.until_settled(operation_id)
    assert operation.queue == "b@two"
    assert operation.placement["counts"] == {"CapacityFilter": 1}
    assert allocated(cloud, "storage-a@one") == (99, 1)


def test_space_freed_since_the_last_look_is_found_before_a_create_is_refused(cloud):
    manager = cloud.scheduler(sweep_interval=60, sweep_age=60)
    cloud.service("a@one")
    cloud.database.write(pools.ensure, "storage-a@one")
    cloud.database.write(pools.adjust, "storage-a@one", 100, 1)
    cloud.report("a@one")
    manager.get_pools(CONTEXT)
    cloud.database.write(pools.adjust, "storage-a@one", -100, -1)
    volume_id, operation_id = cloud.create(size=100)
    manager.create_volume(CONTEXT, volume_id, operation_id=operation_id)
    assert cloud.until_settled(operation_id)[0].queue == "a@one"


def test_after_a_power_cut_a_create_waits_for_the_services_that_are_silent_since_then(cloud):
    manager = cloud.scheduler()
    cloud.service("a@one", age=7200)
    volume_id, operation_id = cloud.create()
    manager.create_volume(CONTEXT, volume_id, operation_id=operation_id)
    cloud.until(lambda: cloud.operation(operation_id).state == "waiting")
    cloud.service("a@one", state="starting")
    cloud.report("a@one")
    assert cloud.until_settled(operation_id)[0].queue == "a@one"


def test_once_the_scheduler_runs_for_long_a_silent_service_is_not_waited_for(cloud):
    manager = cloud.scheduler(service_down_time=0.3)
    cloud.service("a@one", age=7200)
    volume_id, operation_id = cloud.create()
    manager.create_volume(CONTEXT, volume_id, operation_id=operation_id)
    cloud.until_settled(operation_id)
    assert cloud.volume(volume_id).error["message"] == "No valid backend was found: no pool is known"


def test_a_create_that_was_placed_ended_or_cancelled_meanwhile_is_left_alone(cloud):
    manager = cloud.scheduler(sweep_interval=60, sweep_age=60)
    cloud.service("a@one")
    cloud.report("a@one")
    _, placed = cloud.create()
    _, ended = cloud.create()
    _, cancelled = cloud.create()
    cloud.database.write(operations.place, placed, 0, "b@two", {})
    cloud.database.write(operations.refuse, ended, 0, {}, None)
    changed = update(tables.operations).where(tables.operations.c.id == cancelled).values(cancel_requested=True)
    cloud.database.write(lambda tx: tx.execute(changed) and None)
    before = [cloud.operation(each) for each in (placed, ended, cancelled)]
    for operation_id in (placed, ended, cancelled, "no-such-operation"):
        manager.create_volume(CONTEXT, "v", operation_id=operation_id)
    volume_id, last = cloud.create()
    manager.create_volume(CONTEXT, volume_id, operation_id=last)
    cloud.until_settled(last)
    assert [cloud.operation(each) for each in (placed, ended, cancelled)] == before
    assert len(cloud.wire.named("create_volume")) == 1


def test_an_operation_whose_volume_is_no_longer_created_ends_and_takes_no_space(cloud):
    manager = cloud.scheduler()
    cloud.service("a@one")
    cloud.report("a@one")
    volume_id, operation_id = cloud.create()
    cloud.database.write(volumes.move, volume_id, VolumeStatus.CREATING, VolumeStatus.ERROR)
    manager.create_volume(CONTEXT, volume_id, operation_id=operation_id)
    (operation,) = cloud.until_settled(operation_id)
    assert (operation.state, operation.error["type"]) == ("failed", "IllegalMove")
    assert allocated(cloud, "storage-a@one") == (0, 0)


def test_a_cast_without_an_operation_makes_one_from_the_volume(cloud):
    manager = cloud.scheduler(sweep_age=60)
    cloud.service("a@one")
    cloud.report("a@one")
    volume_id, _ = cloud.create(size=4, with_operation=False)
    for _ in range(3):
        manager.create_volume(CONTEXT, volume_id, {"volume_id": volume_id}, {"retry": {}})
    cloud.until(lambda: cloud.volume(volume_id).host is not None)
    with cloud.database.reading() as tx:
        (operation,) = operations.of_volume(tx, volume_id, 10)
    assert (operation.kind, operation.queue, operation.request_id) == ("volume.create", "a@one", "req-1")
    assert operation.args["volume_type"] == "standard"
    with cloud.database.reading() as tx:
        used = quotas.usage(tx, "demo", {"volumes": 0, "gigabytes": 0}, {})
    assert {name: in_use for name, (in_use, _) in used.items()} == {"volumes": 1, "gigabytes": 4}


def test_an_unplaced_volume_without_an_operation_is_adopted_by_the_sweep(cloud):
    cloud.scheduler()
    cloud.service("a@one")
    cloud.report("a@one")
    volume_id, _ = cloud.create(with_operation=False)
    cloud.until(lambda: cloud.volume(volume_id).host == "a@one#main")


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"host": "b@two"}, "host"),
        ({"sequence": -1}, "sequence"),
        ({"sequence": 1.5}, "sequence"),
        ({"incarnation": None}, "incarnation"),
        ({"pools": {}}, "pools"),
        ({"pools": [1]}, "pools[0]"),
        ({"multiattach": "yes"}, "multiattach"),
    ],
)
def test_a_wrong_report_names_its_field_and_changes_nothing(cloud, changed, field):
    manager = cloud.scheduler()
    cloud.service("a@one")
    cloud.report("a@one")
    known = manager.get_pools(CONTEXT)
    with pytest.raises(InvalidField) as caught:
        manager.update_service_capabilities(CONTEXT, "one", "a@one", cloud.capabilities("a@one") | changed)
    assert field in str(caught.value)
    assert manager.get_pools(CONTEXT) == known


@pytest.mark.parametrize("value", [math.nan, math.inf, -1, "1", True])
def test_a_size_that_is_no_size_is_refused(cloud, value):
    manager = cloud.scheduler()
    with pytest.raises(InvalidField, match="total_gib"):
        manager.update_service_capabilities(
            CONTEXT, "one", "a@one", cloud.capabilities("a@one", [{"total_gib": value}])
        )


@pytest.mark.parametrize("volume_id", [None, "", 7, "x" * 37])
def test_a_wake_up_call_for_something_that_is_no_id_is_refused(cloud, volume_id):
    with pytest.raises(InvalidField, match="volume_id"):
        cloud.scheduler().create_volume(CONTEXT, volume_id)


def test_pools_are_told_with_their_use_and_can_be_filtered(cloud):
    manager = cloud.scheduler(sweep_age=60)
    for host in ("a@one", "b@two"):
        cloud.service(host)
    cloud.report("a@one")
    cloud.report("b@two", total_gib=None, free_gib=None)
    volume_id, operation_id = cloud.create(size=5, extra_specs={"volume_backend_name": "one"})
    manager.create_volume(CONTEXT, volume_id, operation_id=operation_id)
    cloud.until_settled(operation_id)
    cloud.until(lambda: bool(cloud.wire.named("create_volume")))
    (one,) = manager.get_pools(CONTEXT, {"name": "a@one#main"})
    assert one["capabilities"]["allocated_capacity_gb"] == 5
    assert one["capabilities"]["total_capacity_gb"] == 100.0
    (two,) = manager.get_pools(CONTEXT, {"volume_backend_name": "two"})
    assert two["capabilities"]["total_capacity_gb"] == "unknown"


def test_an_unknown_filter_is_a_configuration_error_that_names_the_option(cloud):
    with pytest.raises(ConfigurationError, match="enabled_filters: NoSuchFilter is unknown"):
        cloud.scheduler(enabled_filters=["NoSuchFilter"])


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    total=st.integers(min_value=1, max_value=40),
    sizes=st.lists(st.integers(min_value=1, max_value=12), min_size=1, max_size=12),
)
def test_two_schedulers_never_spend_a_gigabyte_twice(new_cloud, total, sizes):
    with closing(new_cloud()) as cloud:
        cloud.service("a@one")
        managers = [cloud.scheduler(), cloud.scheduler()]
        cloud.report("a@one", total_gib=float(total))
        created = [cloud.create(size=size) for size in sizes]
        for volume_id, operation_id in created:
            for manager in managers:
                manager.create_volume(CONTEXT, volume_id, operation_id=operation_id)
        ended = cloud.until_settled(*(operation_id for _, operation_id in created))
        placed = [size for size, operation in zip(sizes, ended, strict=True) if operation.state == "queued"]
        assert sum(placed) <= total
        assert allocated(cloud, "storage-a@one") == (sum(placed), len(placed))
        # What was refused did not fit beside what was placed at the time, so certainly not beside all of it.
        refused = [size for size, operation in zip(sizes, ended, strict=True) if operation.state == "failed"]
        assert all(sum(placed) + size > total for size in refused)
        for manager in managers:
            manager.stop(5)
        assert len(cloud.wire.named("create_volume")) == len(placed)
