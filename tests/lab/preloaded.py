"""Imported once by the process from which daemons are forked: all that ``volumed up`` imports, and no thread."""

import gc

from volumed.launch import concurrency

concurrency.choose_threading()

from importlib.metadata import entry_points  # noqa: E402

import alembic.command  # noqa: E402
import alembic.config  # noqa: E402, F401
import psycopg  # noqa: E402, F401
import sqlalchemy.dialects.postgresql.psycopg  # noqa: E402, F401

import volumed.launch.backends  # noqa: E402
import volumed.launch.embedded  # noqa: E402, F401

for _group in ("volumed.drivers", "volumed.targets", "volumed.scheduler.filters", "volumed.scheduler.weighers"):
    for _plugin in entry_points(group=_group):
        _plugin.load()

# What is there now stays in every child: its garbage collector need not look at it, nor copy its pages.
gc.freeze()
