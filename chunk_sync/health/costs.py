"""What syncing costs, where it is slow and where it fails: from frames of costs by day, of folders and of hot spots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from chunk_sync.health.frames import MOMENT, typed

DAYS = 7
_COSTS = {
    "tenant": "str",
    "mailbox": "str",
    "provider": "str",
    "day": MOMENT,
    "attempts": "int64",
    "failed_attempts": "int64",
    "requests": "int64",
    "bytes": "int64",
    "seconds": "float64",
    "messages": "int64",
}
_FOLDERS = {
    "tenant": "str",
    "mailbox": "str",
    "provider": "str",
    "folder_id": "int64",
    "attempts": "int64",
    "failed_attempts": "int64",
    "messages": "int64",
    "seconds": "float64",
    "seconds_per_1000_messages": "float64",
    "bytes_per_second": "float64",
}
_HOT_SPOTS = {
    "tenant": "str",
    "mailbox": "str",
    "provider": "str",
    "category": "str",
    "attempts": "int64",
    "share": "float64",
    "last_hour": MOMENT,
}
_QUOTAS = {
    "tenant": "str",
    "mailbox": "str",
    "provider": "str",
    "quota": "str",
    "unit": "str",
    "used": "float64",
    "share": "float64",
}
_SUMS = ["attempts", "failed_attempts", "requests", "bytes", "seconds", "messages"]


@dataclass(frozen=True, slots=True)
class SyncCosts:
    """Sums of all mailboxes; tables with the dearest (in seconds of work) first; `days` are seconds of work by day.

    `per_1000`: what a thousand messages cost, NaN-free: 0 where none landed.
    """

    totals: Mapping[str, float]
    per_1000: Mapping[str, float]
    days: Sequence[float]
    by_tenant: pd.DataFrame
    by_provider: pd.DataFrame
    by_mailbox: pd.DataFrame


def sum_up_costs(rows: Sequence[Mapping[str, object]]) -> SyncCosts:
    """Sum up rows as `sql/queries/cost_days` gives them."""
    frame = typed(rows, _COSTS)
    totals = frame[_SUMS].sum()
    thousands = float(totals["messages"]) / 1000
    days = frame.groupby("day")["seconds"].sum()
    if len(days):
        days = days.reindex(pd.date_range(days.index.min(), days.index.max(), freq="D"), fill_value=0.0)
    return SyncCosts(
        totals={name: int(totals[name]) for name in _SUMS if name != "seconds"} | {"seconds": float(totals["seconds"])},
        per_1000={
            name: round(float(totals[name]) / thousands, 3) if thousands else 0.0
            for name in ("seconds", "requests", "bytes")
        },
        days=[float(seconds) for seconds in days],
        by_tenant=_dearest(frame, ["tenant"]),
        by_provider=_dearest(frame, ["provider"]),
        by_mailbox=_dearest(frame, ["tenant", "mailbox", "provider"]),
    )


def slow_folders(rows: Sequence[Mapping[str, object]]) -> pd.DataFrame:
    """Check rows as `sql/queries/cost_folders` gives them; the slowest first, figures rounded."""
    return typed(rows, _FOLDERS).fillna({"bytes_per_second": 0.0}).round(1)


def hot_spots(rows: Sequence[Mapping[str, object]]) -> pd.DataFrame:
    """Check rows as `sql/queries/cost_errors` gives them; the most failures first."""
    frame = typed(rows, _HOT_SPOTS)
    frame["last_hour"] = frame["last_hour"].dt.strftime("%Y-%m-%d %H:00 UTC")
    return frame


def used_quotas(rows: Sequence[Mapping[str, object]]) -> pd.DataFrame:
    """Check rows as `sql/queries/cost_quotas` gives them; the highest share first."""
    return typed(rows, _QUOTAS)


def _dearest(frame: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    table = frame.groupby(keys)[_SUMS].sum().sort_values("seconds", ascending=False, kind="stable").reset_index()
    thousands = (table["messages"] / 1000).where(table["messages"] > 0)
    table["seconds_per_1000"] = (table["seconds"] / thousands).round(1).fillna(0.0)
    table["requests_per_1000"] = (table["requests"] / thousands).round(1).fillna(0.0)
    return table.round({"seconds": 1})
