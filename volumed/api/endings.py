"""Waits for the end of an operation that a request is answered with: an attach is a call, and still an operation."""

from typing import Final

from volumed.api.tier import Tier
from volumed.model.errors import Cancelled, Conflict, NotFound, ServiceUnavailable, VolumedError
from volumed.model.records import Json
from volumed.model.states import OperationState

#: Failures that are the request's fault; others are the backend's.
_REFUSALS: Final = frozenset({"BackendInvalid", "BackendBusy", "BackendFull", "Invalid", "InvalidField"})

#: Failures that may pass.
_ABSENCES: Final = frozenset({"BackendUnreachable", "ServiceUnavailable"})


class StillRunning(ServiceUnavailable):
    """The operation goes on; asking again joins it."""

    message = (
        "Operation {operation_id} ({kind}) has not ended within {seconds:g} s. It goes on; ask again to wait for it."
    )


class WorkRefused(VolumedError):
    """The operation failed because of what was asked (HTTP 400)."""


class WorkImpossible(ServiceUnavailable):
    """The operation failed because something was away (HTTP 503)."""


class WorkCancelled(Conflict):
    """The operation was cancelled while its end was waited for (HTTP 409)."""


class WorkFailed(VolumedError):
    """The operation failed (HTTP 500)."""


def await_end(tier: Tier, operation_id: str, kind: str) -> None:
    """Return when the operation has succeeded. Raises what it failed with, ``StillRunning`` past the bound."""
    seconds = tier.settings.attach_timeout
    end = tier.ends.wait(operation_id, seconds)
    if end is None:
        raise StillRunning(operation_id=operation_id, kind=kind, seconds=seconds)
    state, error = end
    if state == OperationState.FAILED:
        raise _failure(operation_id, error or {})


def _failure(operation_id: str, error: Json) -> VolumedError:
    reason = str(error.get("message", "The operation failed."))
    family: type[VolumedError] = WorkFailed
    if error.get("type") in _REFUSALS:
        family = WorkRefused
    elif error.get("type") in _ABSENCES:
        family = WorkImpossible
    elif error.get("type") == Cancelled.__name__:
        family = WorkCancelled
    elif error.get("type") == "NotFound":
        family = NotFound
    return family(reason, operation_id=operation_id)
