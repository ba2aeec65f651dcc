"""The decision as a pure function: filters, weighers, their order, and what is told of it."""

import math
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volumed.scheduler.filters.already_tried import AlreadyTriedFilter
from volumed.scheduler.filters.availability_zone import AvailabilityZoneFilter
from volumed.scheduler.filters.capabilities import CapabilitiesFilter
from volumed.scheduler.filters.capacity import CapacityFilter
from volumed.scheduler.filters.service import ServiceFilter
from volumed.scheduler.filters.source import SourceFilter
from volumed.scheduler.placement import STORED_CANDIDATES, decide
from volumed.scheduler.pools import Pool
from volumed.scheduler.request import PlacementRequest
from volumed.scheduler.weighers.capacity import CapacityWeigher
from volumed.scheduler.weighers.volume_number import VolumeNumberWeigher

OPTIONS = SimpleNamespace(capacity_weight_multiplier=1.0, volume_number_multiplier=-1.0)
FILTERS = [
    each(OPTIONS)
    for each in (
        ServiceFilter,
        SourceFilter,
        AvailabilityZoneFilter,
        CapacityFilter,
        CapabilitiesFilter,
        AlreadyTriedFilter,
    )
]
WEIGHERS = [CapacityWeigher(OPTIONS)]


def pool(name="main", **changed):
    values = {
        "host": f"a@one#{name}",
        "backend": "a@one",
        "storage_id": f"storage-{name}",
        "availability_zone": "nova",
        "total": 100.0,
        "free": 100.0,
        "foreign": 0.0,
        "reserved": 0.0,
        "ratio": 1.0,
        "capabilities": {},
    }
    return Pool(**(values | changed))


@pytest.mark.parametrize(
    ("changed", "size", "fits"),
    [
        ({}, 100, True),
        ({}, 101, False),
        ({"allocated": 90}, 10, True),
        ({"allocated": 90}, 11, False),
        ({"reserved": 10.0}, 90, True),
        ({"reserved": 10.0}, 91, False),
        ({"foreign": 30.0, "reserved": 10.0}, 60, True),
        ({"foreign": 30.0, "reserved": 10.0}, 61, False),
        ({"total": 10.9, "free": 10.9}, 10, True),
        ({"total": 10.9, "free": 10.9}, 11, False),
        ({"total": None, "free": None}, 10**6, True),
        ({"total": 100.0, "free": None}, 100, True),
        ({"free": 0.0}, 100, True),  # thick: the rows are newer than the report
        ({"free": 0.0, "capabilities": {"thin_provisioning_support": True}}, 1, False),  # closed, whatever the ratio
        ({"ratio": 20.0, "allocated": 1900}, 100, True),
        ({"ratio": 20.0, "allocated": 1900}, 101, False),
        ({"ratio": 2.0, "foreign": 30.0, "reserved": 10.0}, 120, True),
        ({"ratio": 2.0, "foreign": 30.0, "reserved": 10.0}, 121, False),
        ({"ratio": 20.0, "free": 1.0}, 20, True),
        ({"ratio": 20.0, "free": 1.0}, 21, False),
        ({"ratio": 20.0, "free": 10.0, "reserved": 10.0}, 1, False),
        ({"ratio": 20.0, "total": None, "free": 1.0}, 21, False),
        ({"foreign": 200.0}, 1, False),
    ],
)
def test_capacity_takes_reserve_strangers_ratio_and_real_space_into_account(changed, size, fits):
    reason = CapacityFilter(OPTIONS).passes(PlacementRequest(size=size), pool(**changed))
    assert (reason is None) is fits


def test_a_pool_that_is_too_small_says_the_inequality_with_its_numbers():
    reason = CapacityFilter(OPTIONS).passes(
        PlacementRequest(size=11), pool(allocated=80, reserved=5.0, foreign=5.0, total=100.0)
    )
    assert reason == "80 allocated + 11 GiB asked > (100.00 total - 5.00 reserved - 5.00 foreign) x 1"
    reason = CapacityFilter(OPTIONS).passes(PlacementRequest(size=21), pool(ratio=20.0, free=1.0))
    assert reason == "(1.00 free - 0.00 reserved) x 20 < 21 GiB asked"


@pytest.mark.parametrize(
    ("specs", "matches"),
    [
        ({"storage_protocol": "iSCSI"}, True),
        ({"capabilities:storage_protocol": "iSCSI"}, True),
        ({"capabilities:storage_protocol": "ceph"}, False),
        ({"lvm:stripes": "4"}, True),
        ({"disk:speed": "7200"}, True),
        ({"capabilities:disk:speed": ">= 7200"}, True),
        ({"capabilities:disk:speed": ">= 10000"}, False),
        ({"capabilities:disk:speed:more": "1"}, False),
        ({"compression": "<is> True"}, False),
        ({"thin_provisioning_support": "<is> True"}, True),
        ({"storage_protocol": "iSCSI", "thin_provisioning_support": "<is> False"}, False),
    ],
)
def test_extra_specs_are_matched_in_their_scope(specs, matches):
    capabilities = {"storage_protocol": "iSCSI", "thin_provisioning_support": True, "disk": {"speed": 7200}}
    reason = CapabilitiesFilter(OPTIONS).passes(
        PlacementRequest(size=1, extra_specs=specs), pool(capabilities=capabilities)
    )
    assert (reason is None) is matches


