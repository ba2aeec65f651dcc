"""Commands that say what happened and why: operations, timeline, explain."""

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from volumed.client.answer import FAILED, OK, Answer, table
from volumed.client.arguments import positive
from volumed.client.moments import between, clock, duration
from volumed.client.names import volume_id_of
from volumed.client.rest import Rest

if TYPE_CHECKING:
    from volumed.client.arguments import Commands

STATES = ("queued", "running", "waiting", "undoing", "succeeded", "failed")


def register(commands: "Commands", connection: ArgumentParser) -> None:
    """Add the commands."""
    group = commands.add_parser("operations", help="accepted requests: list, show")
    verbs = group.add_subparsers(metavar="COMMAND", required=True)
    parser = verbs.add_parser("list", parents=[connection], help="list operations, the newest first")
    parser.add_argument("--state", choices=STATES, help="only those in this state")
    parser.add_argument("--resource", metavar="ID", help="only those on this volume, snapshot or attachment")
    parser.add_argument("--all-projects", action="store_true", help="of every project (administrators)")
    parser.add_argument("--limit", type=positive, default=100, help="at most this many (default %(default)s)")
    parser.set_defaults(run=list_operations)
    parser = verbs.add_parser("show", parents=[connection], help="show one operation with its steps")
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


def list_operations(rest: Rest, args: Namespace) -> Answer:
    """``volumed operations list``."""
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
