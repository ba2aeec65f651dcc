"""Elects one process for a task that one at a time may do, or whoever comes first for one that is done now and then."""

from sqlalchemy import ColumnElement, Connection, insert, or_, update
from sqlalchemy.exc import IntegrityError

from volumed.db.clock import SECOND, now
from volumed.db.engine import Database
from volumed.db.tables import leaders


def lead(database: Database, task: str, holder: str, seconds: float) -> bool:
    """True when ``holder`` may do ``task`` for the next ``seconds``; a holder that dies is followed after that."""
    try:
        return database.write(_lead, task, holder, seconds)
    except IntegrityError:  # another process made the row first
        return False


def turn(database: Database, task: str, holder: str, seconds: float) -> bool:
    """True for whoever asks first once ``seconds`` have passed since the last time: nobody's death puts it off."""
    try:
        return database.write(_take_turn, task, holder, seconds)
    except IntegrityError:  # another process made the row first
        return False


def _take_turn(tx: Connection, task: str, holder: str, seconds: float) -> bool:
    """A turn further away than any can be was given before a clock was set back."""
    until = now() + int(seconds * SECOND)
    return _take(tx, task, holder, until, or_(leaders.c.until < now(), leaders.c.until > until + SECOND))


def _lead(tx: Connection, task: str, holder: str, seconds: float) -> bool:
    """A term that ends later than any can was begun before a clock was set back."""
    until = now() + int(seconds * SECOND)
    is_over = or_(leaders.c.until < now(), leaders.c.until > until + SECOND)
    return _take(tx, task, holder, until, or_(leaders.c.holder == holder, is_over))


def _take(tx: Connection, task: str, holder: str, until: ColumnElement[int], may: ColumnElement[bool]) -> bool:
    """Enter ``holder`` where its row says that it may, or where the task has none yet."""
    taken = update(leaders).where(leaders.c.task == task)
    if tx.execute(taken.where(may).values(holder=holder, until=until)).rowcount:
        return True
    if tx.execute(taken.values(task=task)).rowcount:
        return False
    tx.execute(insert(leaders).values(task=task, holder=holder, until=until))
    return True
