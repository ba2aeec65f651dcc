"""LIO's exports in a guest, each beside the bare writes of configfs in the same run."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.figure import Figure
from tests.lab.guest.machine import guest

ROOT = Path(__file__).parents[1]

#: Targets that are there while one more is exported.
COUNTS = (1, 100, 500)

#: Seconds for all of it, in a guest on a busy host.
PATIENCE = 900.0


def exports() -> Iterator[Figure]:
    """One export more and its removal, beside so many others; then all of them after a reboot."""
    command = [sys.executable, "-m", "bench.lio_inside", *map(str, COUNTS)]
    with guest() as machine:
        done = machine.run(command, timeout=PATIENCE, folder=ROOT)
    assert done.status == 0, done.complaint
    *counted, many = [json.loads(line) for line in done.output.splitlines()]
    for told in counted:
        beside = f"{told['count']} target{'s' * (told['count'] != 1)}"
        yield Figure(f"LIO export beside {beside}", told["export"], "ms", "1.5 x raw", told["bare"], "bare writes")
        yield Figure(f"LIO unexport beside {beside}", told["remove"], "ms", "", told["bare_remove"], "bare writes")
        yield Figure(f"LIO export in place, {beside}", told["again"], "ms", "", None, "")
    count = many["many"]
    each = many["made"] / count
    yield Figure(f"{count} exports after a reboot, each", each, "ms", "5 ms", counted[-1]["bare"], "bare writes")
    yield Figure(f"{count} exports read, nothing to change", many["read"], "ms", "1500 ms", None, "")
