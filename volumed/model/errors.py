"""Every error that volumed raises on purpose: a class with fields and one sentence for the user.

The families say what an error means; ``api.errors`` maps them to HTTP and ``rpc.dispatcher`` to the wire. The
backend's family is the only one that a driver may raise.
"""

from typing import Any, ClassVar


class VolumedError(Exception):
    """An error with fields; ``message`` is the sentence, formatted with them."""

    message: ClassVar[str] = "{reason}"

    def __init__(self, sentence: str | None = None, /, **fields: Any) -> None:
        """``sentence`` is given only where an error is built again from the wire."""
        self.fields = fields
        super().__init__(sentence or self.message.format(**fields))

    @property
    def kwargs(self) -> dict[str, Any]:
        """The fields under the name by which oslo.messaging sends them."""
        return self.fields

    def as_record(self) -> dict[str, Any]:
        """The error as it is stored on a row: its class and its sentence."""
        return {"type": type(self).__name__, "message": str(self)}


# --- what the asker did -------------------------------------------------------------------------------------------


class Invalid(VolumedError):
    """The request cannot be carried out as it is asked (HTTP 400)."""


class InvalidField(Invalid):
    message = "Invalid input for field '{field}': {reason}"


class BusyResource(Invalid):
    """Another operation holds the resource."""

    message = "Invalid {resource_type}: {resource_type} {resource_id} is held by operation {operation_id} ({kind})."


class InvalidStatus(Invalid):
    """The request is refused in this status; the sentence is OpenStack's."""

    message = (
        "Invalid {resource_type}: {resource_type} status must be {allowed}, but {resource_type} {resource_id} "
        "is {status}."
    )


class HasDependents(Invalid):
    message = "Invalid {resource_type}: {resource_type} {resource_id} still has {dependents}."


class NotCancellable(Invalid):
    message = "Invalid operation: operation {operation_id} ({kind}) cannot be cancelled {until}."


class NotRepeatable(Invalid):
    """A failed operation cannot be done again as it was."""

    message = "Invalid operation: operation {operation_id} ({kind}) cannot be retried: {reason}."


class NotFound(VolumedError):
    """There is no such thing, or it is not the asker's to see (HTTP 404)."""

    message = "{resource_type} {resource_id} could not be found."


class Gone(VolumedError):
    """What is asked for is kept no longer (HTTP 410)."""


class EventsForgotten(Gone):
    message = (
        "Events up to {forgotten} are kept no longer, so what came after {position} cannot be told whole: "
        "look at the resources, then go on with after={forgotten}."
    )


class UnknownPosition(Gone):
    message = "There has been no event {position} here, the last one is {last}: look at the resources, then begin anew."


class Conflict(VolumedError):
    """The request contradicts something that exists (HTTP 409)."""


class ServiceRemoved(Conflict):
    """Nobody would do it: the service that has the volume was removed."""

    message = (
        "{host} has no service any more: it was removed, so nothing can be done with its volumes until one of that "
        "name is started again."
    )


class Forbidden(VolumedError):
    """Policy does not allow the request (HTTP 403)."""

    message = "Policy doesn't allow {action} to be performed."


class QuotaError(VolumedError):
    """The request would pass a quota (HTTP 413)."""


class QuotaExceeded(QuotaError):
    message = (
        "{requested} more {resource} asked, {in_use} of {limit} in use by project {project_id}: "
        "the quota for {resource} would be exceeded."
    )


class IdempotencyKeyReused(VolumedError):
    """The key was used before with another body (HTTP 422)."""

    message = "Idempotency-Key {key} was used before for a different request."


class ServiceUnavailable(VolumedError):
    """What the request needs is away for now (HTTP 503)."""


# --- what became of the work ---------------------------------------------------------------------------------------


class LostHold(VolumedError):
    """The operation is no longer this worker's; whatever it was about to write is void."""

    message = "operation {operation_id} is no longer held with epoch {epoch}"


class CancelRequested(VolumedError):
    """Somebody asked for the operation to be cancelled; it is undone instead of ended as asked."""

    message = "operation {operation_id} is to be cancelled"


