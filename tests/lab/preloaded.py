"""Imported once by the process from which daemons are forked: all that ``volumed up`` ever imports, and no thread.

What a process looks up once and keeps is looked up here, for all of them.
"""

import gc
import mimetypes

from volumed.launch import concurrency

concurrency.choose_threading()

import alembic.command  # noqa: E402
import alembic.config  # noqa: E402, F401
import jsonschema  # noqa: E402, F401
import oslo_policy.policy  # noqa: E402, F401
import psycopg  # noqa: E402, F401
import sqlalchemy.dialects.postgresql.psycopg  # noqa: E402
import sqlalchemy.dialects.sqlite  # noqa: E402, F401

import tests.lab.nursery  # noqa: E402, F401
import volumed.launch.backends  # noqa: E402
import volumed.launch.embedded  # noqa: E402, F401
from volumed.model.installed import installed  # noqa: E402
from volumed.rpc.transport import known_options  # noqa: E402

mimetypes.init()
known_options()
for _group in ("volumed.drivers", "volumed.targets", "volumed.scheduler.filters", "volumed.scheduler.weighers"):
    for _plugin in installed(_group).values():
        _plugin.load()

# What is there now stays in every child: its garbage collector need not look at it, nor copy its pages.
gc.freeze()
