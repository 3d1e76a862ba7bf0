"""The whole system at one moment, for those who watch it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from chunk_sync.store.database import Database, query
from chunk_sync.store.metrics import PATIENCE_SECONDS, hurry, in_time
from chunk_sync.store.status import OPEN, JobStatus, job_status

OPEN_SHOWN = 100
ENDED_SHOWN = 10
STOPPED_SHOWN = 100
ALERTS_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Stopped:
    """A mailbox that is paused, throttled or stopped by its breaker; `until` None: until somebody resumes it."""

    tenant: str
    mailbox: str
    state: str
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Alert:
    """A signal that is above its threshold: `level` warn or critical, and what it says."""

    signal: str
    level: str
    value: float
    message: str


_UNKNOWN = Alert("unknown", "warn", 0.0, f"what is alarming could not be found out within {PATIENCE_SECONDS} s")


@dataclass(frozen=True, slots=True)
class LiveStatus:
    """What there is to see: chunks of open jobs, workers alive, jobs (open ones first), what stands still, what fails.

    `failures` are attempts of the last hour by category, `ends` the range of the end of open jobs by their ids, where
    there is a forecast. Ages in seconds.
    """

    at: datetime
    waiting: int
    processing: int
    due: int
    oldest_due_seconds: float
    workers: int
    jobs: Sequence[JobStatus]
    ends: Mapping[int, tuple[datetime, datetime]]
    stopped: Sequence[Stopped]
    failures: Mapping[str, int]
    alerts: Sequence[Alert]


def live_status(database: Database, *, mailbox_id: int | None = None, ended: int = ENDED_SHOWN) -> LiveStatus:
    """Look at everything in one transaction; raises DATABASE_ERRORS, also when it takes too long.

    With a mailbox its jobs and failures alone; `ended` is how many jobs that are over to list.
    """
    of_mailbox = {"mailbox_id": mailbox_id}
    with database.transaction() as conn:
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        hurry(conn)
        system = conn.execute(query("live_system")).fetchone()
        ids = conn.execute(query("live_jobs"), of_mailbox | {"open": OPEN_SHOWN, "ended": ended}).fetchall()
        wanted = of_mailbox | {"job_ids": [row["id"] for row in ids], "limit": OPEN_SHOWN + ended}
        jobs = conn.execute(query("job_status"), wanted).fetchall()
        open_ids = [row["sync_job_id"] for row in jobs if row["status"] in OPEN]
        ends = conn.execute(query("live_forecasts"), {"job_ids": open_ids}).fetchall()
        stopped = conn.execute(query("live_stopped"), of_mailbox | {"limit": STOPPED_SHOWN}).fetchall()
        failures = conn.execute(query("live_failures"), of_mailbox).fetchall()
        alerts = in_time(conn, "live_alerts", {"limit": ALERTS_SHOWN})
    return LiveStatus(
        **(system or {}),
        jobs=sorted((job_status(row) for row in jobs), key=lambda job: (not job.open, -job.job_id)),
        ends={row["id"]: (row["low_at"], row["high_at"]) for row in ends},
        stopped=[Stopped(**row) for row in stopped],
        failures={row["category"]: row["attempts"] for row in failures},
        alerts=[_UNKNOWN] if alerts is None else [Alert(**row) for row in alerts],
    )
