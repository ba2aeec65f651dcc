"""Imported once by the process from which daemons are forked: all that ``volumed up`` imports, and no thread."""

from volumed.launch import concurrency

concurrency.choose_threading()

import alembic.command  # noqa: E402
import alembic.config  # noqa: E402, F401

import volumed.launch.embedded  # noqa: E402, F401
import volumed_drivers.file.driver  # noqa: E402
import volumed_drivers.targets.tgt  # noqa: E402, F401
