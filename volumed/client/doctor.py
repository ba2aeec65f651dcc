"""``volumed doctor``: what differs between rows and backends, and its repair.

Exit statuses of this command: 0 nothing differs, 1 something does (or a repair failed), 2 not everything could be
looked at.
"""

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from volumed.client.answer import FAILED, OK, Answer, table
from volumed.client.rest import Json, Misused, Rest
from volumed.client.waiting import wait_for

if TYPE_CHECKING:
    from rich.console import RenderableType

    from volumed.client.arguments import Commands

#: Exit status when a backend could not be looked at: nobody knows whether all is well there.
BLIND = 2

#: Seconds that one repair may take before the command stops waiting for it.
PATIENCE = 600.0


def register(commands: "Commands", connection: ArgumentParser) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "doctor",
        parents=[connection],
        help="look for leftovers and contradictions, and repair them (administrators)",
        description="Without --repair it only looks. Exit status: 0 clean, 1 findings, 2 not everything was looked at.",
    )
    repair_options(parser)
    parser.set_defaults(run=doctor)


def repair_options(parser: ArgumentParser) -> None:
    """What is to be repaired."""
    parser.add_argument(
        "--repair",
        nargs="?",
        const="",
        metavar="FINDING",
        help="repair the finding with this id, or --all of them",
    )
    parser.add_argument("--all", action="store_true", help="with --repair: every finding that has a repair")


def wanted_repair(args: Namespace) -> Json | None:
    """The body of the request to repair; None: only look. Raises ``Misused``."""
    if args.repair is None and not args.all:
        return None
    if bool(args.repair) == args.all or args.repair is None:
        raise Misused("say --repair FINDING or --repair --all")
    return {"repair": {"all": True} if args.all else {"finding": args.repair}}


def doctor(rest: Rest, args: Namespace) -> Answer:
    """``volumed doctor``."""
    body = wanted_repair(args)
    if body is None:
        return answer_of(rest.get("/doctor")["doctor"])
    asked = rest.post("/doctor", body).document["doctor"]["repairs"]
    repairs = [each | {"operation": wait_for(rest, each["operation_id"], PATIENCE)} for each in asked]
    return answer_of(rest.get("/doctor")["doctor"] | {"repairs": repairs})


def answer_of(examined: Json) -> Answer:
    """What was found, and repaired before, as it is said to machines and people."""
    failed = [each for each in examined.get("repairs", ()) if each["operation"]["state"] != "succeeded"]
    status = BLIND if examined["not_looked_at"] else FAILED if examined["findings"] or failed else OK
    return Answer({"doctor": examined}, lambda: _draw(examined), status)


def _draw(examined: Json) -> "RenderableType":
    from rich.console import Group

    parts: list[RenderableType] = []
    if examined.get("repairs"):
        parts += [_repairs(examined["repairs"]), ""]
    if examined["findings"]:
        parts.append(_findings(examined["findings"]))
    places = ", ".join(examined["looked_at"]) or "no backend"
    parts.append(f"{len(examined['findings']) or 'no'} findings in the rows and on {places}")
    parts += [f"not looked at: {each['host']}: {each['reason']}" for each in examined["not_looked_at"]]
    return Group(*parts)


def _findings(found: list[Json]) -> "RenderableType":
    rows = ((each["id"], each["kind"], each["evidence"], each["repair"] or "none; see the evidence") for each in found)
    return table(("finding", "kind", "evidence", "repair"), rows)


def _repairs(repairs: list[Json]) -> "RenderableType":
    return table(
        ("operation", "state", "repair", "why"),
        (
            (
                each["operation"]["id"],
                each["operation"]["state"],
                f"{each['finding']['kind']} {each['finding']['subject']}: {each['finding']['repair']}",
                (each["operation"].get("error") or {}).get("message"),
            )
            for each in repairs
        ),
    )
