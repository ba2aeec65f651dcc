"""Idempotency-Key: which request a key stands for. That it is carried out once is ``accept.transaction``'s work."""

import hashlib
import re

from volumed.api.request import ApiRequest
from volumed.db.idempotency import KeyOwner
from volumed.model.errors import InvalidField

HEADER = "Idempotency-Key"

#: Marks the answer to a request that was accepted before.
REPLAYED_HEADER = "Idempotency-Replayed"

_FORM = re.compile(r"[\x21-\x7e]{1,191}")


def owner_of(req: ApiRequest) -> KeyOwner | None:
    """The request's key, None without one. Raises ``InvalidField``."""
    key = req.get_header(HEADER)
    if key is None:
        return None
    if not _FORM.fullmatch(key):
        raise InvalidField(field=HEADER, reason="must have 1 to 191 visible ASCII characters")
    return KeyOwner(req.caller.project_id, req.caller.user_id, key)


def request_hash(req: ApiRequest) -> str:
    """Equal for equal requests."""
    told = f"{req.method} {req.path}?{req.query_string}\n".encode() + req.body
    return hashlib.sha256(told).hexdigest()