def test_a_multiattach_volume_goes_only_where_that_is_possible():
    request = PlacementRequest(size=1, multiattach=True)
    check = CapabilitiesFilter(OPTIONS)
    assert check.passes(request, pool(capabilities={"multiattach": True})) is None
    assert check.passes(request, pool(capabilities={"multiattach": False})) is not None


def test_only_the_service_that_has_to_remove_a_leftover_makes_the_volume_on_its_storage():
    request = PlacementRequest(size=1, left_behind=[("shared", "a@one"), ("other", "c@one")])
    a, b = (pool("p", host=f"{node}@one#p", backend=f"{node}@one", storage_id="shared") for node in "ab")
    decision = decide(request, [a, b], FILTERS, WEIGHERS)
    assert decision.chosen is a
    assert [each.reason for each in decision.rejected] == [
        "a@one has still to remove from storage shared what an earlier attempt left there"
    ]


def test_every_candidate_that_failed_has_its_filter_and_reason():
    request = PlacementRequest(
        size=10, availability_zone="nova", source_host="a@one#good", tried={"storage-tried": "it is full"}
    )
    pools = [
        pool("good", host="a@one#good"),
        pool("down", unavailable="its service is down: no reason given"),
        pool("elsewhere"),
        pool("zone", host="a@one#good", availability_zone="mars"),
        pool("small", host="a@one#good", total=9.0),
        pool("tried", host="a@one#good", storage_id="storage-tried"),
    ]
    decision = decide(request, pools, FILTERS, WEIGHERS)
    assert decision.chosen is pools[0]
    assert [each.filter for each in decision.rejected] == [
        "ServiceFilter",
        "SourceFilter",
        "AvailabilityZoneFilter",
        "CapacityFilter",
        "AlreadyTriedFilter",
    ]
    assert all(each.reason for each in decision.rejected)
    record = decision.record()
    assert (record["considered"], record["chosen"], sum(record["counts"].values())) == (6, "a@one#good", 5)


def test_the_pool_with_most_space_is_chosen_and_an_unknown_one_comes_last():
    pools = [pool("small", total=10.0), pool("unknown", total=None, free=None), pool("big", total=50.0)]
    decision = decide(PlacementRequest(size=1), pools, FILTERS, WEIGHERS)
    assert [each.pool.host for each in decision.ranked] == ["a@one#big", "a@one#small", "a@one#unknown"]
    assert [each.weight for each in decision.ranked] == [1.0, 0.0, 0.0]


def test_an_unknown_pool_comes_after_pools_that_are_equal():
    pools = [pool("a-unknown", total=None, free=None), pool("b"), pool("c")]
    for multiplier in (1.0, -1.0):
        weigher = CapacityWeigher(SimpleNamespace(capacity_weight_multiplier=multiplier))
        decision = decide(PlacementRequest(size=1), pools, FILTERS, [weigher])
        assert [each.pool.host for each in decision.ranked] == ["a@one#b", "a@one#c", "a@one#a-unknown"]


def test_a_negative_multiplier_fills_pools_up():
    weigher = CapacityWeigher(SimpleNamespace(capacity_weight_multiplier=-1.0))
    pools = [pool("big", total=50.0), pool("small", total=10.0)]
    assert decide(PlacementRequest(size=1), pools, FILTERS, [weigher]).chosen is pools[1]


def test_volumes_are_spread_by_their_number_when_that_weighs_more():
    heavy = VolumeNumberWeigher(SimpleNamespace(volume_number_multiplier=-10.0))
    pools = [pool("big", total=50.0, volumes=9), pool("small", total=10.0, volumes=3)]
    decision = decide(PlacementRequest(size=1), pools, FILTERS, [*WEIGHERS, heavy])
    assert decision.chosen is pools[1]
    assert decision.record()["candidates"][0]["weights"] == {"CapacityWeigher": 0.0, "VolumeNumberWeigher": 0.0}


def test_equal_pools_are_taken_in_the_order_of_their_names():
    pools = [pool("b"), pool("c"), pool("a")]
    assert decide(PlacementRequest(size=1), pools, FILTERS, WEIGHERS).chosen is pools[2]


def test_the_stored_decision_stays_small_with_many_pools():
    pools = [pool(f"{n:04}", total=float(n)) for n in range(1000)]
    record = decide(PlacementRequest(size=500), pools, FILTERS, WEIGHERS).record()
    assert len(record["candidates"]) == STORED_CANDIDATES
    assert (record["considered"], record["counts"]) == (1000, {"CapacityFilter": 500})


sizes = st.floats(min_value=0, max_value=1e6)


@given(
    pools=st.lists(
        st.builds(
            pool,
            name=st.uuids().map(str),
            total=st.none() | sizes,
            free=st.none() | sizes,
            foreign=sizes,
            reserved=sizes,
            ratio=st.floats(min_value=1, max_value=50),
            allocated=st.integers(min_value=0, max_value=10**6),
        ),
        max_size=20,
    ),
    size=st.integers(min_value=1, max_value=65536),
)
def test_every_pool_is_judged_once_and_the_chosen_one_can_hold_the_volume(pools, size):
    decision = decide(PlacementRequest(size=size), pools, FILTERS, WEIGHERS)
    judged = [each.pool for each in decision.ranked] + [each.pool for each in decision.rejected]
    assert sorted(each.host for each in judged) == sorted(each.host for each in pools)
    assert all(math.isfinite(each.weight) and 0 <= each.weight <= 1 for each in decision.ranked)
    if decision.chosen is not None:
        assert decision.chosen.allocated + size <= decision.chosen.ceiling
