"""Connects to a daemon of this node; knows nothing of what is said."""

import os
import socket
import struct
from pathlib import Path


def connected(path: Path, timeout: float) -> socket.socket:
    """A stream to who listens on ``path``; each wait of it takes ``timeout`` seconds at most.

    Through the folder's descriptor: a socket's path may have 107 bytes, a state folder's more.

    Raises ``BlockingIOError`` when the listener takes no connection in time, another ``OSError`` when nobody listens.
    The connect blocks: to one that does not, as of a socket with Python's timeout, a full backlog is an error at once,
    as if nobody listened. Source: connect(2), EAGAIN; socket(7), SO_SNDTIMEO.
    """
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        patience = struct.pack("ll", *divmod(int(timeout * 1_000_000), 1_000_000))
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, patience)
        stream.connect(f"/proc/self/fd/{folder}/{path.name}")
        stream.settimeout(timeout)
    except BaseException:
        stream.close()
        raise
    finally:
        os.close(folder)
    return stream
