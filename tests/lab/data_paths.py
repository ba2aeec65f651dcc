"""Ways to a volume's data for the conformance suite: a real iSCSI initiator, and what is behind a fake target."""

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from tests.lab import initiator
from tests.lab.initiator import Session


class Iscsi:
    """Through qemu-io, logged in with the credentials of the connection info."""

    authenticates = True

    def initiator(self, username: str) -> str | None:
        return None

    def write_pattern(self, info: Mapping[str, Any], pattern: int, offset: int, length: int) -> None:
        initiator.write_pattern(initiator.Connection.of(info), pattern, offset, length)

    def has_pattern(self, info: Mapping[str, Any], pattern: int, offset: int, length: int) -> bool:
        return initiator.has_pattern(initiator.Connection.of(info), pattern, offset, length)

    def size(self, info: Mapping[str, Any]) -> int:
        return initiator.size(initiator.Connection.of(info))

    def session(self, info: Mapping[str, Any]) -> AbstractContextManager[Session]:
        return initiator.session(initiator.Connection.of(info))


class Local:
    """The path that the fake target names, read and written as it is."""

    authenticates = False

    def initiator(self, username: str) -> str | None:
        return None

    def write_pattern(self, info: Mapping[str, Any], pattern: int, offset: int, length: int) -> None:
        with Path(info["data"]["device_path"]).open("r+b") as stream:
            stream.seek(offset)
            stream.write(bytes([pattern]) * length)
            stream.flush()
            os.fsync(stream.fileno())

    def has_pattern(self, info: Mapping[str, Any], pattern: int, offset: int, length: int) -> bool:
        with Path(info["data"]["device_path"]).open("rb") as stream:
            stream.seek(offset)
            return stream.read(length) == bytes([pattern]) * length

    def size(self, info: Mapping[str, Any]) -> int:
        with Path(info["data"]["device_path"]).open("rb") as stream:
            return stream.seek(0, os.SEEK_END)

    def session(self, info: Mapping[str, Any]) -> AbstractContextManager[Session]:
        raise NotImplementedError("a file has no sessions")
