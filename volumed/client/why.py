"""``volumed why``: what holds a volume, since when, and what it waits for, in sentences."""

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from volumed.client.answer import Answer
from volumed.client.names import volume_id_of
from volumed.client.rest import Json, Rest

if TYPE_CHECKING:
    from rich.console import RenderableType

    from volumed.client.arguments import Commands

#: Colours of the findings that are not as they should be.
_COLOURS = {"error": "red", "lost": "red", "nothing": "green"}


def register(commands: "Commands", connection: ArgumentParser) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "why", parents=[connection], help="what holds a volume, since when, and what it waits for"
    )
    parser.add_argument("volume", metavar="VOLUME", help="id, or name while it exists")
    parser.set_defaults(run=why)


def why(rest: Rest, args: Namespace) -> Answer:
    """``volumed why``."""
    document = rest.get(f"/volumes/{volume_id_of(rest, args.volume)}/why")
    return Answer(document, lambda: _draw(document["why"]))


def _draw(told: Json) -> "RenderableType":
    from rich.console import Group
    from rich.text import Text

    from volumed.client.answer import cell

    head = Text.assemble(("volume ", "bold"), f"{told['volume_id']} ", cell(told["status"]))
    return Group(head, *(Text(each["sentence"], style=_COLOURS.get(each["type"], "")) for each in told["findings"]))
