"""``volumed-manage``: what an administrator does in a state folder while no service runs."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

#: Exit status when it could not be done at all.
CANNOT = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = _parser().parse_args(argv)
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    from volumed.launch import concurrency

    concurrency.choose_threading()
    from volumed.client.rest import ClientError
    from volumed.model.errors import VolumedError

    try:
        return _doctor(options)
    except (VolumedError, ClientError) as error:
        print(f"volumed-manage: {error}", file=sys.stderr)
        return CANNOT


def _doctor(options: argparse.Namespace) -> int:
    from volumed.client.answer import print_answer
    from volumed.client.doctor import answer_of, wanted_repair
    from volumed.launch import alone
    from volumed.launch.http import Address
    from volumed.launch.state_folder import default_path
    from volumed.launch.wishes import Wishes

    body = wanted_repair(options)
    wishes = Wishes(
        state=options.state or default_path(),
        listen=Address.parse("127.0.0.1:0"),
        config_files=options.config_file,
        remote_noauth=False,
        debug=False,
    )
    answer = answer_of(alone.examine(wishes, None if body is None else body["repair"]))
    print_answer(answer, options.json)
    return answer.exit_status


def _parser() -> argparse.ArgumentParser:
    from volumed.client.doctor import repair_options

    parser = argparse.ArgumentParser(prog="volumed-manage", description="Work in a state folder while no service runs.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    doctor = commands.add_parser(
        "doctor",
        help="look for leftovers and contradictions, and repair them",
        description="Without --repair it only looks. Exit status: 0 clean, 1 findings, 2 not everything was looked at.",
    )
    doctor.add_argument("--state", type=Path, metavar="DIR", help="the state folder (default: ~/.local/share/volumed)")
    doctor.add_argument(
        "--config-file", type=Path, action="append", default=[], metavar="FILE", help="read after DIR/volumed.conf"
    )
    doctor.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    repair_options(doctor)
    return parser


if __name__ == "__main__":
    sys.exit(main())
