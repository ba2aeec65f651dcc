"""The API inside another's WSGI server, which has the sockets, the threads and the processes.

Made at the first request of each process, so that a server may fork as it likes: nothing is open before. Knows where
the configuration is; needs no concurrency to be chosen before it is imported.
"""

import atexit
import logging
import os
import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from volumed.api.wsgi_types import Application
from volumed.launch import logs

LOG = logging.getLogger(__name__)

#: Environment variable with the configuration files, as PATH has folders.
FILES = "VOLUMED_CONFIG_FILES"
DEFAULT_FILE = "/etc/volumed/volumed.conf"


class HostedApi:
    """A WSGI application (PEP 3333). While its database is away it answers 503 and tries again at the next request."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: tuple[int, Application] | None = None

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        return self._application()(environ, start_response)

    def _application(self) -> Application:
        with self._lock:
            if self._made is None or self._made[0] != os.getpid():
                made = make([Path(each) for each in os.environ.get(FILES, DEFAULT_FILE).split(os.pathsep) if each])
                if made is None:
                    return _away
                self._made = os.getpid(), made
            return self._made[1]


def make(files: list[Path]) -> Application | None:
    """The API as ``files`` configure it, until the process exits; None while its database is away.

    Raises ``ConfigurationError`` for what is wrong, or not safe behind a server whose addresses are not known.
    """
    from volumed.launch import concurrency

    concurrency.choose_threading()
    from volumed.launch import configuration, open_door

    logs.to_stderr(debug=False)
    conf = configuration.of_fleet(files)
    logs.as_configured(conf)
    open_door.refuse_hosted(conf)
    return _made(conf)


def _made(conf: Any) -> Application | None:
    from sqlalchemy.exc import OperationalError

    from volumed.db import migrate
    from volumed.launch import keys
    from volumed.launch.assembly import Assembly
    from volumed.launch.tracing import traced
    from volumed.model.errors import ServiceUnavailable

    state = Path(conf.state_path)
    assembly = Assembly(conf, state, state / "secrets.key")
    try:
        migrate.check(assembly.database)
        keys.unlock(assembly.database)
        api = assembly.api()
        application: Application = api.application()
    except (ServiceUnavailable, OperationalError) as error:
        LOG.warning("the database is away: %s", getattr(error, "orig", error))
        assembly.close()
        return None
    spans = ExitStack()
    spans.enter_context(traced(conf, "volumed-api"))
    atexit.register(spans.close)
    atexit.register(assembly.close)
    atexit.register(api.stop)
    LOG.info("the API is ready in process %d", os.getpid())
    return application


def _away(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    from volumed.api.errors import RETRY_AFTER, fault

    headers = [("Content-Type", "application/json"), ("Retry-After", str(RETRY_AFTER))]
    start_response("503 Service Unavailable", headers)
    return [fault(503, "The database cannot be used now.")]
