"""Commands on snapshots: create, list, show, delete."""

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from volumed.client.accepted import accepted
from volumed.client.answer import Answer, sheet, table
from volumed.client.arguments import positive, waiting_options
from volumed.client.names import find_snapshot, find_volume, volume_id_of
from volumed.client.rest import Json, Rest

if TYPE_CHECKING:
    from volumed.client.arguments import Commands


def register(commands: "Commands", connection: ArgumentParser) -> None:
    """Add the commands."""
    group = commands.add_parser("snapshot", help="snapshots: create, list, show, delete")
    verbs = group.add_subparsers(metavar="COMMAND", required=True)
    parser = verbs.add_parser("create", parents=[connection, waiting_options()], help="take a snapshot of a volume")
    parser.add_argument("volume", metavar="VOLUME", help="id or name")
    parser.add_argument("--name", help="its name")
    parser.add_argument("--description", help="what it is for")
    parser.add_argument("--force", action="store_true", help="also while the volume is attached")
    parser.set_defaults(run=create)
    parser = verbs.add_parser("list", parents=[connection], help="list snapshots")
    parser.add_argument("--all-projects", action="store_true", help="of every project (administrators)")
    parser.add_argument("--volume", metavar="VOLUME", help="only of this volume (id or name)")
    parser.add_argument("--status", help="only those in this status")
    parser.add_argument("--limit", type=positive, help="at most this many, the newest")
    parser.set_defaults(run=list_snapshots)
    parser = verbs.add_parser("show", parents=[connection], help="show one snapshot")
    parser.add_argument("snapshot", metavar="SNAPSHOT", help="id or name")
    parser.set_defaults(run=show)
    parser = verbs.add_parser("delete", parents=[connection, waiting_options()], help="delete a snapshot")
    parser.add_argument("snapshot", metavar="SNAPSHOT", help="id or name")
    parser.set_defaults(run=delete)


def create(rest: Rest, args: Namespace) -> Answer:
    """``volumed snapshot create``."""
    body: Json = {"volume_id": find_volume(rest, args.volume)["id"]} | ({"force": True} if args.force else {})
    body |= {name: value for name in ("name", "description") if (value := getattr(args, name)) is not None}
    reply = rest.post("/snapshots", {"snapshot": body})
    return accepted(rest, args, reply, "snapshot", reply.document["snapshot"]["id"])


def list_snapshots(rest: Rest, args: Namespace) -> Answer:
    """``volumed snapshot list``."""
    volume_id = None if args.volume is None else volume_id_of(rest, args.volume)
    query = {"all_tenants": 1 if args.all_projects else None, "status": args.status, "volume_id": volume_id}
    rows = list(rest.pages("/snapshots/detail", "snapshots", limit=args.limit, **query))
    return Answer(
        {"snapshots": rows},
        lambda: table(
            ("id", "name", "GiB", "status", "volume"),
            ((row["id"], row["name"], row["size"], row["status"], row["volume_id"]) for row in rows),
        ),
    )


def show(rest: Rest, args: Namespace) -> Answer:
    """``volumed snapshot show``."""
    snapshot = find_snapshot(rest, args.snapshot)
    return Answer({"snapshot": snapshot}, lambda: sheet(_facts(snapshot)))


def delete(rest: Rest, args: Namespace) -> Answer:
    """``volumed snapshot delete``."""
    snapshot_id = find_snapshot(rest, args.snapshot)["id"]
    reply = rest.delete(f"/snapshots/{snapshot_id}")
    return accepted(rest, args, reply, "snapshot", snapshot_id)


def _facts(snapshot: Json) -> list[tuple[str, object]]:
    return [
        ("id", snapshot["id"]),
        ("name", snapshot["name"]),
        ("description", snapshot["description"]),
        ("volume", snapshot["volume_id"]),
        ("size", f"{snapshot['size']} GiB"),
        ("status", snapshot["status"]),
        ("metadata", snapshot["metadata"]),
        ("created", snapshot["created_at"]),
    ]
