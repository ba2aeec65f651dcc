"""``volumed-manage``: what an administrator does beside the services, in a state folder or on a fleet.

With ``--state`` it is everything in one folder, while no service runs there; with ``--config-file`` alone, a fleet.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from volumed.cmd import manage_fleet

if TYPE_CHECKING:
    from volumed.launch.alone import Taken
    from volumed.launch.wishes import Wishes

    _Commands = argparse._SubParsersAction[argparse.ArgumentParser]

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
        return int(options.run(options))
    except (VolumedError, ClientError) as error:
        print(f"volumed-manage: {error}", file=sys.stderr)
        return CANNOT


def _doctor(options: argparse.Namespace) -> int:
    from volumed.client.answer import print_answer
    from volumed.client.doctor import answer_of, wanted_repair
    from volumed.launch import alone

    body = wanted_repair(options)
    answer = answer_of(alone.examine(_place(options), None if body is None else body["repair"]))
    print_answer(answer, options.json)
    return answer.exit_status


def _rotate(options: argparse.Namespace) -> int:
    from volumed.launch import alone, keys

    print(alone.on_database(_place(options), lambda database: keys.rotate(database, options.new_key)))
    return 0


def _replace(options: argparse.Namespace) -> int:
    from volumed.launch import alone, keys

    print(alone.on_database(_place(options), keys.replace))
    return 0


def _print_key(options: argparse.Namespace) -> int:
    from volumed.db.key_file import new_key

    print(new_key().decode())
    return 0


def _place(options: argparse.Namespace) -> "Taken":
    from volumed.launch import alone

    if options.config_file and options.state is None:
        return alone.node(options.config_file)
    return alone.folder(_wishes(options))


def _wishes(options: argparse.Namespace) -> "Wishes":
    from volumed.launch.http import Address
    from volumed.launch.state_folder import default_path
    from volumed.launch.wishes import Wishes

    return Wishes(
        state=options.state or default_path(),
        listen=Address.parse("127.0.0.1:0"),
        config_files=options.config_file,
        remote_noauth=False,
        debug=False,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="volumed-manage", description="Work in a state folder while no service runs, or on a fleet."
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_doctor(commands)
    _add_secrets(commands)
    manage_fleet.register(commands)
    return parser


def _add_doctor(commands: "_Commands") -> None:
    from volumed.client.doctor import repair_options

    doctor = commands.add_parser(
        "doctor",
        help="look for leftovers and contradictions, and repair them",
        description="Without --repair it only looks. Exit status: 0 clean, 1 findings, 2 not everything was looked at.",
    )
    _folder_options(doctor)
    doctor.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    repair_options(doctor)
    doctor.set_defaults(run=_doctor)


def _add_secrets(commands: "_Commands") -> None:
    secrets = commands.add_parser("secrets", help="change the keys that the stored secrets are sealed with")
    what = secrets.add_subparsers(metavar="COMMAND", required=True)
    rotate = what.add_parser("rotate", help="seal every stored secret anew with the first key of the key file")
    rotate.add_argument(
        "--new-key", action="store_true", help="with a new key, which is then the only one in the state folder's file"
    )
    rotate.set_defaults(run=_rotate)
    replace = what.add_parser(
        "replace",
        help="new secrets for the attachments whose secrets no key opens",
        description="Their clients must ask for the attachment again before they log in the next time.",
    )
    replace.set_defaults(run=_replace)
    for each in (rotate, replace):
        _folder_options(each)
    new_key = what.add_parser("new-key", help="print a key for the file that all nodes of a fleet have")
    new_key.set_defaults(run=_print_key)


def _folder_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--state", type=Path, metavar="DIR", help="the state folder (default: ~/.local/share/volumed)")
    parser.add_argument(
        "--config-file",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="with --state, read after DIR/volumed.conf; without, the configuration of a fleet",
    )


if __name__ == "__main__":
    sys.exit(main())
