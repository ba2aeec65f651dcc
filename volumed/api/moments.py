"""Times as OpenStack writes them in bodies and filters: ISO 8601 in UTC, without a zone."""

from datetime import UTC, datetime, timedelta

from volumed.model.errors import Invalid

_EPOCH = datetime(1970, 1, 1)


def spelled(microseconds: int | None) -> str | None:
    """The time in an answer, None as None."""
    if microseconds is None:
        return None
    return (_EPOCH + timedelta(microseconds=microseconds)).isoformat(timespec="microseconds")


def read(text: str, field: str) -> int:
    """Microseconds of a time in a query; without a zone it is UTC. Raises ``Invalid``."""
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Invalid(reason=f"Invalid input received: {field}={text[:40]} is not a time in ISO 8601.") from None
    return (moment.replace(tzinfo=None) - _EPOCH) // timedelta(microseconds=1)