class Cancelled(VolumedError):
    """Why a cancelled operation failed: because it was asked to."""

    message = "cancelled as user {user_id} asked (request {request_id})"


class SetByAdministrator(VolumedError):
    """Why a resource is in error although nothing failed."""

    message = "set to error as user {user_id} asked (request {request_id})"


class Poisonous(VolumedError):
    """The operation was taken again and again, and each time its service died or met what nobody foresaw."""

    message = "{kind} was taken {claims} times and never came to an end: its service died each time, or met a fault"


class IllegalMove(VolumedError):
    """A status was not the expected one, or the table has no such move."""

    message = "{resource_type} {resource_id} cannot move from {expected} to {to}: {why}"


class NoValidBackend(VolumedError):
    """No backend can hold the volume; the sentence counts why."""

    message = "No valid backend was found: {reason}"


class ServiceLocked(VolumedError):
    """Another process is this service already."""

    message = "{service} is already running as {holder} (lock {path})"


class ServiceAlive(VolumedError):
    """A service that is to be forgotten still reports."""

    message = "{binary} on {host} reported {age} s ago: stop it first"


class ServiceInUse(VolumedError):
    """A service that is to be forgotten is still needed."""

    message = (
        "{binary} on {host} has volumes or work ({operations} live operations): move or delete them first, or, if the"
        " node never comes back, remove it as lost"
    )


class ServiceLost(VolumedError):
    """An operation ended because whoever had it never comes back."""

    message = "{host} was removed as lost: what it was asked for was not done, or nobody knows"


class ConfigurationError(VolumedError):
    """The configuration names something that is wrong; nothing was started."""

    message = "{option}: {reason}"


# --- what a message was ---------------------------------------------------------------------------------------------


class RpcError(VolumedError):
    """A message could not be answered."""


class UnsupportedVersion(RpcError):
    message = "No endpoint here serves version {version} (method {method})."


class NoSuchMethod(RpcError):
    message = "No endpoint here has the method {method} in this version."


class InvalidMessage(RpcError):
    """The method exists, what was sent with it does not fit."""

    message = "Invalid message for {method}: {reason}"


class InternalError(RpcError):
    """The method failed in a way that nobody foresaw."""

    message = "{method} failed: {reason}"


# --- the backend's family: the only errors that a driver raises ----------------------------------------------------


class BackendError(VolumedError):
    """Something on a backend failed. ``retry_elsewhere``: another backend may do better."""

    retry_elsewhere: ClassVar[bool] = True


class BackendNotFound(BackendError):
    """What the call is about does not exist on the backend."""

    message = "{what} does not exist on {backend}"
    retry_elsewhere = False


class BackendBusy(BackendError):
    """Somebody holds it; later may be better."""

    message = "{what} on {backend} is busy: {reason}"
    retry_elsewhere = False


class BackendHeld(BackendBusy):
    """Somebody holds what would be changed; nothing was."""


class BackendFull(BackendError):
    message = "{backend} cannot hold {what}: {reason}"


class BackendUnreachable(BackendError):
    message = "{backend} cannot be reached: {reason}"


class BackendInvalid(BackendError):
    """The backend refuses the wish itself; asking again is in vain."""

    message = "{backend} refuses {what}: {reason}"
    retry_elsewhere = False


class RevertUnsupported(BackendInvalid):
    """The backend's driver cannot bring a volume back to a snapshot; nothing was changed."""

    message = "{backend} cannot revert {what}: its driver has no such ability"


class ExtendInUseUnsupported(BackendInvalid):
    """The backend cannot let those who are logged in see a new size; nothing was changed."""

    message = "{backend} cannot extend {what} while it is attached: who is logged in would not see its new size"


class SecretUnreadable(BackendError):
    """A stored secret does not open, so nobody can be let in with it; ``volumed-manage secrets replace`` helps."""

    message = "the stored secret of {owner} cannot be opened: {reason}"
    retry_elsewhere = False


class OutcomeUnknown(BackendError):
    """It may have worked or not; look before acting."""

    message = "outcome of {what} on {backend} is unknown: {reason}"
