"""Signs of life of a call that tells none: somebody else makes it, and whoever waits asks whether the cluster answers.

Knows threads; knows nothing of what is called.
"""

import threading
from collections.abc import Callable
from typing import Final

from volumed_drivers.rbd.relay import Relay

#: Seconds between two signs.
INTERVAL: Final = 1.0


def carry_out(call: Callable[[], object], is_answered: Callable[[], bool], relay: Relay, total: int) -> None:
    """Have a thread make the ``call``, and tell ``relay`` of nothing done, again and again, while ``is_answered``.

    The progress is told by the thread that calls here, as any is. What it raises does not stop the call, for nothing
    does: the relay keeps it. Raises what the call raises, when that has ended.
    """
    raised: list[BaseException] = []

    def make() -> None:
        try:
            call()
        except BaseException as error:
            raised.append(error)

    # None of a pool, whose end a process waits for. On eventlet it is a green one, and librbd's door does the rest.
    thread = threading.Thread(target=make, name="ceph-call", daemon=True)
    thread.start()
    thread.join(INTERVAL)
    while thread.is_alive():
        if is_answered():
            relay(0, total)
        thread.join(INTERVAL)
    if raised:
        raise raised[0]
