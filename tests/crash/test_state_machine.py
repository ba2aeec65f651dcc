"""Any sequence of requests, kills and failures keeps what was promised; one that does not shrinks to a readable one.

``make soak`` tries new sequences for as long as it is told; ``SEED`` replays what it found.
"""

import os
import secrets
import time
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.crash.ground import Ground
from tests.crash.machine import Machine

pytestmark = [pytest.mark.part("tgtd"), pytest.mark.slow, pytest.mark.timeout(1800)]

#: The same sequences each time, so that a change is judged by what was true before it.
FEW = settings(
    max_examples=int(os.environ.get("VOLUMED_EXAMPLES", "8")),
    stateful_step_count=25,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
    phases=[Phase.generate, Phase.shrink],
)

#: Examples of a soak between two looks at the clock; each such run has a seed of its own.
AT_A_TIME = 10
MANY = settings(FEW, derandomize=False, max_examples=AT_A_TIME, stateful_step_count=50, print_blob=False)


@pytest.fixture
def ground() -> Iterator[Ground]:
    ground = Ground()
    try:
        yield ground
    finally:
        ground.close()


def machine_on(ground: Ground) -> type[Machine]:
    return type("Machine", (Machine,), {"ground": ground})


def test_any_sequence_keeps_what_was_promised(ground: Ground) -> None:
    run_state_machine_as_test(machine_on(ground), settings=FEW)


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_soak(ground: Ground) -> None:
    end = time.monotonic() + 60 * float(os.environ.get("VOLUMED_SOAK_MINUTES", "10"))
    chosen = os.environ.get("SEED") or None
    while time.monotonic() < end:
        number = int(chosen or secrets.randbelow(2**32))
        print(f"seed {number}: {AT_A_TIME} sequences", flush=True)
        run_state_machine_as_test(seed(number)(machine_on(ground)), settings=MANY)
        if chosen is not None:
            return
