"""Which targets show a new size to those who are logged in."""

from volumed.driver.interface import Target
from volumed_drivers.targets.tgt.target import TgtTarget


def shows_growth(target: Target) -> bool:
    """Whether an open session sees that its volume has grown: tgt tells only those who log in anew."""
    return not isinstance(target, TgtTarget)
