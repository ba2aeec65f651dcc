"""``make bench``: every figure, or those that are named. Prints; judges nothing.

Each figure starts servers of its own in a temporary folder. Let nothing else run meanwhile.
"""

import argparse
import os
import platform
import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from bench import (
    attach,
    creates,
    doctor,
    fleet,
    lio,
    lists,
    lvm,
    lvm_restart,
    placements,
    rbd,
    recovery,
    rpc,
    safety,
    starts,
    statements,
)
from bench.figure import Figure, print_table

FIGURES: dict[str, Callable[[], Iterator[Figure]]] = {
    "latency": creates.latency,
    "throughput": creates.throughput,
    "statements": statements.per_create,
    "start": starts.start,
    "volumes": starts.start_with_volumes,
    "details": lists.details,
    "page": lists.page,
    "placement": placements.among_many,
    "doctor": doctor.look,
    "full-project": creates.full_project,
    "restart": recovery.restart,
    "backlog": recovery.backlog,
    "doctor-under-load": doctor.under_load,
    "crash-safety": safety.cost,
    "fleet": fleet.fleet,
    "fleet-rpc": rpc.rpc,
    "fleet-volumes": fleet.volumes,
    "fleet-memory": fleet.memory,
    "lio": lio.exports,
    "lvm": lvm.measure,
    "lvm-restart": lvm_restart.measure,
    "attach": attach.measure,
    "rbd": rbd.driver,
    "rbd-rest": rbd.rest,
    "rbd-images": rbd.images,
}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="make bench BENCH=", description="The figures, each beside the raw cost.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of: {', '.join(FIGURES)}; all by default")
    names = parser.parse_args().names
    if unknown := set(names) - FIGURES.keys():
        parser.error(f"no such figure: {', '.join(sorted(unknown))}")
    figures: list[Figure] = []
    for name in names or FIGURES:
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        figures += FIGURES[name]()
    print(machine())
    print_table(figures)
    return 0


def machine() -> str:
    """What it was measured on."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} cores ({models[0] if models else platform.machine()}), Linux {platform.release()}, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, load {load:.1f}"
    )


if __name__ == "__main__":
    sys.exit(main())
