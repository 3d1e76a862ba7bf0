"""The queue: workers and their leases, claims, what became of a chunk, recovery.

Thin: each function is one call of the SQL that decides (sql/functions). Nothing here decides anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg.types.json import Jsonb

from chunk_sync.domain.chunks import ClaimedChunk
from chunk_sync.domain.spans import Span, UidSet
from chunk_sync.errors import ErrorCategory, LeaseLost
from chunk_sync.store.database import Database, Row


@dataclass(frozen=True, slots=True)
class QueuedChunk:
    """A chunk as the queue lists it."""

    chunk_id: int
    job_id: int
    chunk_index: int
    status: str
    mailbox_id: int


@dataclass(frozen=True, slots=True)
class FailureAnswer:
    """What the database made of a failed attempt: due again at `next_attempt_at`, or None: dead letter."""

    next_attempt_at: datetime | None
    seconds_to_next: float | None


@dataclass(frozen=True, slots=True)
class RecoveredChunk:
    """A chunk whose lease had run out: `status` is pending again, or failed."""

    chunk_id: int
    job_id: int
    chunk_index: int
    status: str
    attempts: int
    run_id: str | None


@dataclass(frozen=True, slots=True)
class UnreportedChunk:
    """A completed chunk that Dagster was never told of."""

    chunk_id: int
    job_id: int
    chunk_index: int
    emails: int
    bytes: int
    attempts: int


def open_worker(database: Database, name: str, lease_seconds: float, run_id: str | None) -> int:
    """Register a worker; returns its id. Its lease covers all that it claims."""
    rows = database.execute("SELECT open_worker(%s, %s, %s) AS id", (name, timedelta(seconds=lease_seconds), run_id))
    return rows[0]["id"]


def heartbeat(database: Database, worker_id: int, lease_seconds: float) -> bool:
    """Renew a worker's lease; False when it has none any more and must stop."""
    rows = database.execute("SELECT heartbeat(%s, %s) AS alive", (worker_id, timedelta(seconds=lease_seconds)))
    return rows[0]["alive"]


def close_worker(database: Database, worker_id: int) -> int:
    """End a worker; returns how many chunks it gave back unused."""
    return database.execute("SELECT close_worker(%s) AS released", (worker_id,))[0]["released"]


def chunks_by_index(database: Database, job_id: int, indexes: Sequence[int]) -> list[QueuedChunk]:
    """Look chunks of a job up; unknown indexes are missing from the answer."""
    rows = database.rows("chunks_by_index", {"job_id": job_id, "indexes": list(indexes)})
    return [_queued(row) for row in rows]


def due_chunks(
    database: Database,
    *,
    limit: int,
    job_id: int | None = None,
    first_index: int = 0,
    last_index: int = 2**31 - 1,
) -> list[QueuedChunk]:
    """List due chunks, of a job's range or wherever they are, the most urgent first."""
    parameters = {"job_id": job_id, "first_index": first_index, "last_index": last_index, "limit": limit}
    return [_queued(row) for row in database.rows("chunks_due", parameters)]


def claim_chunks(database: Database, worker_id: int, chunk_ids: Sequence[int], limit: int) -> list[ClaimedChunk]:
    """Claim up to `limit` due chunks among `chunk_ids`; raises LeaseLost when the worker's lease has run out."""
    rows = database.rows("chunk_claim", {"worker_id": worker_id, "limit": limit, "chunk_ids": list(chunk_ids)})
    return [_claimed(row) for row in rows]


def pending_within(database: Database, chunk_ids: Sequence[int], seconds: float) -> list[int]:
    """Of these chunks, those that are pending and can be claimed within `seconds`."""
    rows = database.rows(
        "chunks_pending_within", {"chunk_ids": list(chunk_ids), "patience": timedelta(seconds=seconds)}
    )
    return [row["chunk_id"] for row in rows]


def fail_chunk(
    database: Database,
    chunk: ClaimedChunk,
    *,
    category: ErrorCategory,
    message: str,
    code: str | None,
    retry_after: float | None,
    account_scope: bool,
    duration_ms: int,
    requests: int = 0,
) -> FailureAnswer:
    """Report a failed attempt; raises LeaseLost when the chunk is not ours any more."""
    row = database.row(
        "chunk_fail",
        {
            "chunk_id": chunk.chunk_id,
            "lease_token": chunk.lease_token,
            "category": category.value,
            "message": message.replace("\0", "\ufffd"),
            "code": code,
            "retry_after_ms": _milliseconds(retry_after),
            "account_scope": account_scope,
            "processing_time_ms": duration_ms,
            "metadata": Jsonb({"requests": requests}),
        },
    )
    if row is None or not row["accepted"]:
        raise _lost(chunk)
    return FailureAnswer(row["next_attempt_at"] if row["chunk_status"] == "pending" else None, row["seconds_to_next"])


def throttle_chunk(database: Database, chunk: ClaimedChunk, retry_after: float | None) -> FailureAnswer:
    """Give a chunk back that the provider would not let us begin; its mailbox pauses, no attempt is used.

    Raises LeaseLost when the chunk is not ours any more.
    """
    rows = database.execute(
        "SELECT t.at, extract(EPOCH FROM t.at - clock())::double precision AS seconds"
        " FROM throttle_chunk(%s, %s, %s::integer) AS t (at)",
        (chunk.chunk_id, chunk.lease_token, _milliseconds(retry_after)),
    )
    if rows[0]["at"] is None:
        raise _lost(chunk)
    return FailureAnswer(rows[0]["at"], rows[0]["seconds"])


