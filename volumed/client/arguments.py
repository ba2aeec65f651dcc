"""What the options of all commands have in common."""

import argparse
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from volumed.client.answer import Answer
from volumed.client.rest import Rest

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

#: None: the command has said everything itself.
Run = Callable[[Rest, argparse.Namespace], Answer | None]

DEFAULT_URL = "http://127.0.0.1:8776"
DEFAULT_TOKEN = "admin:admin"

#: Seconds that ``--wait`` waits unless ``--timeout`` says otherwise.
DEFAULT_PATIENCE = 600.0


def connection_options(environment: Mapping[str, str] = os.environ) -> argparse.ArgumentParser:
    """The options that every command has."""
    parent = argparse.ArgumentParser(add_help=False)
    group = parent.add_argument_group("connection and output")
    group.add_argument(
        "--url", default=environment.get("VOLUMED_URL", DEFAULT_URL), help=f"the server (VOLUMED_URL, {DEFAULT_URL})"
    )
    group.add_argument(
        "--token",
        default=environment.get("VOLUMED_TOKEN", DEFAULT_TOKEN),
        help="who asks, USER:PROJECT under noauth (VOLUMED_TOKEN, admin:admin); better in the environment than here",
    )
    group.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    return parent


def waiting_options() -> argparse.ArgumentParser:
    """The options of a command whose work goes on after the answer."""
    parent = argparse.ArgumentParser(add_help=False)
    parent.add_argument("--wait", action="store_true", help="wait for the end, with a live line of progress")
    parent.add_argument(
        "--timeout",
        type=seconds,
        default=DEFAULT_PATIENCE,
        metavar="SECONDS",
        help="how long --wait waits (default %(default)g); the operation itself goes on",
    )
    return parent


def gibibytes(text: str) -> int:
    """A size as it is typed: whole GiB, with or without a ``G`` or ``GiB`` after it."""
    number = text.removesuffix("iB").removesuffix("G")
    if not (number.isascii() and number.isdigit()) or int(number) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size in whole GiB, 1 or more")
    return int(number)


def seconds(text: str) -> float:
    """A number of seconds, 0 or more."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not number >= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return number


def positive(text: str) -> int:
    """A whole number, 1 or more."""
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 1 or more")
    return int(text)


def pair(text: str) -> tuple[str, str]:
    """``KEY=VALUE``."""
    key, sign, value = text.partition("=")
    if not (key and sign):
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return key, value
