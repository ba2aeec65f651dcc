"""Serves keystone with cheroot; run by the interpreter of keystone's own environment, which has nothing of ours.

``python -I keystone_host.py PORT``, the configuration in the folder ``OS_KEYSTONE_CONFIG_DIR``.
"""

import sys


def main() -> None:
    """Serve until killed."""
    port = int(sys.argv.pop())  # keystone reads the command line, too
    from cheroot.wsgi import Server
    from keystone.wsgi.api import application

    Server(("127.0.0.1", port), application, numthreads=4).safe_start()


if __name__ == "__main__":
    main()
