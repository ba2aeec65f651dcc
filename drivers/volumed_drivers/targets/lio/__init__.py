"""The ``lio`` target: the kernel's own, written to through configfs by one small privileged helper of the node."""

from volumed_drivers.targets.lio.target import LioTarget

__all__ = ["LioTarget"]
