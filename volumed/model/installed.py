"""What is installed beside us, by entry points: drivers, targets, filters, weighers.

Looked up once for each process: it means reading every installed package's list, some 20 ms each time.
"""

import functools
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points


@functools.cache
def installed(group: str) -> Mapping[str, EntryPoint]:
    """The group's entry points by their names."""
    return {each.name: each for each in entry_points(group=group)}
