"""The log: one line an event, with the ids of the request and the operation that it is about.

To stderr by the standard library, until a service of a fleet has its configuration and hands the rest to oslo.log.
Knows which loggers are ours; a secret is kept out of it by whoever writes, not here.
"""

import logging
import sys
from typing import Any

from volumed.model import subject

OURS = ("volumed", "volumed_drivers")

#: How a line begins where oslo.log writes it; ``about`` is ``[REQUEST OPERATION] `` or nothing.
_BEGINNING = "%(asctime)s.%(msecs)03d %(process)d %(levelname)s %(name)s: %(about)s"

#: What we want otherwise than oslo.log.
_DEFAULTS = {
    "use_stderr": True,
    "logging_default_format_string": f"{_BEGINNING}%(message)s",
    "logging_context_format_string": f"{_BEGINNING}%(message)s",
    "logging_exception_prefix": _BEGINNING,
    "logging_debug_format_suffix": "",
}


class Subjects(logging.Filter):
    """Puts on each record what its thread is at: ``request_id``, ``operation_id``; ``extra`` is for oslo.log's JSON."""

    def filter(self, record: logging.LogRecord) -> bool:
        now = subject.current()
        ids = {"request_id": now.request_id, "operation_id": now.operation_id}
        vars(record).update(ids, extra=ids)
        record.about = f"[{' '.join(each for each in ids.values() if each)}] " if now != subject.NOTHING else ""
        return True


def to_stderr(debug: bool) -> None:
    """Begin to log; others' libraries say warnings only."""
    logging.basicConfig(
        level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(about)s%(message)s"
    )
    _add_subjects()
    logging.captureWarnings(True)
    detail(debug)


def as_configured(conf: Any) -> None:
    """Log where and how oslo.log's options say."""
    from oslo_log import log

    log.setup(conf, "volumed", fix_eventlet=False)
    _add_subjects()
    detail_as_configured(conf)


def detail_as_configured(conf: Any) -> None:
    """Take the level that is configured now; where a file of Python's logging says all, it says this too."""
    if not conf.log_config_append:
        logging.getLogger().setLevel(logging.WARNING)  # oslo.log would have others tell as much as we do
        detail(conf.debug)


def detail(debug: bool) -> None:
    """Say details too, or no longer."""
    logging.getLogger("py.warnings").setLevel(logging.WARNING if debug else logging.ERROR)
    for name in OURS:
        logging.getLogger(name).setLevel(logging.DEBUG if debug else logging.INFO)


def known_options() -> list[tuple[str, list[Any]]]:
    """Every option that oslo.log reads, by group, but ``debug``: that one is ours."""
    from oslo_log import _options

    return [
        (group or "DEFAULT", [each for each in options if each.name != "debug"])
        for group, options in _options.list_opts()
    ]


def register_options(conf: Any) -> None:
    """Register them, with our defaults."""
    for group, options in known_options():
        conf.register_opts(options, group=None if group == "DEFAULT" else group)
    for name, value in _DEFAULTS.items():
        conf.set_default(name, value)


def _add_subjects() -> None:
    """To every handler that there is: a logger's own filter would not see what comes from the loggers below it."""
    loggers = [logging.getLogger(), *(logging.getLogger(name) for name in list(logging.root.manager.loggerDict))]
    for handler in (handler for logger in loggers for handler in logger.handlers):
        if not any(isinstance(each, Subjects) for each in handler.filters):
            handler.addFilter(Subjects())
