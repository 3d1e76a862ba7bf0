"""What fails, where and whether it becomes more: from a frame of the roll-up's hours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import pandas as pd

from chunk_sync.health.frames import MOMENT, typed

HOURS = 48
"""So many are read: a day, and the day before it to compare with."""
_SCHEMA = {
    "hour": MOMENT,
    "tenant": "str",
    "provider": "str",
    "status": "str",
    "error_category": "str",
    "attempts": "int64",
    "dead_letters": "int64",
}
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class ErrorAnalysis:
    """Failed attempts of the last day. `share` is of all failures, `of_attempts` of all attempts in the same place.

    `trend` is the last day over the day before: 1.0 as many, 2.0 twice as many; -1.0 when there were none before.
    `by_hour`: failures by hour for each category, the oldest hour first.
    """

    attempts: int
    failures: int
    failure_share: float
    dead_letters: int
    by_category: pd.DataFrame
    by_provider: pd.DataFrame
    by_tenant: pd.DataFrame
    by_hour: Mapping[str, Sequence[float]]


def analyze_errors(rows: Sequence[Mapping[str, object]], now: datetime) -> ErrorAnalysis:
    """Analyze rows as `sql/queries/error_hours` gives them for the last 48 hours."""
    frame = typed(rows, _SCHEMA)
    frame["error_category"] = frame["error_category"].fillna("unknown")
    failed = frame["status"] != "success"
    today = frame["hour"] > pd.Timestamp(now) - _DAY
    recent, bad = frame[today], frame[today & failed]
    attempts, failures = int(recent["attempts"].sum()), int(bad["attempts"].sum())
    return ErrorAnalysis(
        attempts=attempts,
        failures=failures,
        failure_share=round(failures / attempts, 4) if attempts else 0.0,
        dead_letters=int(bad["dead_letters"].sum()),
        by_category=_ranked(bad, frame[~today & failed], "error_category"),
        by_provider=_with_share_of_attempts(_ranked(bad, frame[~today & failed], "provider"), recent, "provider"),
        by_tenant=_with_share_of_attempts(_ranked(bad, frame[~today & failed], "tenant"), recent, "tenant"),
        by_hour=_hourly(frame[failed], "error_category", now),
    )


def attempts_by_hour(rows: Sequence[Mapping[str, object]], now: datetime) -> dict[str, list[float]]:
    """Count attempts by hour and outcome, of rows as `analyze_errors` takes them; the oldest hour first."""
    frame = typed(rows, _SCHEMA)
    frame["outcome"] = frame["status"].where(frame["status"] == "success", "failed")
    table = _hourly(frame, "outcome", now)
    return {name: table.get(name, [0.0] * HOURS) for name in ("success", "failed")}


def _ranked(bad: pd.DataFrame, before: pd.DataFrame, key: str) -> pd.DataFrame:
    """Count failures by a column, the most frequent first."""
    counts = bad.groupby(key)["attempts"].sum()
    earlier = before.groupby(key)["attempts"].sum().reindex(counts.index, fill_value=0)
    table = pd.DataFrame(
        {
            "failures": counts,
            "share": (counts / max(int(counts.sum()), 1)).round(4),
            "trend": (counts / earlier.where(earlier > 0)).round(2).fillna(-1.0),
        }
    )
    return table.sort_values("failures", ascending=False, kind="stable").reset_index()


def _with_share_of_attempts(table: pd.DataFrame, recent: pd.DataFrame, key: str) -> pd.DataFrame:
    attempts = recent.groupby(key)["attempts"].sum().reindex(pd.Index(table[key])).to_numpy()
    return table.assign(of_attempts=(table["failures"] / attempts).round(4))


def _hourly(frame: pd.DataFrame, key: str, now: datetime) -> dict[str, list[float]]:
    hours = pd.date_range(end=pd.Timestamp(now).floor("h"), periods=HOURS, freq="h")
    table = frame.pivot_table(index="hour", columns=key, values="attempts", aggfunc="sum", fill_value=0)
    table = table.reindex(hours, fill_value=0)
    return {str(name): [float(value) for value in table[name]] for name in table.columns}
