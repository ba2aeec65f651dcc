"""What listens for a service: it waits for a broker that is away, and says that it does.

Knows when messages can arrive; knows nothing of what they ask.
"""

import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from volumed.rpc.dispatcher import RpcDispatcher
from volumed.rpc.patience import within
from volumed.rpc.transport import make_server, on_redeclared

LOG = logging.getLogger(__name__)

#: Seconds between two attempts to listen.
PAUSE = 1.0

#: Seconds that a start waits for the broker before it goes on without.
PATIENCE = 5.0

#: Seconds in which a server stops that has nothing to do.
FAREWELL = 5.0


class Listener:
    """Has ``dispatcher`` answer what arrives for ``server`` of ``topic``, in ``workers`` threads.

    ``back`` is called when messages arrive after a time in which they did not: the broker came, or came back.
    """

    def __init__(
        self,
        transport: Any,
        exchange: str,
        topic: str,
        server: str,
        dispatcher: RpcDispatcher,
        workers: int,
        back: Callable[[], None],
    ) -> None:
        self._make: Callable[[], Any] = partial(make_server, transport, exchange, topic, server, dispatcher)
        self._workers = workers
        self._back = back
        self._server: Any = None
        self._stopping = threading.Event()
        #: Set when it listens, or when its start no longer waits for that.
        self._waited_for = threading.Event()
        self._trouble: str | None = "it does not listen yet"
        self._thread = threading.Thread(target=self._listen, name=f"listen {server}", daemon=True)
        on_redeclared(transport, back)

    @property
    def trouble(self) -> str | None:
        """Why it has not begun to listen, None once it has."""
        return self._trouble

    def start(self) -> None:
        """Listen; a broker that does not answer within ``PATIENCE`` is waited for in the background."""
        self._thread.start()
        self._waited_for.wait(PATIENCE)
        self._waited_for.set()

    def stop(self) -> None:
        """Take no more messages; those that are being answered end first, within ``FAREWELL`` seconds."""
        self._stopping.set()
        try:
            within(FAREWELL, self._close)
        except Exception as error:
            LOG.warning("the broker was left without a farewell: %s", error or "it is silent")

    def _listen(self) -> None:
        while not self._stopping.is_set():
            server = self._make()
            try:
                server.start(override_pool_size=self._workers)
            except Exception as error:
                self._complain(error)
                self._stopping.wait(PAUSE)
            else:
                self._server = server
                self._trouble = None
                self._begin()
                return

    def _begin(self) -> None:
        late = self._waited_for.is_set()
        self._waited_for.set()
        if late:
            LOG.info("the broker is there; messages arrive")
            self._back()

    def _complain(self, error: Exception) -> None:
        trouble = f"the broker cannot be reached: {error}"
        if trouble != self._trouble:
            LOG.error("%s; it is tried again", trouble)
        self._trouble = trouble

    def _close(self) -> None:
        if self._thread.ident is not None:
            self._thread.join()
        if self._server is not None:
            self._server.stop()
            self._server.wait()
