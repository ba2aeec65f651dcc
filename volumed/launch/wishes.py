"""What the command line of ``volumed up`` asks for, and the command line that asks for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from volumed.launch.http import Address


@dataclass(frozen=True, slots=True)
class Wishes:
    """See the module."""

    state: Path
    listen: Address
    config_files: Sequence[Path]
    remote_noauth: bool
    debug: bool

    def arguments(self) -> list[str]:
        """The arguments of ``volumed`` that ask for the same."""
        return [
            "up",
            *("--state", str(self.state)),
            *("--listen", str(self.listen)),
            *(argument for path in self.config_files for argument in ("--config-file", str(path))),
            *(["--allow-remote-noauth"] if self.remote_noauth else []),
            *(["--debug"] if self.debug else []),
        ]
