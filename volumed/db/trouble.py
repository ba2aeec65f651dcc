"""What a driver's error means for a transaction: it may pass, or the database is away, or neither.

Sources: PostgreSQL's appendix "Error Codes"; mariadb.com/kb, "MariaDB Error Codes"; PEP 249 for the classes.
"""

import sqlite3
from typing import Any

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, TimeoutError

#: The same transaction may succeed now: serialization failure, deadlock, a lock that was waited for too long.
_PASSING_SQLSTATES = frozenset({"40001", "40P01", "55P03"})
_PASSING_NUMBERS = frozenset({1205, 1213})

#: The server ends, starts, has no connection or no room left: classes 57P and 53, and 25006 for one that only reads.
_ABSENT_SQLSTATES = ("57P", "53", "25006")
_ABSENT_NUMBERS = frozenset({1021, 1040, 1053, 1114, 1203, 1290, 1836, 1927})

_UNUSABLE_FILE = ("disk is full", "unable to open", "readonly database", "disk I/O error")


class Again(Exception):
    """Raised by a transaction whose statements saw different moments: run again, it sees what is true."""


def may_pass(error: Exception) -> bool:
    """Whether nothing but other transactions stood in the way: the same one may succeed now."""
    if isinstance(error, Again):
        return True
    if not isinstance(error, DBAPIError):
        return False
    original: Any = error.orig
    if isinstance(original, sqlite3.OperationalError):
        return "locked" in str(original) or "busy" in str(original)
    return getattr(original, "sqlstate", None) in _PASSING_SQLSTATES or _number(original) in _PASSING_NUMBERS


def is_lost(error: Exception) -> bool:
    """Whether the connection is gone: the server rolls back, unless it was told to commit before."""
    return isinstance(error, DBAPIError) and error.connection_invalidated


def is_absence(error: Exception) -> bool:
    """Whether the database cannot be used now: it is away, full, takes nobody, or every connection is in use."""
    if isinstance(error, TimeoutError) or is_lost(error):
        return True
    if not isinstance(error, DBAPIError):
        return False
    original: Any = error.orig
    if isinstance(original, sqlite3.Error):
        return any(words in str(original) for words in _UNUSABLE_FILE)
    if (getattr(original, "sqlstate", None) or "").startswith(_ABSENT_SQLSTATES):
        return True
    return _number(original) in _ABSENT_NUMBERS or _was_not_reached(error)


def _was_not_reached(error: DBAPIError) -> bool:
    """Connecting failed. Without a statement there is no other reason, but for a commit that another rule knows."""
    return isinstance(error, (OperationalError, InterfaceError)) and error.statement is None and not may_pass(error)


def _number(original: Any) -> Any:
    arguments: tuple[Any, ...] = getattr(original, "args", ())
    return arguments[0] if arguments else None
