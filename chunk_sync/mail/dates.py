"""Dates of mail: Date fields, INTERNALDATE and UNIX seconds, all as aware UTC. Pure, and never raises.

A date outside of 1970 to 2100 is no date of a mail and becomes None.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from email.utils import mktime_tz, parsedate_tz

_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
_LONGEST = 200
_ZONE = r"([+-])(\d\d)(\d\d)"
_USUAL = re.compile(
    rf"(?:[A-Za-z]{{3}}, +)?(\d{{1,2}}) ([A-Za-z]{{3}}) (\d{{4}}) (\d\d):(\d\d):(\d\d) {_ZONE}(?: +\([^()]*\))?",
    re.ASCII,
)
_INTERNAL = re.compile(rf" ?(\d{{1,2}})-([A-Za-z]{{3}})-(\d{{4}}) (\d\d):(\d\d):(\d\d) {_ZONE} ?", re.ASCII)
_MONTHS = {
    name: number
    for number, name in enumerate("jan feb mar apr may jun jul aug sep oct nov dec".split(), 1)  # noqa: SIM905
}


def instant(seconds: float) -> datetime | None:
    """Make a time of UNIX seconds."""
    return datetime.fromtimestamp(seconds, UTC) if 0 < seconds < _LAST.timestamp() else None


def parse_date(text: str) -> datetime | None:
    """Read a Date field, as loosely as `email` does."""
    usual = _USUAL.fullmatch(text)
    if usual:
        return _moment(usual)
    try:
        parsed = parsedate_tz(text[:_LONGEST])
        return instant(mktime_tz(parsed)) if parsed else None
    except (ValueError, OverflowError, TypeError, LookupError):
        return None


def parse_internal_date(text: str) -> datetime | None:
    """Read IMAP's `17-Jul-1996 02:44:25 -0700`."""
    match = _INTERNAL.fullmatch(text)
    return _moment(match) if match else None


def _moment(match: re.Match[str]) -> datetime | None:
    month = _MONTHS.get(match[2].lower())
    if month is None:
        return None
    day, year, hour, minute, second, zone_hours, zone_minutes = map(int, match.group(1, 3, 4, 5, 6, 8, 9))
    offset = timedelta(hours=zone_hours, minutes=zone_minutes) * (-1 if match[7] == "-" else 1)
    try:
        moment = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=timezone(offset)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return moment if _FIRST < moment < _LAST else None
