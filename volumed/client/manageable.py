"""Commands about what others made on a backend: list it, manage it, and give volumes and snapshots away."""

import json
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from typing import TYPE_CHECKING

from volumed.client.accepted import accepted
from volumed.client.answer import Answer, table
from volumed.client.arguments import pair, positive, waiting_options
from volumed.client.names import find_snapshot, find_volume
from volumed.client.rest import Json, Misused, Rest

if TYPE_CHECKING:
    from volumed.client.arguments import Commands


def register(commands: "Commands", connection: ArgumentParser) -> None:
    """Add the commands."""
    parser = commands.add_parser("manageable", parents=[connection], help="what others made on a backend")
    parser.add_argument("host", metavar="HOST", help="the place: host@backend, or host@backend#pool")
    parser.add_argument("--snapshots", action="store_true", help="what could be a snapshot, not a volume")
    parser.add_argument("--marker", help="begin behind this reference")
    parser.add_argument("--limit", type=positive, help="at most this many")
    parser.set_defaults(run=list_manageable)
    parser = commands.add_parser(
        "manage", parents=[connection, waiting_options()], help="make what others made a volume or snapshot"
    )
    parser.add_argument("host", metavar="HOST", nargs="?", help="of a volume: host@backend, or host@backend#pool")
    parser.add_argument("reference", metavar="REFERENCE", type=_reference, help="its name there, or JSON")
    parser.add_argument("--snapshot-of", metavar="VOLUME", help="it is a snapshot of this volume (id or name)")
    parser.add_argument("--name", help="its new name")
    parser.add_argument("--description", help="what it is for")
    parser.add_argument("--type", help="of a volume: its type")
    parser.add_argument("--bootable", action="store_true", help="of a volume: it can be booted from")
    parser.add_argument("--metadata", type=pair, action="append", default=[], metavar="KEY=VALUE", help="repeatable")
    parser.set_defaults(run=manage)
    parser = commands.add_parser(
        "unmanage", parents=[connection, waiting_options()], help="give a volume or snapshot away with its data"
    )
    parser.add_argument("resource", metavar="VOLUME", help="id or name")
    parser.add_argument("--snapshot", action="store_true", help="it is a snapshot")
    parser.set_defaults(run=unmanage)


def list_manageable(rest: Rest, args: Namespace) -> Answer:
    """``volumed manageable``."""
    kind = "snapshots" if args.snapshots else "volumes"
    query = {"host": args.host, "marker": args.marker, "limit": args.limit}
    found = rest.get(f"/manageable_{kind}/detail", **query)
    rows = found[f"manageable-{kind}"]
    return Answer(
        found,
        lambda: table(
            ("reference", "GiB", "safe", "managed as", "why not"),
            (
                (
                    _shown(row["reference"]),
                    row["size"],
                    "yes" if row["safe_to_manage"] else "no",
                    row["cinder_id"],
                    row["reason_not_safe"],
                )
                for row in rows
            ),
        ),
    )


def manage(rest: Rest, args: Namespace) -> Answer:
    """``volumed manage``."""
    body: Json = {"ref": args.reference} | ({"metadata": dict(args.metadata)} if args.metadata else {})
    body |= {name: value for name in ("name", "description") if (value := getattr(args, name)) is not None}
    if args.snapshot_of is not None:
        body["volume_id"] = find_volume(rest, args.snapshot_of)["id"]
        reply = rest.post("/manageable_snapshots", {"snapshot": body})
        return accepted(rest, args, reply, "snapshot", reply.document["snapshot"]["id"])
    if args.host is None:
        raise Misused("give HOST before REFERENCE, or --snapshot-of VOLUME")
    body |= {"host": args.host, "bootable": args.bootable} | ({"volume_type": args.type} if args.type else {})
    reply = rest.post("/manageable_volumes", {"volume": body})
    return accepted(rest, args, reply, "volume", reply.document["volume"]["id"])


def unmanage(rest: Rest, args: Namespace) -> Answer:
    """``volumed unmanage``."""
    kind, find = ("snapshot", find_snapshot) if args.snapshot else ("volume", find_volume)
    resource_id = find(rest, args.resource)["id"]
    reply = rest.post(f"/{kind}s/{resource_id}/action", {"os-unmanage": None})
    return accepted(rest, args, reply, kind, resource_id)


def _reference(text: str) -> Json | str:
    """A name as it is, or a reference of several words as JSON."""
    if not text.startswith("{"):
        return text
    try:
        found: Json = json.loads(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is not JSON: {error}") from None
    return found


def _shown(reference: Json) -> str:
    values = list(reference.values())
    return str(values[0]) if len(values) == 1 else json.dumps(reference, ensure_ascii=False)
