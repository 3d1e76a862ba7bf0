"""Progress of sync jobs, as the command line shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from chunk_sync.store.database import Database, Row

OPEN = ("requested", "planning", "processing")


@dataclass(frozen=True, slots=True)
class JobStatus:
    """One sync job: chunks and emails of how many, where it stands, and why if it failed.

    `flags_changed` and `vanished` are messages whose flags or deletion its plan has brought up to date.
    """

    job_id: int
    public_id: str
    tenant: str
    mailbox: str
    sync_type: str
    status: str
    overall_status: str
    total_chunks: int
    completed_chunks: int
    failed_chunks: int
    processing_chunks: int
    pending_chunks: int
    emails_processed: int
    emails_estimated: int
    bytes_processed: int
    bytes_estimated: int
    flags_changed: int
    vanished: int
    emails_per_second: float
    progress_percentage: float
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    eta: datetime | None
    throttled_until: datetime | None
    error_category: str | None
    error_message: str | None

    @property
    def open(self) -> bool:
        """Whether it is still to end."""
        return self.status in OPEN


def job_statuses(
    database: Database,
    *,
    mailbox_id: int | None = None,
    job_ids: Sequence[int] | None = None,
    limit: int = 50,
) -> list[JobStatus]:
    """List sync jobs, the newest first: of one mailbox, the named ones, or all."""
    rows = database.rows(
        "job_status",
        {"mailbox_id": mailbox_id, "job_ids": None if job_ids is None else list(job_ids), "limit": limit},
    )
    return [job_status(row) for row in rows]


def open_job_ids(database: Database) -> list[int]:
    """List the jobs that are still to end."""
    return [row["id"] for row in database.rows("jobs_open")]


def failed_attempts(database: Database, job_ids: Sequence[int]) -> dict[str, int]:
    """Count failed attempts of these jobs by category, the most frequent first."""
    rows = database.rows("job_failures", {"job_ids": list(job_ids)})
    return {row["category"]: row["attempts"] for row in rows}


def unsettled(database: Database) -> int:
    """Count what still moves although all jobs may have ended: runs at work, chunks Dagster was not told of."""
    row = database.row("unsettled")
    return 0 if row is None else row["count"]


def job_status(row: Row) -> JobStatus:
    """Read a row of `sql/queries/job_status`."""
    return JobStatus(
        job_id=row["sync_job_id"],
        public_id=str(row["parent_sync_job_id"]),
        tenant=row["tenant"],
        mailbox=row["mailbox"],
        sync_type=row["sync_type"],
        status=row["status"],
        overall_status=row["overall_status"],
        total_chunks=row["total_chunks"],
        completed_chunks=row["completed_chunks"],
        failed_chunks=row["failed_chunks"],
        processing_chunks=row["processing_chunks"],
        pending_chunks=row["pending_chunks"],
        emails_processed=row["emails_processed"],
        emails_estimated=row["emails_estimated"],
        bytes_processed=row["bytes_processed"],
        bytes_estimated=row["bytes_estimated"],
        flags_changed=row["flags_changed"],
        vanished=row["vanished"],
        emails_per_second=float(row["emails_per_second"] or 0),
        progress_percentage=float(row["progress_percentage"]),
        created_at=row["created_at"],
        started_at=row["started_at"],
        completed_at=row["completed_at"],
        eta=row["eta"],
        throttled_until=row["throttled_until"],
        error_category=row["error_category"],
        error_message=row["error_message"],
    )
