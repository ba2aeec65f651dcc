"""Commands on volumes: create, list, show, extend, revert, delete."""

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from volumed.client.accepted import accepted
from volumed.client.answer import Answer, sheet, table
from volumed.client.arguments import gibibytes, pair, positive, waiting_options
from volumed.client.names import find_snapshot, find_volume
from volumed.client.rest import Json, Misused, Rest

if TYPE_CHECKING:
    from volumed.client.arguments import Commands


def register(commands: "Commands", connection: ArgumentParser) -> None:
    """Add the commands."""
    _register_create(commands, connection)
    parser = commands.add_parser("list", parents=[connection], help="list volumes")
    parser.add_argument("--all-projects", action="store_true", help="of every project (administrators)")
    parser.add_argument("--status", help="only those in this status")
    parser.add_argument("--name", help="only those with this name")
    parser.add_argument("--limit", type=positive, help="at most this many, the newest")
    parser.set_defaults(run=list_volumes)
    parser = commands.add_parser("show", parents=[connection], help="show one volume")
    parser.add_argument("volume", metavar="VOLUME", help="id or name")
    parser.set_defaults(run=show)
    parser = commands.add_parser("extend", parents=[connection, waiting_options()], help="make a volume larger")
    parser.add_argument("volume", metavar="VOLUME", help="id or name")
    parser.add_argument("size", metavar="GIB", type=gibibytes, help="its new size")
    parser.set_defaults(run=extend)
    parser = commands.add_parser("revert", parents=[connection, waiting_options()], help="bring a volume back")
    parser.add_argument("snapshot", metavar="SNAPSHOT", help="its latest snapshot (id or name)")
    parser.set_defaults(run=revert)
    parser = commands.add_parser("delete", parents=[connection, waiting_options()], help="delete a volume")
    parser.add_argument("volume", metavar="VOLUME", help="id or name")
    parser.add_argument("--cascade", action="store_true", help="its snapshots too")
    parser.set_defaults(run=delete)


def _register_create(commands: "Commands", connection: ArgumentParser) -> None:
    parser = commands.add_parser("create", parents=[connection, waiting_options()], help="create a volume")
    parser.add_argument("size", metavar="GIB", type=gibibytes, nargs="?", help="its size; a copy has its source's")
    parser.add_argument("--name", help="its name")
    parser.add_argument("--description", help="what it is for")
    parser.add_argument("--type", help="volume type")
    parser.add_argument("--zone", help="availability zone")
    parser.add_argument("--metadata", metavar="KEY=VALUE", type=pair, action="append", default=[], help="repeatable")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--snapshot", metavar="SNAPSHOT", help="copy this snapshot (id or name)")
    source.add_argument("--source", metavar="VOLUME", help="copy this volume (id or name)")
    parser.set_defaults(run=create)


def create(rest: Rest, args: Namespace) -> Answer:
    """``volumed create``."""
    body: Json = {
        "size": args.size,
        "name": args.name,
        "description": args.description,
        "volume_type": args.type,
        "availability_zone": args.zone,
        "metadata": dict(args.metadata),
    }
    if args.snapshot is not None:
        source = find_snapshot(rest, args.snapshot)
        body |= {"snapshot_id": source["id"], "size": args.size or source["size"]}
    elif args.source is not None:
        source = find_volume(rest, args.source)
        body |= {"source_volid": source["id"], "size": args.size or source["size"]}
    elif args.size is None:
        raise Misused("a volume without a source needs a size: volumed create GIB")
    reply = rest.post("/volumes", {"volume": {name: value for name, value in body.items() if value is not None}})
    return accepted(rest, args, reply, "volume", reply.document["volume"]["id"])


def list_volumes(rest: Rest, args: Namespace) -> Answer:
    """``volumed list``."""
    query = {"all_tenants": 1 if args.all_projects else None, "status": args.status, "name": args.name}
    rows = list(rest.pages("/volumes/detail", "volumes", limit=args.limit, **query))
    return Answer(
        {"volumes": rows},
        lambda: table(
            ("id", "name", "GiB", "status", "type", "host", "attached to"),
            (
                (
                    row["id"],
                    row["name"],
                    row["size"],
                    row["status"],
                    row.get("volume_type"),
                    row.get("os-vol-host-attr:host"),
                    ", ".join(str(each.get("server_id") or each.get("id")) for each in row["attachments"]) or None,
                )
                for row in rows
            ),
        ),
    )


def show(rest: Rest, args: Namespace) -> Answer:
    """``volumed show``."""
    volume = find_volume(rest, args.volume)
    return Answer({"volume": volume}, lambda: sheet(_facts(volume)))


def extend(rest: Rest, args: Namespace) -> Answer:
    """``volumed extend``."""
    volume_id = find_volume(rest, args.volume)["id"]
    reply = rest.post(f"/volumes/{volume_id}/action", {"os-extend": {"new_size": args.size}})
    return accepted(rest, args, reply, "volume", volume_id)


def revert(rest: Rest, args: Namespace) -> Answer:
    """``volumed revert``."""
    snapshot = find_snapshot(rest, args.snapshot)
    volume_id = snapshot["volume_id"]
    reply = rest.post(f"/volumes/{volume_id}/action", {"revert": {"snapshot_id": snapshot["id"]}})
    return accepted(rest, args, reply, "volume", volume_id)


def delete(rest: Rest, args: Namespace) -> Answer:
    """``volumed delete``."""
    volume_id = find_volume(rest, args.volume)["id"]
    reply = rest.delete(f"/volumes/{volume_id}", cascade="true" if args.cascade else None)
    return accepted(rest, args, reply, "volume", volume_id)


def _facts(volume: Json) -> list[tuple[str, object]]:
    return [
        ("id", volume["id"]),
        ("name", volume["name"]),
        ("description", volume["description"]),
        ("size", f"{volume['size']} GiB"),
        ("status", volume["status"]),
        ("error", (volume.get("volumed:error") or {}).get("message")),
        ("type", volume.get("volume_type")),
        ("zone", volume["availability_zone"]),
        ("host", volume.get("os-vol-host-attr:host")),
        ("project", volume.get("os-vol-tenant-attr:tenant_id")),
        ("from snapshot", volume["snapshot_id"]),
        ("from volume", volume["source_volid"]),
        ("metadata", volume["metadata"]),
        ("created", volume["created_at"]),
        *(("attachment", f"{each['attachment_id']} to {each.get('server_id')}") for each in volume["attachments"]),
    ]
