"""Forecasts: samples of progress, what was foreseen, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from chunk_sync.domain.forecast import MODEL, Forecast
from chunk_sync.domain.samples import Sample
from chunk_sync.store.database import Database, Row

_OUTCOMES = 500


@dataclass(frozen=True, slots=True)
class DueForecast:
    """An open job whose newest forecast is old; `prior_rate` is what its mailbox did before, in messages a second."""

    sync_job_id: int
    tenant_id: int
    mailbox_id: int
    landed: int
    planned: int
    prior_rate: float | None


@dataclass(frozen=True, slots=True)
class Subject:
    """What a forecast is about: a job, or all jobs of a mailbox or (no tenant) of everybody, up to `sync_job_id`."""

    kind: str
    tenant_id: int | None
    mailbox_id: int | None
    sync_job_id: int
    landed: int
    planned: int


def note_progress(database: Database) -> int:
    """Keep a sample of each open job that is due for one; how many."""
    return len(database.rows("progress_note"))


def due_forecasts(database: Database, limit: int) -> list[DueForecast]:
    """List jobs that are due for a forecast."""
    return [DueForecast(**row) for row in database.rows("forecast_due", {"limit": limit})]


def samples_of(database: Database, job_ids: Sequence[int]) -> Mapping[int, list[Sample]]:
    """Read the samples of jobs, the oldest first."""
    rows = database.rows("forecast_samples", {"job_ids": list(job_ids)})
    return {
        job_id: [Sample(**{name: value for name, value in row.items() if name != "sync_job_id"}) for row in found]
        for job_id, found in groupby(rows, key=lambda row: row["sync_job_id"])
    }


def outcomes(database: Database) -> list[tuple[float, float]]:
    """Read the spreads of past forecasts of this model, and how far off each was, in logarithms."""
    rows = database.rows("forecast_outcomes", {"model": MODEL, "limit": _OUTCOMES})
    return [(row["spread"], row["error"]) for row in rows]


def add_forecast(database: Database, subject: Subject, made: Forecast) -> None:
    """Keep a forecast, to be scored later."""
    database.rows(
        "forecast_add",
        {
            "kind": subject.kind,
            "tenant_id": subject.tenant_id,
            "mailbox_id": subject.mailbox_id,
            "sync_job_id": subject.sync_job_id,
            "landed": subject.landed,
            "planned": subject.planned,
            "low": made.low,
            "expected": made.expected,
            "high": made.high,
            "rate": made.rate,
            "spread": made.spread,
            "model": MODEL,
            "why": made.why,
        },
    )


def skip_forecast(database: Database, job_id: int) -> None:
    """Note that there was nothing to say about a job, so that it is not asked about at once."""
    database.rows("forecast_skip", {"sync_job_id": job_id})


def score_forecasts(database: Database, limit: int = 200) -> int:
    """Hold forecasts against what came, each once; how many."""
    return sum(len(database.rows(name, {"limit": limit})) for name in ("forecast_score", "forecast_score_all"))


def open_forecasts(database: Database) -> list[Row]:
    """List open jobs that nobody has paused, each with its newest forecast."""
    return database.rows("forecast_open")


def scored_rows(database: Database, hours: float) -> list[Row]:
    """List the forecasts that were scored in the last hours."""
    return database.rows("forecast_scored", {"hours": hours})


def promise_rows(database: Database) -> list[Row]:
    """List mailboxes with a promise that is still to be kept, with its deadline and the forecast."""
    return database.rows("forecast_promises")


def pace_rows(database: Database, hours: float) -> list[Row]:
    """List what each mailbox did by the hour, in messages a second of its attempts."""
    return database.rows("mailbox_hours", {"hours": hours})
