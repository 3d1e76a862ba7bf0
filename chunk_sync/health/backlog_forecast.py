"""When open syncs, mailboxes and everything will be done, and which promises that breaks: from frames of forecasts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from chunk_sync.health.frames import MOMENT, typed

_JOBS = {
    "tenant": "str",
    "mailbox": "str",
    "sync_job_id": "int64",
    "status": "str",
    "landed": "int64",
    "planned": "int64",
    "remaining": "int64",
    "low": "float64",
    "expected": "float64",
    "high": "float64",
    "rate": "float64",
    "why": "str",
    "turned_away_until": "float64",
    "now": "float64",
}
_PROMISES = {
    "tenant": "str",
    "mailbox": "str",
    "objective": "str",
    "deadline_at": MOMENT,
    "expected_at": MOMENT,
    "high_at": MOMENT,
}
_RANGE = ["low", "expected", "high"]


@dataclass(frozen=True, slots=True)
class BacklogForecast:
    """Open work: messages that are left; tables of jobs, of mailboxes, and of promises that will or may be broken."""

    jobs: int
    without_forecast: int
    remaining: int
    by_job: pd.DataFrame
    by_mailbox: pd.DataFrame
    breaches: pd.DataFrame


def foresee(job_rows: Sequence[Mapping[str, object]], promise_rows: Sequence[Mapping[str, object]]) -> BacklogForecast:
    """Summarize rows as `sql/queries/forecast_open` and `forecast_promises` give them."""
    jobs = typed(job_rows, _JOBS)
    floor = jobs[["now", "turned_away_until"]].max(axis="columns")
    for name in _RANGE:
        jobs[name] = jobs[name].where(jobs[name].isna() | (jobs[name] > floor), floor)
    known = jobs[jobs["expected"].notna()]
    return BacklogForecast(
        jobs=len(jobs),
        without_forecast=len(jobs) - len(known),
        remaining=int(jobs["remaining"].sum()),
        by_job=_table(known[["tenant", "mailbox", "sync_job_id", "landed", "planned", "rate", *_RANGE, "why"]]),
        by_mailbox=_table(_mailboxes(jobs)),
        breaches=_breaches(typed(promise_rows, _PROMISES)),
    )


def _mailboxes(jobs: pd.DataFrame) -> pd.DataFrame:
    """Say when each mailbox is done: with its last job. One with a job that has no forecast has none."""
    groups = jobs.groupby(["tenant", "mailbox"], sort=True)
    sums = groups[["landed", "planned", "rate"]].sum()
    ends = groups[_RANGE].max(skipna=False)
    return sums.join(ends).reset_index()


def _table(frame: pd.DataFrame) -> pd.DataFrame:
    """Write moments as people read them: no NaN."""
    table = frame.copy()
    table["rate"] = table["rate"].fillna(0.0).round(2)
    for name in _RANGE:
        moments = pd.to_datetime(table[name], unit="s", utc=True)
        table[name] = moments.dt.strftime("%Y-%m-%d %H:%M:%S UTC").astype("object").fillna("-")
    return table.rename(columns={"low": "not_before", "expected": "ends_at", "high": "at_the_latest"})


def _breaches(promises: pd.DataFrame) -> pd.DataFrame:
    """List promises that the forecast says will be broken, or that its range does not rule out."""
    will = promises["expected_at"] > promises["deadline_at"]
    may = promises["high_at"] > promises["deadline_at"]
    found = promises[will | may]
    return pd.DataFrame(
        {
            "tenant": found["tenant"],
            "mailbox": found["mailbox"],
            "promise": found["objective"],
            "it": will[will | may].map({True: "will be broken", False: "may be broken"}),
            "deadline": found["deadline_at"].dt.strftime("%Y-%m-%d %H:%M:%S UTC"),
            "ends_at": found["expected_at"].dt.strftime("%Y-%m-%d %H:%M:%S UTC"),
        }
    ).reset_index(drop=True)
