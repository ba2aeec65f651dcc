"""The one family of errors that a driver may raise; defined in ``model`` because the rooms above judge by them."""

from volumed.model.errors import (
    BackendBusy,
    BackendError,
    BackendFull,
    BackendHeld,
    BackendInvalid,
    BackendNotFound,
    BackendUnreachable,
    ConfigurationError,
    OutcomeUnknown,
)

__all__ = [
    "BackendBusy",
    "BackendError",
    "BackendFull",
    "BackendHeld",
    "BackendInvalid",
    "BackendNotFound",
    "BackendUnreachable",
    "ConfigurationError",
    "OutcomeUnknown",
]
