"""A WSGI server of two processes around ``volumed.api.wsgi:application``, as gunicorn with ``--preload`` has them.

``python -m tests.lab.wsgi_host``: the application is imported first, then two processes are forked, each with a port of
its own and the standard library's ``wsgiref``; each says its URL. All of them end with whoever started them.
"""

import ctypes
import os
import signal
import sys
from wsgiref.simple_server import WSGIRequestHandler, make_server

from volumed.api.wsgi import application

#: Source: prctl(2).
PR_SET_PDEATHSIG = 1


class Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Nothing but what the application says is in the log."""


def die_with(parent: int) -> None:
    """SIGKILL when the parent ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def serve() -> None:
    """Until SIGTERM, which ends the process as its exit handlers want it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with make_server("127.0.0.1", 0, application, handler_class=Quiet) as server:
        print(f"wsgi {os.getpid()} http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()


def main(parent: int) -> int:
    """Fork two, hand SIGTERM on, and wait for them."""
    die_with(parent)
    children = []
    for _ in range(2):
        me = os.getpid()
        child = os.fork()
        if child == 0:
            die_with(me)
            serve()
        children.append(child)
    signal.signal(signal.SIGTERM, lambda *_: [os.kill(child, signal.SIGTERM) for child in children])
    return max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
