"""Connects to a daemon of this node; knows nothing of what is said."""

import socket
import struct


def connected(path: str, timeout: float) -> socket.socket:
    """A stream to who listens on ``path``; each wait of it takes ``timeout`` seconds at most.

    Raises ``BlockingIOError`` when the listener takes no connection in time, another ``OSError`` when nobody listens.
    The connect blocks: to one that does not, as of a socket with Python's timeout, a full backlog is an error at once,
    as if nobody listened. Source: connect(2), EAGAIN; socket(7), SO_SNDTIMEO.
    """
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(timeout), 0))
        stream.connect(path)
        stream.settimeout(timeout)
    except BaseException:
        stream.close()
        raise
    return stream
