"""What every handler works with: the database, the ways to wake the other services, the rules, the settings."""

from dataclasses import dataclass
from typing import Any

from volumed.api.policy import Policy
from volumed.api.settings import Settings
from volumed.api.streams import Streams
from volumed.db.engine import Database
from volumed.operations.ends import EndPoller
from volumed.operations.examination import Examiner
from volumed.operations.feed import Feed
from volumed.rpc.scheduler_client import SchedulerClient
from volumed.rpc.volume_client import VolumeClient


@dataclass(frozen=True, slots=True)
class ApiParts:
    """What the app is built from."""

    conf: Any
    database: Database
    scheduler: SchedulerClient
    volume: VolumeClient
    ends: EndPoller
    #: Compares rows with rows; the backends are asked by ``volume``.
    rows: Examiner
    feed: Feed


@dataclass(frozen=True, slots=True)
class Tier:
    """The parts as the handlers see them."""

    database: Database
    scheduler: SchedulerClient
    volume: VolumeClient
    ends: EndPoller
    rows: Examiner
    feed: Feed
    streams: Streams
    settings: Settings
    policy: Policy
