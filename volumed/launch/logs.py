"""The log: one line an event to stderr, by the standard library.

Knows which loggers are ours; a secret is kept out of it by whoever writes, not here.
"""

import logging
import sys

OURS = ("volumed", "volumed_drivers")


def to_stderr(debug: bool) -> None:
    """Begin to log; others' libraries say warnings only."""
    logging.basicConfig(
        level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.captureWarnings(True)
    detail(debug)


def detail(debug: bool) -> None:
    """Say details too, or no longer."""
    logging.getLogger("py.warnings").setLevel(logging.WARNING if debug else logging.ERROR)
    for name in OURS:
        logging.getLogger(name).setLevel(logging.DEBUG if debug else logging.INFO)
