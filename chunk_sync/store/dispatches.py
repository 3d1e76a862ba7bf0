"""Dispatches: which runs are asked for over which chunks, and what decides how many and how long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from chunk_sync.domain.dispatch import DueJob, Slice
from chunk_sync.store.database import Database, query


def due_jobs(database: Database, *, jobs: int = 50, chunks_per_job: int = 2000) -> list[DueJob]:
    """List jobs with due chunks that no live dispatch covers, in the order of service."""
    database.execute("SELECT wake_lanes(1000)")
    with database.transaction() as conn:
        # A lane is walked by its turns until there is enough; the planner would rather read it all and sort.
        conn.execute("SET LOCAL enable_bitmapscan = off")
        conn.execute("SET LOCAL enable_seqscan = off")
        rows = conn.execute(query("dispatch_due"), {"jobs": jobs, "chunks_per_job": chunks_per_job}).fetchall()
    return [DueJob(**row) for row in rows]


def live_runs(database: Database) -> dict[int, int]:
    """Count live dispatches by mailbox."""
    return {row["mailbox_id"]: row["runs"] for row in database.rows("dispatch_live")}


def run_pace(database: Database, mailbox_ids: Sequence[int]) -> dict[int, float]:
    """Seconds that a run took for a chunk lately, by mailbox; without those that had no run."""
    rows = database.rows("dispatch_pace", {"mailbox_ids": list(mailbox_ids)})
    return {row["mailbox_id"]: row["chunk_seconds"] for row in rows}


@dataclass(frozen=True, slots=True)
class Dispatch:
    """A run that is asked for: `attempts` are the lowest and the highest that its chunks are about to begin."""

    id: int
    attempts: tuple[int, int]


def add_dispatch(database: Database, piece: Slice, mark_seconds: float) -> Dispatch:
    """Note that a run is asked for; the note expires unless a worker takes it."""
    row = database.row(
        "dispatch_add",
        {
            "tenant_id": piece.job.tenant_id,
            "mailbox_id": piece.job.mailbox_id,
            "job_id": piece.job.job_id,
            "first_index": piece.first_index,
            "last_index": piece.last_index,
            "mark": timedelta(seconds=mark_seconds),
        },
    )
    assert row is not None  # noqa: S101 - INSERT ... RETURNING
    return Dispatch(row["id"], (row["first_attempt"], row["last_attempt"]))


def take_dispatch(database: Database, dispatch_id: int, worker_id: int) -> tuple[int, int, int] | None:
    """Begin what was asked for: (job, first index, last index); None when it was given up or is taken."""
    row = database.row("dispatch_take", {"dispatch_id": dispatch_id, "worker_id": worker_id})
    return None if row is None else (row["sync_job_id"], row["first_index"], row["last_index"])


def hold_range(database: Database, worker_id: int, job_id: int, indexes: tuple[int, int]) -> None:
    """Keep the sensor from asking for a run over these chunks (first, last) while the worker lives."""
    first, last = indexes
    database.rows("dispatch_hold", {"worker_id": worker_id, "job_id": job_id, "first_index": first, "last_index": last})
