"""Whether this API process can do its work, for a load balancer."""

import falcon
from sqlalchemy import literal, select
from sqlalchemy.exc import SQLAlchemyError

from volumed.api import answers
from volumed.api.request import ApiRequest
from volumed.api.tier import Tier
from volumed.model.errors import ServiceUnavailable


class Health:
    """``GET /healthcheck``: 200 while the database answers, else 503. It asks nobody who he is."""

    def __init__(self, tier: Tier) -> None:
        self._tier = tier

    def on_get(self, req: ApiRequest, resp: falcon.Response) -> None:
        try:
            with self._tier.database.reading() as tx:
                tx.execute(select(literal(1)))
        except (ServiceUnavailable, SQLAlchemyError):
            answers.send(resp, {"status": "unhealthy", "reasons": ["the database does not answer"]}, 503)
            return
        answers.send(resp, {"status": "healthy", "reasons": []})
