"""The backlog: when all open work will be done, from the forecasts of its jobs. Pure; times are epoch seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chunk_sync.domain.forecast import Forecast, NoForecast


@dataclass(frozen=True, slots=True)
class OpenJob:
    """An open job that nobody has paused: messages left, and its forecast, if there is one."""

    remaining: int
    planned: bool
    forecast: Forecast | None


def drained_by(jobs: Sequence[OpenJob], now: float) -> Forecast | NoForecast:
    """Say when all of them will be over: not before the last one that has a forecast, and what waits comes on top.

    Jobs without a forecast (none of their chunks was begun) follow at the rate that all others have together.
    """
    known = [job.forecast for job in jobs if job.forecast]
    rate = sum(one.rate for one in known)
    waiting = sum(job.remaining for job in jobs if job.planned and not job.forecast)
    if not jobs:
        return Forecast(now, now, now, 0.0, 0.0, "nothing is left")
    if not known or (waiting and rate <= 0):
        return NoForecast("nothing has landed yet")
    total = waiting + sum(job.remaining for job in jobs if job.forecast)
    together = total / rate if waiting and rate > 0 else 0.0
    last = max(known, key=lambda one: one.expected)
    expected = max(last.expected, now + together)
    stretch = (expected - now) / max(last.expected - now, 0.001)
    low = max(*(one.low for one in known), now + (last.low - now) * (stretch if waiting else 0.0))
    high = max(*(one.high for one in known), now + (last.high - now) * stretch)
    unplanned = sum(not job.planned for job in jobs)
    why = f"{len(known)} syncs under way, {len(jobs) - len(known) - unplanned} wait, {unplanned} not planned yet"
    return Forecast(min(low, expected), expected, max(high, expected), rate, last.spread, why)
