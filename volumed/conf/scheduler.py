"""Placement."""

from oslo_config import cfg

GROUP = "scheduler"

OPTIONS = [
    cfg.ListOpt(
        "enabled_filters",
        default=["AvailabilityZoneFilter", "CapacityFilter", "CapabilitiesFilter", "AlreadyTriedFilter"],
        help="Filters that every pool must pass, by the names of their entry points, cheapest first.",
    ),
    cfg.ListOpt(
        "enabled_weighers",
        default=["CapacityWeigher"],
        help="Weighers that rank the pools which passed, by the names of their entry points.",
    ),
    cfg.FloatOpt(
        "capacity_weight_multiplier",
        default=1.0,
        help="Weight of free space; negative fills pools up one after another.",
    ),
    cfg.FloatOpt(
        "volume_number_multiplier", default=-1.0, help="Weight of the number of volumes; negative spreads them."
    ),
]
