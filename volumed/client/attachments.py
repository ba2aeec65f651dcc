"""Commands that let an initiator in and out: attach, detach.

A CHAP secret is shown only where it is asked for: ``--show-secret``, or a file that only its owner reads.
"""

import os
import socket
import uuid
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from volumed.client.answer import Answer, sheet, table
from volumed.client.names import find_volume, is_id
from volumed.client.rest import ClientError, Json, Rest

if TYPE_CHECKING:
    from volumed.client.arguments import Commands

#: Where open-iscsi keeps the node's name (iscsid(8)).
_INITIATOR_FILE = Path("/etc/iscsi/initiatorname.iscsi")
_UNNAMED_INITIATOR = "iqn.2010-10.org.openstack:volumed-client"

#: Fields of a connection that are secrets.
_SECRETS = ("auth_password", "discovery_auth_password")


def register(commands: "Commands", connection: ArgumentParser) -> None:
    """Add the commands."""
    parser = commands.add_parser("attach", parents=[connection], help="let an initiator use a volume over iSCSI")
    parser.add_argument("volume", metavar="VOLUME", help="id or name")
    parser.add_argument("--instance", metavar="UUID", help="who uses it (a fresh id by default)")
    parser.add_argument("--mode", choices=("rw", "ro"), default="rw", help="read and write, or only read")
    parser.add_argument("--mountpoint", help="device under which the user knows it")
    parser.add_argument("--initiator", metavar="IQN", help=f"the initiator's name ({_INITIATOR_FILE} by default)")
    parser.add_argument("--host", default=socket.gethostname(), help="the initiator's node (default: this one)")
    parser.add_argument("--ip", default="127.0.0.1", help="the initiator's address (default: %(default)s)")
    secret = parser.add_mutually_exclusive_group()
    secret.add_argument("--show-secret", action="store_true", help="print the CHAP password")
    secret.add_argument("--secret-file", metavar="FILE", help="write the CHAP password to a new file with mode 0600")
    parser.set_defaults(run=attach)
    parser = commands.add_parser("detach", parents=[connection], help="end an attachment")
    parser.add_argument("volume", metavar="VOLUME", help="the volume (id or name), or the attachment's id")
    parser.add_argument("--all", action="store_true", help="every attachment of the volume")
    parser.set_defaults(run=detach)


def attach(rest: Rest, args: Namespace) -> Answer:
    """``volumed attach``: reserved, exported and marked as used, in two requests."""
    volume = find_volume(rest, args.volume)
    body = {
        "volume_uuid": volume["id"],
        "instance_uuid": args.instance or str(uuid.uuid4()),
        "mode": args.mode,
        "connector": {
            "host": args.host,
            "ip": args.ip,
            "initiator": args.initiator or _own_initiator(),
            "mountpoint": args.mountpoint,
            "os_type": "linux",
            "platform": os.uname().machine,
            "multipath": False,
        },
    }
    with _secret_file(args.secret_file) as descriptor:
        attachment: Json = rest.post("/attachments", {"attachment": body}).document["attachment"]
        if descriptor is not None:
            os.write(descriptor, str(attachment["connection_info"].get("auth_password") or "").encode())
    rest.post(f"/attachments/{attachment['id']}/action", {"os-complete": {}})
    if not args.show_secret:
        attachment["connection_info"] = _without_secrets(attachment["connection_info"])
    return Answer({"attachment": attachment}, lambda: sheet(_facts(attachment, args.secret_file)))


def detach(rest: Rest, args: Namespace) -> Answer:
    """``volumed detach``."""
    ended = _chosen(rest, args)
    for attachment in ended:
        rest.delete(f"/attachments/{attachment['id']}")
    return Answer(
        {"detached": ended},
        lambda: table(
            ("detached", "volume", "instance"), ((each["id"], each["volume_id"], each["instance"]) for each in ended)
        ),
    )


def _chosen(rest: Rest, args: Namespace) -> list[Json]:
    volume_id = args.volume if is_id(args.volume) else find_volume(rest, args.volume)["id"]
    found = list(rest.pages("/attachments", "attachments", volume_id=volume_id))
    if not found and is_id(args.volume):
        found = [rest.get(f"/attachments/{args.volume}")["attachment"]]
    if not found:
        raise ClientError(f"volume {args.volume} has no attachment")
    if len(found) > 1 and not args.all:
        ids = ", ".join(str(each["id"]) for each in found)
        raise ClientError(f"volume {args.volume} has several attachments, give one's id or --all: {ids}")
    return [{"id": each["id"], "volume_id": each["volume_id"], "instance": each["instance"]} for each in found]


def _own_initiator() -> str:
    try:
        lines = _INITIATOR_FILE.read_text().splitlines()
    except OSError:
        return _UNNAMED_INITIATOR
    names = (line.partition("=")[2].strip() for line in lines if line.startswith("InitiatorName="))
    return next(names, "") or _UNNAMED_INITIATOR


@contextmanager
def _secret_file(path: str | None) -> Iterator[int | None]:
    """A new file open for the secret, made before the attachment is and removed when that fails."""
    if path is None:
        yield None
        return
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise ClientError(f"--secret-file {path}: {error.strerror}") from error
    try:
        yield descriptor
    except BaseException:
        os.unlink(path)
        raise
    finally:
        os.close(descriptor)


def _without_secrets(connection: Json) -> Json:
    return {name: value for name, value in connection.items() if name not in _SECRETS}


def _facts(attachment: Json, secret_file: str | None) -> list[tuple[str, object]]:
    connection = attachment["connection_info"]
    hidden = f"in {secret_file}" if secret_file else "hidden; --show-secret or --secret-file FILE tell it"
    with_chap = connection.get("auth_method") == "CHAP"
    return [
        ("attachment", attachment["id"]),
        ("volume", attachment["volume_id"]),
        ("instance", attachment["instance"]),
        ("portal", connection.get("target_portal")),
        ("target", connection.get("target_iqn")),
        ("LUN", connection.get("target_lun")),
        ("CHAP user", connection.get("auth_username")),
        ("CHAP password", connection.get("auth_password") or hidden if with_chap else None),
        ("mode", attachment["attach_mode"]),
    ]
