"""``volumed``: the client's commands, and ``volumed up``, which is everything in one process."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from volumed.launch import logs


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["up"]:
        return up(arguments[1:])
    from volumed.client import cli

    return cli.main(arguments)


def up(arguments: Sequence[str]) -> int:
    """Serve until a signal ends it."""
    options = _parser().parse_args(arguments)
    logs.to_stderr(options.debug)
    from volumed.launch import concurrency

    concurrency.choose_threading()
    from volumed.cmd import starting
    from volumed.launch import embedded
    from volumed.launch.http import Address
    from volumed.launch.state_folder import default_path
    from volumed.launch.wishes import Wishes

    def serve() -> int:
        concurrency.refuse_eventlet("volumed up is on SQLite, which would stop eventlet's hub; it runs on threads")
        return embedded.run(
            Wishes(
                state=options.state or default_path(),
                listen=Address.parse(options.listen),
                config_files=options.config_file,
                remote_noauth=options.allow_remote_noauth,
                debug=options.debug,
            )
        )

    return starting.start("volumed", serve)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="volumed up", description="All services in one process, until Ctrl-C.")
    parser.add_argument(
        "--state",
        type=Path,
        metavar="DIR",
        help="folder of everything that is kept; made when missing (default: ~/.local/share/volumed)",
    )
    parser.add_argument(
        "--listen",
        default="127.0.0.1:8776",
        metavar="HOST:PORT",
        help="where the REST API listens; port 0 takes a free one (default: %(default)s)",
    )
    parser.add_argument(
        "--config-file",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="read after DIR/volumed.conf; may be given several times",
    )
    parser.add_argument(
        "--allow-remote-noauth",
        action="store_true",
        help="listen beyond this machine although auth_strategy = noauth believes everybody",
    )
    parser.add_argument("--debug", action="store_true", help="log details too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
