"""The ``tgt`` target: a userspace tgtd of the backend's own, spoken to over its management socket."""

from volumed_drivers.targets.tgt.target import TgtTarget

__all__ = ["TgtTarget"]
