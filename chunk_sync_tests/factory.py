"""Small worlds for tests: a mailbox, a planned job, made through the product's own doors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import event

from chunk_sync.domain.chunks import ChunkPlan, ClaimedChunk
from chunk_sync.domain.spans import UidSet
from chunk_sync.errors import ErrorCategory
from chunk_sync.store import plans, queue
from chunk_sync.store.database import Database
from chunk_sync.store.mailboxes import Mailbox, add_mailbox, request_sync
from chunk_sync.store.plans import FolderSnapshot, PlanWriter

LEASE = 60.0


@dataclass(frozen=True, slots=True)
class PlannedJob:
    """A job with its chunks, `emails` messages each, in one folder."""

    id: int
    mailbox: Mailbox
    chunk_ids: list[int]


def make_mailbox(database: Database, name: str = "box", *, tenant: str = "default", limit: int = 4) -> Mailbox:
    """Add a mailbox that nothing is ever fetched from."""
    box = add_mailbox(
        database, name=name, address=f"maildir:/nowhere/{name}", provider="maildir", credential=None, tenant=tenant
    )
    database.execute("UPDATE mailbox_lanes SET connection_limit = %s WHERE mailbox_id = %s", (limit, box.id))
    return box


def make_job(
    database: Database, mailbox: Mailbox, *, chunks: int = 3, emails: int = 10, priority: int | None = None
) -> PlannedJob:
    """Request a sync and plan it: `chunks` chunks of `emails` messages of 1,000 bytes each."""
    request = request_sync(
        database, mailbox.name, tenant=mailbox.tenant, sync_type="initial", priority=priority, requested_by="test"
    )
    worker = queue.open_worker(database, f"planner-{request.job_id}", LEASE, None)
    job = plans.claim_plan(database, request.job_id, worker)
    assert job is not None
    snapshot = FolderSnapshot("INBOX", "INBOX", "inbox", 1, chunks * emails)
    cut = [
        ChunkPlan(UidSet.of(range(i * emails + 1, (i + 1) * emails + 1)), None, emails, emails * 1000)
        for i in range(chunks)
    ]
    with database.transaction() as conn:
        writer = PlanWriter(conn, job)
        folder = writer.open_folder(snapshot)
        writer.close_folder(folder, snapshot, cut, synced_uid=chunks * emails, next_uid=chunks * emails + 1)
        writer.finish(worker)
    queue.close_worker(database, worker)
    found = queue.chunks_by_index(database, job.id, range(chunks))
    return PlannedJob(job.id, mailbox, [chunk.chunk_id for chunk in found])


def open_worker(database: Database, name: str = "worker", lease: float = LEASE) -> int:
    """Register a worker that works for no run; `lease` in seconds."""
    return queue.open_worker(database, name, lease, None)


def claim(database: Database, job: PlannedJob, worker: int, limit: int = 1) -> list[ClaimedChunk]:
    """Claim due chunks of a job."""
    return queue.claim_chunks(database, worker, job.chunk_ids, limit)


def complete(database: Database, chunk: ClaimedChunk, emails: int = 10) -> str:
    """Complete a chunk as a landing does that inserted everything; returns the job's status."""
    with database.transaction() as conn:
        row = conn.execute(
            "SELECT complete_chunk(%s, %s, %s, 0, 0, 0, 1000, 100)::text AS status",
            (chunk.chunk_id, chunk.lease_token, emails),
        ).fetchone()
    assert row is not None
    return row["status"]


def fail_for_good(database: Database, chunk: ClaimedChunk) -> None:
    """Report a failure that is never tried again: the chunk is a dead letter."""
    queue.fail_chunk(
        database,
        chunk,
        category=ErrorCategory.PERMISSION,
        message="no right",
        code=None,
        retry_after=None,
        account_scope=False,
        duration_ms=1,
    )


def job_row(database: Database, job_id: int) -> dict[str, object]:
    """Read a job's row."""
    return database.execute("SELECT * FROM sync_jobs WHERE id = %s", (job_id,))[0]


def statuses(database: Database, job: PlannedJob) -> list[str]:
    """List the statuses of a job's chunks, in the order of the index."""
    return [chunk.status for chunk in queue.chunks_by_index(database, job.id, range(len(job.chunk_ids)))]


def system_health(database: Database) -> dict[str, Any]:
    """What get_system_health_metrics says."""
    return database.execute("SELECT get_system_health_metrics() AS m")[0]["m"]


def move_clock(database: Database, interval: str) -> None:
    """Move the clock of every connection of this pool by an interval."""
    moment = database.execute("SELECT (clock() + %s::interval)::text AS moment", (interval,))[0]["moment"]
    set_clock(database, moment)


def set_clock(database: Database, moment: str) -> None:
    """Stop the database's clock at a moment, for every connection of this pool."""
    known = database in _clocks
    _clocks[database] = moment
    if not known:
        event.listen(database._engine, "connect", lambda connection, _: _set(connection, _clocks[database]))
    database.close()  # idle connections go; each new one is told the time


_clocks: WeakKeyDictionary[Database, str] = WeakKeyDictionary()


def _set(connection: Any, moment: str) -> None:
    connection.execute("SELECT set_config('chunk_sync.now', %s, false)", (moment,))
    connection.commit()
