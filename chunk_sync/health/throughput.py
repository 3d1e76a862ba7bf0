"""How much lands and how that changes: from a frame of the roll-up's hours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import pandas as pd

from chunk_sync.health.frames import MOMENT, typed

HOURS = 24 * 8
"""So many are read, the one that is now among them: a week, and a day before it."""
_SCHEMA = {
    "hour": MOMENT,
    "provider": "str",
    "emails": "int64",
    "bytes": "int64",
    "requests": "int64",
    "ms_sum": "int64",
    "attempts": "int64",
}
_DAY, _WEEK = 24, 24 * 7


@dataclass(frozen=True, slots=True)
class Throughput:
    """Messages and bytes by hour, the oldest first, the last one so far.

    The last hour is this one so far and the part of the one before it that belongs to sixty minutes, as if mail landed
    evenly in it. The last day is this hour so far and the 23 before it; `against_yesterday` and `against_last_week`
    compare it with as much time a day and a week ago: 0.1 is ten percent more, 0.0: nothing to compare with.
    """

    emails_last_hour: int
    emails_last_day: int
    bytes_last_day: int
    against_yesterday: float
    against_last_week: float
    hourly: Sequence[float]
    by_provider: pd.DataFrame


def trace_throughput(rows: Sequence[Mapping[str, object]], now: datetime) -> Throughput:
    """Trace rows as `sql/queries/throughput_hours` gives them."""
    frame = typed(rows, _SCHEMA)
    this = pd.Timestamp(now).floor("h")
    over = (pd.Timestamp(now) - this) / pd.Timedelta(hours=1)
    hours = pd.date_range(end=this, periods=HOURS, freq="h")
    totals = frame.groupby("hour")[["emails", "bytes"]].sum().reindex(hours, fill_value=0)
    emails = [float(count) for count in totals["emails"]]
    day = sum(emails[-_DAY:])
    return Throughput(
        emails_last_hour=round(emails[-1] + (1 - over) * emails[-2]),
        emails_last_day=int(day),
        bytes_last_day=int(totals["bytes"].iloc[-_DAY:].sum()),
        against_yesterday=_change(day, _day_before(emails, _DAY, over)),
        against_last_week=_change(day, _day_before(emails, _WEEK, over)),
        hourly=emails,
        by_provider=_by_provider(frame[frame["hour"].isin(hours[-_DAY:])]),
    )


def _day_before(emails: Sequence[float], hours: int, over: float) -> float:
    """Sum the day up to so many hours ago; of its last hour the part that is over of this one counts."""
    return over * emails[-1 - hours] + sum(emails[-hours - _DAY : -1 - hours])


def _change(now: float, before: float) -> float:
    return round(now / before - 1, 4) if before else 0.0


def _by_provider(day: pd.DataFrame) -> pd.DataFrame:
    """Sum the last day by provider; seconds are those of attempts, which run side by side."""
    sums = day.groupby("provider")[["emails", "bytes", "requests", "ms_sum", "attempts"]].sum()
    seconds = sums["ms_sum"].where(sums["ms_sum"] > 0) / 1000
    table = pd.DataFrame(
        {
            "emails": sums["emails"],
            "megabytes": (sums["bytes"] / 1e6).round(1),
            "requests": sums["requests"],
            "chunks": sums["attempts"],
            "emails_per_second": (sums["emails"] / seconds).round(2).fillna(0.0),
        }
    )
    return table.sort_values("emails", ascending=False, kind="stable").reset_index()
