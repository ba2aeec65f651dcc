"""An RBD backend of the test's own: its options, and driver objects of it."""

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.lab.ceph.cluster import Client
from volumed.driver.conformance import DataPath
from volumed.driver.interface import Owner
from volumed.driver.registry import Setup
from volumed_drivers.rbd.driver import RbdDriver
from volumed_drivers.rbd.options import OPTIONS

OWNER = Owner("test-deployment", "rbd")


@dataclass(frozen=True)
class RbdBackend:
    """The pool of ``client`` and nothing else."""

    client: Client
    folder: Path
    data: DataPath
    owner: Owner = OWNER
    options: dict[str, Any] = field(default_factory=dict)
    host: str = "test-host"

    @property
    def pool(self) -> str:
        return self.client.pool

    def setup(self) -> Setup:
        options = {option.name: option.default for option in OPTIONS} | {
            "rbd_pool": self.client.pool,
            "rbd_user": self.client.user,
            "rbd_ceph_conf": self.client.configuration,
            "reserved_percentage": 0,
            "max_over_subscription_ratio": 20.0,
        }
        return Setup(
            backend=self.owner.backend,
            host=self.host,
            owner=self.owner,
            options=SimpleNamespace(**(options | self.options)),
            state_path=self.folder,
        )

    def driver(self) -> RbdDriver:
        return RbdDriver(self.setup())
