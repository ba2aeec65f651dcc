"""The one row that names this deployment: what volumed makes on a backend carries its id."""

from sqlalchemy import Connection, insert, select

from volumed.db.clock import now
from volumed.db.tables import deployment


def get_id(tx: Connection) -> str:
    """The id of this deployment."""
    return str(tx.execute(select(deployment.c.id)).scalar_one())


def ensure(tx: Connection, deployment_id: str) -> None:
    """Have a deployment; one that has a name keeps it."""
    if tx.execute(select(deployment.c.id)).first() is None:
        tx.execute(insert(deployment).values(singleton=1, id=deployment_id, created_at=now()))