def is_held(database: Database, chunk: ClaimedChunk) -> bool:
    """Tell whether a chunk is still ours: it may have been cancelled, paused, reset or recovered."""
    rows = database.execute(
        "SELECT chunk_id FROM chunk_processing_queue"
        " WHERE chunk_id = %s AND lease_token = %s AND status = 'processing'",
        (chunk.chunk_id, chunk.lease_token),
    )
    return bool(rows)


def reopen_chunk(database: Database, chunk_id: int, *, reason: str, actor: str, run_id: str | None) -> str:
    """Make a chunk run again by hand (audited); returns the status it had."""
    rows = database.execute("SELECT reopen_chunk(%s, %s, %s, %s)::text AS was", (chunk_id, reason, actor, run_id))
    return rows[0]["was"]


def recover(database: Database, dead_run_ids: Sequence[str] = (), limit: int = 1000) -> list[RecoveredChunk]:
    """Give back the chunks of workers that are dead: by their lease, or because Dagster says so."""
    database.execute("SELECT recover_plans(%s)", (list(dead_run_ids),))
    database.execute("SELECT rebalance_lanes()")
    rows = database.rows("recover", {"limit": limit, "run_ids": list(dead_run_ids)})
    return [
        RecoveredChunk(
            row["chunk_id"],
            row["sync_job_id"],
            row["chunk_index"],
            row["chunk_status"],
            row["attempts"],
            row["run_id"],
        )
        for row in rows
    ]


def note_failed_run(database: Database, *, run_id: str, job_name: str, job_id: int | None, reason: str) -> None:
    """Write into the audit log that a run of Dagster's failed, however often this is told."""
    database.rows(
        "run_failed",
        {"run_id": run_id, "job_name": job_name, "sync_job_id": job_id, "reason": reason.replace("\0", "\ufffd")},
    )


def repair_lanes(database: Database) -> int:
    """Count all lanes again; returns how many were wrong, which must be 0. Each is audited."""
    return database.execute("SELECT repair_lanes() AS n")[0]["n"]


def live_run_ids(database: Database) -> list[str]:
    """List the runs that the database holds for alive."""
    return [row["run_id"] for row in database.rows("workers_live")]


def lost_run_ids(database: Database, *, quiet_seconds: float) -> list[str]:
    """List runs whose lease was over for so long without a goodbye, whatever Dagster holds of them."""
    return [row["run_id"] for row in database.rows("runs_lost", {"quiet": timedelta(seconds=quiet_seconds)})]


def unreported_chunks(database: Database, *, quiet_seconds: float, limit: int) -> list[UnreportedChunk]:
    """List completed chunks whose worker died before it told Dagster."""
    rows = database.rows("chunks_unreported", {"quiet": timedelta(seconds=quiet_seconds), "limit": limit})
    return [
        UnreportedChunk(
            row["chunk_id"],
            row["sync_job_id"],
            row["chunk_index"],
            row["emails"],
            row["bytes_processed"],
            row["attempts"],
        )
        for row in rows
    ]


def mark_reported(database: Database, chunk_ids: Sequence[int]) -> None:
    """Note that Dagster was told of these chunks."""
    database.rows("chunks_reported", {"chunk_ids": list(chunk_ids)})


def paused_jobs(database: Database, chunk_ids: Sequence[int]) -> dict[int, str]:
    """Of the jobs of these chunks, those that are paused or whose mailbox is: the mailbox's name by the job."""
    return {row["job_id"]: row["mailbox"] for row in database.rows("chunks_paused", {"chunk_ids": list(chunk_ids)})}


def _lost(chunk: ClaimedChunk) -> LeaseLost:
    return LeaseLost(f"chunk {chunk.key} was given to another worker, or stopped")


def _milliseconds(seconds: float | None) -> int | None:
    """At most a day: what a provider says is not to be believed without end."""
    return None if seconds is None else min(int(seconds * 1000), 86_400_000)


def _queued(row: Row) -> QueuedChunk:
    return QueuedChunk(row["chunk_id"], row["sync_job_id"], row["chunk_index"], row["status"], row["mailbox_id"])


def _claimed(row: Row) -> ClaimedChunk:
    ids = row["provider_ids"]
    return ClaimedChunk(
        chunk_id=row["chunk_id"],
        lease_token=row["lease_token"],
        attempt=row["attempts"],
        max_attempts=row["max_attempts"],
        job_id=row["sync_job_id"],
        chunk_index=row["chunk_index"],
        tenant_id=row["tenant_id"],
        mailbox_id=row["mailbox_id"],
        folder_id=row["folder_id"],
        folder_role=row["folder_role"],
        span=Span(
            row["folder_key"],
            row["uidvalidity"],
            UidSet.parse(row["uids"]),
            None if ids is None else tuple(ids),
        ),
        estimated_emails=row["estimated_emails"],
        estimated_bytes=row["estimated_bytes"],
    )
