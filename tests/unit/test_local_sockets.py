"""Who listens and takes no connection is told from who does not listen."""

import socket
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from volumed_drivers.local_sockets import connected


def test_a_listener_that_takes_no_connection_is_waited_for_and_nobody_is_not(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with pytest.raises(FileNotFoundError):
        connected(path, 1)
    with closing(socket.socket(socket.AF_UNIX)) as listener, ExitStack() as streams:
        listener.bind(str(path))
        with pytest.raises(ConnectionRefusedError):
            connected(path, 1)
        listener.listen(0)
        streams.enter_context(connected(path, 1))
        with pytest.raises(BlockingIOError):
            streams.enter_context(connected(path, 1))
