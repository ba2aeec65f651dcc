"""A file backend of the test's own: its options, its folders, and driver objects of it."""

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from volumed.conf import backend
from volumed.driver.conformance import DataPath
from volumed.driver.interface import Owner
from volumed.driver.registry import Setup
from volumed_drivers.file.driver import FileDriver

OWNER = Owner("test-deployment", "file")


@dataclass(frozen=True)
class FileBackend:
    """``folder`` holds its state and, unless an option says otherwise, its pool."""

    folder: Path
    target: str
    data: DataPath
    owner: Owner = OWNER
    options: dict[str, Any] = field(default_factory=dict)
    pool: str = "pool"

    def setup(self) -> Setup:
        options = {option.dest: option.default for option in (*backend.OPTIONS, *FileDriver.OPTIONS)} | {
            "target_helper": self.target,
            "target_port": 0,
            "lio_helper_socket": str(self.folder / "lio.sock"),
        }
        return Setup(
            backend=self.owner.backend,
            host="test-host",
            owner=self.owner,
            options=SimpleNamespace(**(options | self.options)),
            state_path=self.folder,
        )

    def driver(self) -> FileDriver:
        return FileDriver(self.setup())

    def close(self) -> None:
        """End the target daemon."""
        driver = self.driver()
        driver.do_setup()
        driver.close()
