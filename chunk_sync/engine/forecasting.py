"""Forecasting: a look at all open jobs. Samples are kept, forecasts made where they are due, past ones scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from chunk_sync.domain.backlog import OpenJob, drained_by
from chunk_sync.domain.forecast import Forecast, NoForecast, calibrate, forecast
from chunk_sync.store import forecasts
from chunk_sync.store.database import Database, Row
from chunk_sync.store.forecasts import Subject

JOBS_A_LOOK = 30
_BACKLOG_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Look:
    """What a look did: samples kept, forecasts made, forecasts scored."""

    samples: int
    forecasts: int
    scored: int


def look_ahead(database: Database) -> Look:
    """Note how far open jobs are, say when they will be over, and hold what was said before against what came."""
    samples = forecasts.note_progress(database)
    made = _forecast_jobs(database) if samples else 0
    scored = forecasts.score_forecasts(database)
    if made:
        made += _forecast_sums(database)
    return Look(samples, made, scored)


def _forecast_jobs(database: Database) -> int:
    due = forecasts.due_forecasts(database, JOBS_A_LOOK)
    if not due:
        return 0
    samples = forecasts.samples_of(database, [job.sync_job_id for job in due])
    scale = calibrate(forecasts.outcomes(database))
    made = 0
    for job in due:
        found = forecast(samples.get(job.sync_job_id, []), prior_rate=job.prior_rate, scale=scale)
        if isinstance(found, Forecast) and found.spread > 0:
            subject = Subject("job", job.tenant_id, job.mailbox_id, job.sync_job_id, job.landed, job.planned)
            forecasts.add_forecast(database, subject, found)
            made += 1
        else:
            forecasts.skip_forecast(database, job.sync_job_id)
    return made


def _forecast_sums(database: Database) -> int:
    """Say when mailboxes with several open jobs, and everything, will be done: every ten minutes."""
    rows = forecasts.open_forecasts(database)
    if not rows or (rows[0]["backlog_age"] or _BACKLOG_SECONDS) < _BACKLOG_SECONDS:
        return 0
    by_mailbox = sorted(rows, key=lambda row: row["mailbox_id"])
    groups = [list(group) for _, group in groupby(by_mailbox, key=lambda row: row["mailbox_id"])]
    made = sum(_add_sum(database, "mailbox", group) for group in groups if len(group) > 1)
    return made + _add_sum(database, "backlog", rows)


def _add_sum(database: Database, kind: str, rows: Sequence[Row]) -> int:
    found = foresee_all(rows)
    if not isinstance(found, Forecast):
        return 0
    of_one = kind == "mailbox"
    subject = Subject(
        kind,
        rows[0]["tenant_id"] if of_one else None,
        rows[0]["mailbox_id"] if of_one else None,
        max(row["sync_job_id"] for row in rows),
        sum(row["landed"] for row in rows),
        sum(row["planned"] for row in rows),
    )
    forecasts.add_forecast(database, subject, found)
    return 1


def foresee_all(rows: Sequence[Row]) -> Forecast | NoForecast:
    """Say when all of these rows of `forecast_open` will be over."""
    return drained_by([_open_job(row) for row in rows], rows[0]["now"] if rows else 0.0)


def _open_job(row: Row) -> OpenJob:
    """Read a row of `sql/queries/forecast_open`; what is over by now, or turned away for longer, ends no sooner."""
    made = None
    if row["expected"] is not None:
        floor = max(row["now"], row["turned_away_until"] or 0.0)
        low, expected, high = (max(row[name], floor) for name in ("low", "expected", "high"))
        made = Forecast(low, expected, high, row["rate"], row["spread"], row["why"])
    return OpenJob(row["remaining"], row["status"] == "processing", made)
