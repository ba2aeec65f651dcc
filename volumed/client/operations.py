"""Commands that say what happened and why: operations, timeline, explain."""

from argparse import SUPPRESS, ArgumentParser, Namespace
from contextlib import suppress
from copy import deepcopy
from typing import TYPE_CHECKING

from volumed.client.answer import FAILED, OK, Answer, table
from volumed.client.arguments import positive
from volumed.client.moments import between, clock, duration
from volumed.client.names import volume_id_of
from volumed.client.rest import Misused, Rest

if TYPE_CHECKING:
    from volumed.client.arguments import Commands

STATES = ("queued", "running", "waiting", "undoing", "succeeded", "failed")


def register(commands: "Commands", connection: ArgumentParser) -> None:
    """Add the commands."""
    group = commands.add_parser(
        "operations", parents=[connection, _choice()], help="accepted requests: list, show, --watch"
    )
    group.set_defaults(run=watch)
    verbs = group.add_subparsers(metavar="COMMAND")
    below = [_again(connection), _again(_choice())]
    parser = verbs.add_parser("list", parents=below, help="list operations, the newest first")
    parser.add_argument("--state", choices=STATES, help="only those in this state")
    parser.add_argument("--limit", type=positive, default=100, help="at most this many (default %(default)s)")
    parser.set_defaults(run=list_operations)
    parser = verbs.add_parser("show", parents=below[:1], help="show one operation with its steps")
    parser.add_argument("operation", metavar="OPERATION", help="its id")
    parser.set_defaults(run=show)
    for verb, about in (("cancel", "have a live operation undone"), ("retry", "do a failed operation again")):
        parser = verbs.add_parser(verb, parents=[connection], help=about)
        parser.add_argument("operation", metavar="OPERATION", help="its id")
        parser.set_defaults(run=act, verb=verb)
    parser = commands.add_parser(
        "timeline", parents=[connection], help="everything that was done for a volume, also for a deleted one"
    )
    parser.add_argument("volume", metavar="VOLUME", help="id, or name while it exists")
    parser.set_defaults(run=timeline)
    parser = commands.add_parser("explain", parents=[connection], help="why a volume is where it is, or nowhere")
    parser.add_argument("volume", metavar="VOLUME", help="id, or name while it exists")
    parser.set_defaults(run=explain)


def _choice() -> ArgumentParser:
    """Which operations are meant, and whether to follow them."""
    parent = ArgumentParser(add_help=False)
    parent.add_argument("--watch", action="store_true", help="follow those that are under way, until Ctrl-C")
    parent.add_argument("--resource", metavar="ID", help="only those on this volume, snapshot or attachment")
    parent.add_argument("--all-projects", action="store_true", help="of every project (administrators)")
    return parent


def _again(parent: ArgumentParser) -> ArgumentParser:
    """The same options, for a command below one that has them: one that is not given there counts as given above."""
    again = deepcopy(parent)
    for action in again._actions:
        action.default = SUPPRESS
    return again


def watch(rest: Rest, args: Namespace) -> None:
    """``volumed operations --watch``."""
    from volumed.client import watching

    if not args.watch:
        raise Misused("say volumed operations list, show or --watch")
    # To watch ends when the user has seen enough: nothing is interrupted by that.
    with suppress(KeyboardInterrupt):
        watching.watch(rest, args)


def list_operations(rest: Rest, args: Namespace) -> Answer | None:
    """``volumed operations list``."""
    if args.watch:
        if args.state is not None:
            raise Misused("--watch follows operations through all states: it takes no --state")
        watch(rest, args)
        return None
    query = {
        "state": args.state,
        "resource_id": args.resource,
        "all_tenants": 1 if args.all_projects else None,
    }
    rows = list(rest.pages("/operations", "operations", limit=args.limit, **query))
    return Answer(
        {"operations": rows},
        lambda: table(
            ("id", "kind", "resource", "state", "began", "took", "why"),
            (
                (
                    row["id"],
                    row["kind"],
                    row["resource_id"],
                    row["state"],
                    clock(row["created_at"]),
                    duration(between(row["created_at"], row["ended_at"])),
                    (row.get("error") or {}).get("message") or row.get("wait_reason"),
                )
                for row in rows
            ),
        ),
    )


def show(rest: Rest, args: Namespace) -> Answer:
    """``volumed operations show``."""
    from volumed.client.drawing import draw_timeline

    operation = rest.get(f"/operations/{args.operation}")["operation"]
    return Answer({"operation": operation}, lambda: draw_timeline([operation]))


def act(rest: Rest, args: Namespace) -> Answer:
    """``volumed operations cancel`` and ``volumed operations retry``."""
    operation = rest.post(f"/operations/{args.operation}/action", {args.verb: {}}).document["operation"]
    told = f"operation {operation['id']} ({operation['kind']}): {operation['state']}"
    if args.verb == "cancel" and operation["state"] != "failed":
        told += ", to be cancelled"
    return Answer({"operation": operation}, lambda: told)


def timeline(rest: Rest, args: Namespace) -> Answer:
    """``volumed timeline``."""
    from volumed.client.drawing import draw_timeline

    document = rest.get(f"/volumes/{volume_id_of(rest, args.volume)}/timeline")
    return Answer(document, lambda: draw_timeline(document["timeline"]["operations"]))


def explain(rest: Rest, args: Namespace) -> Answer:
    """``volumed explain``; the exit status says whether a backend was found."""
    from volumed.client.drawing import draw_placement

    document = rest.get(f"/volumes/{volume_id_of(rest, args.volume)}/placement")
    placement = document["placement"]
    return Answer(document, lambda: draw_placement(placement), OK if placement.get("chosen") else FAILED)
