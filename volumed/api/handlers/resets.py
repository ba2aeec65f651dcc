"""What the resets of statuses have in common: the backend is asked, and the answer comes when it has said the truth."""

from volumed.api.accept.volumes import Accepted
from volumed.api.endings import StillRunning, await_end
from volumed.api.request import ApiRequest
from volumed.api.tier import Tier


def await_truth(tier: Tier, req: ApiRequest, accepted: Accepted, kind: str) -> None:
    """Wake the manager and wait for the end, bounded: the reset goes on, and its operation says what became of it."""
    if accepted.operation_id is None or accepted.host is None:
        return
    tier.volume.wake_operation(req.caller, accepted.host, accepted.operation_id)
    try:
        await_end(tier, accepted.operation_id, kind)
    except StillRunning:
        return
