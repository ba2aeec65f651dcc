"""Version pins: what the oldest live service of each topic understands, so that nobody is sent what is too new for him.

Reads the services' rows and nothing else; knows no method.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from volumed.db import services
from volumed.db.engine import Database
from volumed.model.records import Service
from volumed.rpc.dispatcher import FIRST_VERSION, Version

LOG = logging.getLogger(__name__)

#: Seconds between two looks at the rows.
REFRESH_INTERVAL: Final = 15.0


@dataclass(frozen=True, slots=True)
class Peer:
    """The oldest live service of a topic."""

    name: str
    version: Version

    def understands(self, version: str) -> bool:
        """Whether a message of ``version`` is served by it."""
        asked = Version.parse(version)
        return asked is not None and self.version.serves(asked)


class Pins:
    """The pins of one process. ``down_time``: seconds without a report after which a service is not alive any more.

    Before the first ``refresh`` nothing is pinned.
    """

    def __init__(self, database: Database, down_time: float) -> None:
        self._database = database
        self._down_time = down_time
        self._oldest: Mapping[str, Peer] = {}

    def refresh(self) -> None:
        """Read the rows again: at the start, every ``REFRESH_INTERVAL`` seconds, on SIGHUP."""
        with self._database.reading() as tx:
            found = services.all_with_age(tx)
        oldest: dict[str, Peer] = {}
        for service, age in found:
            if age <= self._down_time and service.state != "down":
                _keep_older(oldest, service)
        for topic, peer in oldest.items():
            if peer != self._oldest.get(topic):
                LOG.info("messages to %s are of version %s at most: %s", topic, _text(peer.version), peer.name)
        self._oldest = oldest

    def too_old_for(self, topic: str, version: str) -> Peer | None:
        """The live service of ``topic`` that does not understand ``version``, None where all do."""
        peer = self._oldest.get(topic)
        return None if peer is None or peer.understands(version) else peer


def _keep_older(oldest: dict[str, Peer], service: Service) -> None:
    version = Version.parse(service.rpc_version) or Version.parse(FIRST_VERSION)
    assert version is not None
    known = oldest.get(service.topic)
    if known is None or (version.major, version.minor) < (known.version.major, known.version.minor):
        oldest[service.topic] = Peer(f"{service.binary} on {service.host}, version {_text(version)}", version)


def _text(version: Version) -> str:
    return f"{version.major}.{version.minor}"
