"""Times as the server gives them, and how people read them."""

from datetime import UTC, datetime


def moment(text: str | None) -> datetime | None:
    """A time of the server (ISO 8601, UTC); None stays None."""
    if text is None:
        return None
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def between(start: str | None, end: str | None) -> float | None:
    """Seconds from one time of the server to another; None while one is missing."""
    first, last = moment(start), moment(end)
    return None if first is None or last is None else (last - first).total_seconds()


def duration(seconds: float | None) -> str:
    """``0.8 ms``, ``23 ms``, ``1.25 s``, ``3 min 20 s``."""
    if seconds is None:
        return "-"
    if seconds < 0.01:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.2f} s"
    return f"{int(seconds // 60)} min {seconds % 60:.0f} s"


def clock(text: str | None) -> str:
    """The time of day in UTC, with milliseconds."""
    found = moment(text)
    return "-" if found is None else found.astimezone(UTC).strftime("%H:%M:%S.%f")[:-3]
