"""``volumed-api``, ``volumed-scheduler`` and ``volumed-volume``: the services of a fleet, each by its configuration."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from volumed.launch import concurrency

Run = Callable[[argparse.Namespace], int]


def api(argv: Sequence[str] | None = None) -> int:
    """Run ``volumed-api``; returns the exit status."""
    parser = _parser("volumed-api", "The REST API; any number of them may run.")
    parser.add_argument(
        "--listen", metavar="HOST:PORT", help="where to listen; port 0 takes a free one (default: [api] listen)"
    )
    return _run(parser, argv, _api)


def scheduler(argv: Sequence[str] | None = None) -> int:
    """Run ``volumed-scheduler``; returns the exit status."""
    return _run(_parser("volumed-scheduler", "Places volumes; any number of them may run."), argv, _scheduler)


def volume(argv: Sequence[str] | None = None) -> int:
    """Run ``volumed-volume``; returns the exit status."""
    parser = _parser("volumed-volume", "Serves the enabled backends of this node, each in a process of its own.")
    return _run(parser, argv, _volume)


def _api(options: argparse.Namespace) -> int:
    from volumed.launch import fleet
    from volumed.launch.http import Address

    return fleet.run_api(options.config_file, Address.parse(options.listen) if options.listen else None)


def _scheduler(options: argparse.Namespace) -> int:
    from volumed.launch import fleet

    return fleet.run_scheduler(options.config_file)


def _volume(options: argparse.Namespace) -> int:
    from volumed.launch import backends

    return backends.run(options.config_file)


def _run(parser: argparse.ArgumentParser, argv: Sequence[str] | None, run: Run) -> int:
    options = parser.parse_args(argv)
    os.umask(0o027)
    from volumed.cmd import starting

    return starting.start(parser.prog, lambda: _serve(run, options))


def _serve(run: Run, options: argparse.Namespace) -> int:
    concurrency.choose()
    from volumed.launch import logs

    logs.to_stderr(debug=False)
    return run(options)


def _parser(program: str, about: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=program, description=f"{about} Until SIGTERM; SIGHUP reads options again.")
    parser.add_argument(
        "--config-file",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="configuration; may be given several times, the later wins",
    )
    return parser


SERVICES = {"api": api, "scheduler": scheduler, "volume": volume}

if __name__ == "__main__":
    sys.exit(SERVICES[sys.argv[1]](sys.argv[2:]))
