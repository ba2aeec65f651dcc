"""The client commands of ``volumed``: options in, one REST request or a few, one answer out.

Exit statuses: 0 done (or accepted, without ``--wait``); 1 the request was refused or its operation failed; 2 wrong
usage; 3 the server cannot be reached; 4 the operation was still under way when ``--timeout`` passed.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from volumed.client import attachments, doctor, fleet, manageable, operations, snapshots, volumes, why
from volumed.client.answer import FAILED, OK, UNFINISHED, UNREACHABLE, USAGE, Answer, print_answer, print_document
from volumed.client.arguments import connection_options
from volumed.client.rest import ClientError, Json, Misused, Refused, Rest, Unreachable
from volumed.client.waiting import Unfinished

_EPILOG = """\
exit status: 0 done, 1 refused or failed, 2 wrong usage, 3 server not reached, 4 still under way after --timeout
the server itself, all in one process: volumed up --help"""


_EXIT_STATUSES = {Misused: USAGE, Unreachable: UNREACHABLE, Unfinished: UNFINISHED}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    args = build_parser().parse_args(argv)
    try:
        answer: Answer | None = args.run(Rest(args.url, args.token), args)
        if answer is None:  # it has said all while it went
            return OK
        print_answer(answer, args.json)
    except ClientError as error:
        return _complain(error, args.json)
    except KeyboardInterrupt:
        print("volumed: interrupted; what was accepted goes on", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output is gone (a pager, head): nobody is left to tell, and no traceback at the exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    if answer.exit_status == FAILED:
        _complain_of_operation(answer.document)
    return answer.exit_status


def build_parser() -> argparse.ArgumentParser:
    """All client commands."""
    parser = argparse.ArgumentParser(
        prog="volumed",
        description="Block volumes whose accepted requests always end in a declared state.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    connection = connection_options()
    for module in (volumes, attachments, snapshots, operations, why, fleet, doctor, manageable):
        module.register(commands, connection)
    return parser


def _complain(error: ClientError, as_json: bool) -> int:
    print(f"volumed: {error}", file=sys.stderr)
    if as_json:
        print_document({"error": _as_document(error)})
    return next((status for kind, status in _EXIT_STATUSES.items() if isinstance(error, kind)), FAILED)


def _as_document(error: ClientError) -> Json:
    if isinstance(error, Refused):
        return {"code": error.code, "message": error.message, "request_id": error.request_id}
    return {"code": None, "message": str(error), "request_id": None}


def _complain_of_operation(document: Json) -> None:
    operation = document.get("operation") or {}
    message = (operation.get("error") or {}).get("message")
    if message:
        print(f"volumed: {operation['kind']} failed: {message}", file=sys.stderr)
