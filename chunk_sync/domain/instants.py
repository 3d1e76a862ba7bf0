"""Dates as people write them, as instants. Pure."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta

from chunk_sync.errors import UsageError

_UNITS = {"s": timedelta(seconds=1), "m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


def parse_instant(text: str | None, *, end: bool = False) -> datetime | None:
    """Read `2026-01-31` or `2026-01-31T12:00:00+02:00`; None for nothing. Without a zone it is UTC.

    A bare date means the whole day: as the `end` of a half-open range it gives the next midnight.
    Raises UsageError on anything else.
    """
    if not text:
        return None
    try:
        if len(text) == len("2026-01-31"):
            day = date.fromisoformat(text) + timedelta(days=1 if end else 0)
            return datetime.combine(day, time.min, UTC)
        instant = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        message = f"{text!r} is not a date: write 2026-01-31 or 2026-01-31T12:00:00+00:00"
        raise UsageError(message) from None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def parse_interval(text: str) -> timedelta | None:
    """Read `15m`, `2h`, `1d` or `90s`; None for `never`. Raises UsageError on anything else."""
    if text == "never":
        return None
    found = re.fullmatch(r"(\d{1,5})([smhd])", text)
    if not found:
        message = f"{text!r} is not an interval: write a number and s, m, h or d, such as 15m, or never"
        raise UsageError(message)
    return int(found[1]) * _UNITS[found[2]]
