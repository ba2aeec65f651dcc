"""What a helper says, in the backend's family of errors."""

from collections.abc import Iterator
from contextlib import contextmanager

from volumed.driver.errors import (
    BackendBusy,
    BackendError,
    BackendInvalid,
    BackendNotFound,
    BackendUnreachable,
    OutcomeUnknown,
)
from volumed_drivers.helper.wire import Refused, Unanswered


@contextmanager
def translated(backend: str, what: str) -> Iterator[None]:
    """Raise the ``BackendError`` that a refusal is, and ``OutcomeUnknown`` where no answer came. ``what`` was asked."""
    try:
        yield
    except Refused as refused:
        raise _backend_error(backend, what, refused) from None
    except Unanswered as error:
        raise OutcomeUnknown(what=what, backend=backend, reason=str(error)) from None


def _backend_error(backend: str, what: str, refused: Refused) -> BackendError:
    match refused.kind:
        case "busy":
            return BackendBusy(what=what, backend=backend, reason=refused.reason)
        case "invalid":
            return BackendInvalid(backend=backend, what=what, reason=refused.reason)
        case "not_found":
            return BackendNotFound(what=f"{what}: {refused.reason}", backend=backend)
        case _:
            return BackendUnreachable(backend=backend, reason=f"cannot {what}: {refused.reason}")
