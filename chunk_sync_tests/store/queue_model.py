"""The queue as a few lines of Python would have it, and what must hold of the real one whatever was done to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from chunk_sync.local.dsn import libpq_url

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
NEVER = datetime(1970, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ENDED = ("completed", "failed", "cancelled")
DELAYS_MS = {
    "rate_limit": (5000, 15000), "network": (2000, 4000, 8000), "temporary": (2000, 4000, 8000),
    "timeout": (3000, 6000, 9000), "auth": (2000,), "processing_error": (1000, 2000, 4000, 4000, 4000),
    "unknown": (1000, 2000, 4000, 4000, 4000), "permission": (), "not_found": (), "data_conflict": (),
}  # fmt: skip
"""After attempt 1, 2, ...; none left: no retry."""

_RUNNING = """running AS MATERIALIZED (
        SELECT l.mailbox_id, l.tenant_id, l.provider, l.connection_limit, count(q.chunk_id) AS chunks
            FROM mailbox_lanes AS l
        LEFT JOIN chunk_processing_queue AS q ON q.mailbox_id = l.mailbox_id AND q.status = 'processing'
        GROUP BY l.mailbox_id, l.tenant_id, l.provider, l.connection_limit
    )"""
_OVER_A_LIMIT = """SELECT 'more chunks of a mailbox run than it has connections', mailbox_id FROM running
        WHERE chunks > connection_limit
    UNION ALL SELECT 'more chunks of a tenant run than its limit', t.tenant_id FROM tenant_lanes AS t
    WHERE t.chunk_limit < (SELECT sum(r.chunks) FROM running AS r WHERE r.tenant_id = t.tenant_id)
    UNION ALL SELECT 'more chunks of a provider run than its limit', NULL FROM provider_lanes AS p
    WHERE p.chunk_limit < (SELECT sum(r.chunks) FROM running AS r WHERE r.provider = p.provider)"""
LIMITS = f"WITH {_RUNNING} {_OVER_A_LIMIT}"
"""A row for everything of which more runs than may, a part of `FAULTS` that costs little."""

FAULTS = f"""
    WITH counted AS (
        SELECT q.sync_job_id, count(*) AS chunks, count(*) FILTER (WHERE q.status = 'completed') AS completed,
            count(*) FILTER (WHERE q.status = 'failed') AS failed,
                count(*) FILTER (WHERE q.status = 'cancelled') AS cancelled,
            sum(q.emails_inserted + q.emails_unchanged + q.emails_absent + q.emails_quarantined) AS emails,
            sum(q.bytes_processed) AS bytes
        FROM chunk_processing_queue AS q GROUP BY q.sync_job_id
    ), {_RUNNING}, waiting AS MATERIALIZED (
        SELECT q.*, l.head_class, l.wake_at, l.paused OR j.paused_at IS NOT NULL AS paused, l.not_before,
            min(nullif(q.turn_at, 'infinity')) OVER (PARTITION BY q.mailbox_id) AS first_turn_at
        FROM chunk_processing_queue AS q
        INNER JOIN mailbox_lanes AS l ON l.mailbox_id = q.mailbox_id
        INNER JOIN sync_jobs AS j ON j.id = q.sync_job_id
        WHERE q.status = 'pending'
    )
    SELECT d.what, d.mailbox_id AS id FROM lane_drift() AS d
    UNION ALL SELECT 'counters of a job are not its chunks', j.id
    FROM sync_jobs AS j LEFT JOIN counted AS c ON c.sync_job_id = j.id
    WHERE (j.total_chunks, j.completed_chunks, j.failed_chunks, j.cancelled_chunks, j.emails_processed,
        j.bytes_processed)
        <> (coalesce(c.chunks, 0), coalesce(c.completed, 0), coalesce(c.failed, 0), coalesce(c.cancelled, 0),
            coalesce(c.emails, 0), coalesce(c.bytes, 0)) AND j.status NOT IN ('requested', 'planning')
    UNION ALL SELECT 'a job is not closed exactly when its chunks have ended', j.id
    FROM sync_jobs AS j LEFT JOIN counted AS c ON c.sync_job_id = j.id
    WHERE j.status NOT IN ('requested', 'planning')
        AND (j.status, j.completed_at IS NOT NULL) IS DISTINCT FROM (CASE
            WHEN c.completed + c.failed + c.cancelled < c.chunks THEN 'processing' WHEN c.failed > 0 THEN 'failed'
            WHEN c.cancelled > 0 OR j.status = 'cancelled' AND c.chunks IS NULL THEN 'cancelled' ELSE 'completed'
        END::sync_job_status, coalesce(c.completed + c.failed + c.cancelled = c.chunks, true))
    UNION ALL {_OVER_A_LIMIT}
    UNION ALL SELECT 'a pending chunk has no attempt left', chunk_id FROM waiting WHERE attempts >= max_attempts
    UNION ALL SELECT 'two attempts of one lease', min(chunk_id) FROM chunked_sync_health_monitoring
    WHERE lease_token IS NOT NULL GROUP BY chunk_id, lease_token HAVING count(*) > 1
    UNION ALL SELECT 'a completed chunk is not the success of its last lease', q.chunk_id
        FROM chunk_processing_queue AS q
    WHERE q.status = 'completed' AND NOT EXISTS (
        SELECT FROM chunked_sync_health_monitoring AS a WHERE (a.sync_job_id, a.chunk_id) = (q.sync_job_id, q.chunk_id)
            AND a.lease_token = q.lease_token AND a.attempt_number = q.attempts AND a.status = 'success'
    )
    UNION ALL SELECT 'a ready chunk that no claim and no wake-up finds', chunk_id FROM waiting
    WHERE turn_at < 'infinity' AND head_class IS NULL AND NOT paused AND not_before <= clock()
        AND (wake_at IS NULL OR wake_at > clock())
    UNION ALL SELECT 'a chunk that is due later and is not woken then', chunk_id FROM waiting
    WHERE turn_at IS NULL AND NOT paused AND (wake_at IS NULL OR wake_at > greatest(available_at, not_before))
    UNION ALL SELECT 'a lane that is not as urgent as its first chunk', mailbox_id FROM waiting
    WHERE turn_at = first_turn_at AND head_class > class_of(first_turn_at, clock()) AND (wake_at IS NULL
        OR wake_at > clock())
    UNION ALL SELECT 'a chunk of a paused job has a turn', q.chunk_id FROM chunk_processing_queue AS q
    INNER JOIN sync_jobs AS j ON j.id = q.sync_job_id
    WHERE q.status = 'pending' AND (j.paused_at IS NOT NULL) <> (q.turn_at IS NOT DISTINCT FROM 'infinity')
"""
"""A row for everything that must never be, by what it is and whose id; none, always."""


@dataclass(eq=False)
class Tenant:
    """A customer: its weight, and how many of its chunks may run at once."""

    id: int
    uuid: str
    limit: int | None
    paused: bool = False


@dataclass(eq=False)
class Mailbox:
    """A mailbox; what it bears now is read from the database (`breaker`, `not_before`, `allowed`)."""

    id: int
    uuid: str
    tenant: Tenant
    provider: str
    limit: int
    paused: bool = False
    throttled_until: datetime = NEVER
    breaker: str = "closed"
    allowed: int | None = None
    not_before: datetime = NEVER


@dataclass(eq=False)
class Job:
    """A planned sync job and when it was closed last."""

    id: int
    uuid: str
    mailbox: Mailbox
    chunks: list[Chunk] = field(default_factory=list)
    paused: bool = False
    closed_at: datetime | None = None

    @property
    def status(self) -> str:
        """What a job is follows from its chunks."""
        found = {chunk.status for chunk in self.chunks}
        if found & {"pending", "processing"}:
            return "processing"
        return next((status for status in ("failed", "cancelled") if status in found), "completed")


@dataclass(eq=False)
class Chunk:
    """A chunk; `turn` is its place in the mailbox, `ended` its executions: (token, outcome, attempt)."""

    id: int
    job: Job
    priority: int
    available: datetime
    turn: datetime
    status: str = "pending"
    attempts: int = 0
    max_attempts: int = 3
    token: int = 0
    lost: int = 0
    worker: int | None = None
    ended: list[tuple[int, str, int]] = field(default_factory=list)

    def wait(self, available: datetime, *, turn: datetime | None = None) -> None:
        """Put it back; it keeps its turn or gets the one of its due time."""
        self.status, self.worker, self.available = "pending", None, available
        self.turn = turn or available - self.priority * MINUTE

    def row(self) -> tuple[Any, ...]:
        """What the database says of it, as `ROWS` reads it."""
        shown = (self.id, self.status, self.attempts, self.token, self.lost, self.available)
        return (*shown, self.worker if self.status == "processing" else None)


ROWS = """
    SELECT q.chunk_id, q.status::text, q.attempts, q.lease_token, q.lost_leases, q.available_at,
        CASE WHEN q.status = 'processing' THEN q.worker_id END
    FROM chunk_processing_queue AS q ORDER BY q.chunk_id
"""


@dataclass
class QueueModel:
    """All chunks, all workers' leases, and the moment it is."""

    now: datetime = NOON
    mailboxes: list[Mailbox] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    leases: dict[int, datetime] = field(default_factory=dict)
    errors: list[tuple[datetime, int, str, str]] = field(default_factory=list)

    @property
    def chunks(self) -> list[Chunk]:
        """All chunks by id."""
        return sorted((chunk for job in self.jobs for chunk in job.chunks), key=lambda chunk: chunk.id)

    def running(self, where: Callable[[Mailbox], object]) -> int:
        """Count the running chunks of some mailboxes."""
        return sum(c.status == "processing" for job in self.jobs if where(job.mailbox) for c in job.chunks)

    def alive(self, worker: int) -> bool:
        """Tell whether a worker holds a lease."""
        return self.leases.get(worker, NEVER) >= self.now

    def ready(self, chunk: Chunk) -> bool:
        """Tell whether a chunk is due and nothing but a limit keeps it from being claimed."""
        box = chunk.job.mailbox
        return (
            chunk.status == "pending" and chunk.available <= self.now and box.not_before <= self.now
            and not (chunk.job.paused or box.paused or box.tenant.paused)
        )  # fmt: skip

    def room(self, box: Mailbox, providers: dict[str, int | None]) -> int:
        """Count how many more chunks of a mailbox may run; `providers` says how many of each provider may."""
        allowed = box.limit if box.allowed is None else min(box.limit, box.allowed)
        rooms = [(1 if box.breaker == "half_open" else allowed) - self.running(lambda other: other is box)]
        if box.tenant.limit is not None:
            rooms.append(box.tenant.limit - self.running(lambda other: other.tenant is box.tenant))
        if (limit := providers[box.provider]) is not None:
            rooms.append(limit - self.running(lambda other: other.provider == box.provider))
        return min(rooms)

    def urgency(self, chunk: Chunk) -> int:
        """The class of a waiting chunk: 30 minus its priority, one less a minute."""
        return max(30 - (self.now - chunk.turn) // MINUTE, 0)

    def claimed(self, chunk: Chunk, worker: int) -> None:
        """Note that a worker got a chunk."""
        chunk.status, chunk.worker = "processing", worker
        chunk.attempts += 1
        chunk.token += 1

    def held(self, chunk: Chunk, token: int) -> bool:
        """Tell whether a call with this token has a say about the chunk."""
        return chunk.status == "processing" and chunk.token == token

    def completed(self, chunk: Chunk, token: int) -> str:
        """What a completion is answered, and its effect."""
        if not self.held(chunk, token):
            return "already" if chunk.status == "completed" and chunk.token == token else "stale"
        self._end(chunk, "success", "completed")
        return "done"

    def failed(self, chunk: Chunk, category: str, retry_after_ms: int | None) -> tuple[int, int] | None:
        """The shortest and the longest wait in ms that a failed attempt is followed by; None: a dead letter."""
        box = chunk.job.mailbox
        trouble = (box.tenant.id, box.provider, category)
        self.errors.append((self.now, *trouble))
        recent = sum(e[1:] == trouble and e[0] > self.now - 15 * MINUTE for e in self.errors)
        delays = DELAYS_MS[category]
        again = chunk.attempts < chunk.max_attempts and chunk.attempts <= len(delays)
        if not again or (chunk.attempts > 1 and recent > 5):
            return None
        floor = max(delays[chunk.attempts - 1], retry_after_ms or 0)
        return floor, int(floor * 1.1) + 1

    def failure(self, chunk: Chunk, category: str, due: datetime | None, *, account: bool) -> None:
        """Apply a failed attempt: due again, or a dead letter (which may take the whole job with it)."""
        box = chunk.job.mailbox
        outcome = "timeout" if category == "timeout" else "error"
        if due is not None:
            self._end(chunk, outcome, "pending")
            chunk.wait(due)
            if account:
                box.throttled_until = max(box.throttled_until, due)
            return
        self._end(chunk, outcome, "failed")
        if account:
            self._change((c for c in chunk.job.chunks if c.status == "pending"), "failed")

    def recovered(self, workers: Iterable[int]) -> list[Chunk]:
        """Take everything from these workers."""
        lost = [c for c in self.chunks if c.status == "processing" and c.worker in set(workers)]
        for chunk in lost:
            dead = chunk.attempts >= chunk.max_attempts or chunk.lost + 1 >= 3
            self._end(chunk, "recovery", "failed" if dead else "pending")
            chunk.lost += 1
            if not dead:
                chunk.wait(self.now)
        return lost

    def released(self, chunks: Iterable[Chunk], available: datetime | None, *, keep_turn: bool) -> None:
        """Put running chunks back without using the attempt; None: due when it was."""
        for chunk in chunks:
            chunk.attempts -= 1
            chunk.wait(available or chunk.available, turn=chunk.turn if keep_turn else None)

    def reopened(self, chunks: Iterable[Chunk], *, everything: bool) -> None:
        """Open chunks again; without `everything` running ones are left alone and pending ones keep their attempts."""
        for chunk in chunks:
            if chunk.status == "processing" and not everything:
                continue
            if chunk.status != "pending" or everything:
                chunk.attempts = chunk.lost = 0
            chunk.wait(self.now)
            chunk.job.closed_at = None

    def cancelled(self, jobs: Iterable[Job]) -> int:
        """Cancel what is open of these jobs."""
        return self._change(
            (c for job in jobs for c in job.chunks if c.status in {"pending", "processing"}), "cancelled"
        )

    def paused(self, jobs: Iterable[Job]) -> int:
        """Give back what runs of these jobs."""
        running = [c for job in jobs for c in job.chunks if c.status == "processing"]
        self.released(running, None, keep_turn=True)
        return len(running)

    def resumed(self, job: Job) -> None:
        """A job that goes on queues by its due times."""
        for chunk in job.chunks:
            if chunk.status == "pending":
                chunk.wait(chunk.available)

    def _end(self, chunk: Chunk, outcome: str, status: str) -> None:
        chunk.ended.append((chunk.token, outcome, chunk.attempts))
        self._change([chunk], status)

    def _change(self, chunks: Iterable[Chunk], status: str) -> int:
        changed = list(chunks)
        for chunk in changed:
            chunk.status = status
        for job in {chunk.job for chunk in changed}:
            job.closed_at = self.now if job.status in ENDED else None
        return len(changed)


def connect(dsn: str, now: datetime | None = NOON) -> psycopg.Connection[Any]:
    """Connect in autocommit, with a clock that stands at `now`; None: with the real one."""
    conn = psycopg.connect(
        dsn, autocommit=True, options="-c search_path=chunk_sync -c timezone=UTC -c lock_timeout=60s"
    )
    if now is not None:
        tell_time(conn, now)
    return conn


def tell_time(conn: psycopg.Connection[Any], now: datetime) -> None:
    """Set a connection's clock."""
    conn.execute("SELECT set_config('chunk_sync.now', %s, false)", (now.isoformat(),))


def faults(conn: psycopg.Connection[Any]) -> list[Any]:
    """List what must not be."""
    return conn.execute(FAULTS).fetchall()


class Console:
    """One connection to a queue, and a clock that is moved; None: the real one."""

    def __init__(self, dsn: str, now: datetime | None = NOON) -> None:
        self.dsn = libpq_url(dsn)
        self.conn = connect(self.dsn, now)
        self.now = now or NOON

    def one(self, statement: str, *parameters: object) -> Any:
        """The first column of the first row."""
        row = self.conn.execute(statement.encode(), parameters).fetchone()
        return None if row is None else row[0]

    def rows(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """All rows."""
        return self.conn.execute(statement.encode(), parameters).fetchall()

    def go_to(self, now: datetime) -> None:
        """Move the clock."""
        self.now = now
        tell_time(self.conn, now)

    def wait(self, seconds: float) -> None:
        """Move the clock on."""
        self.go_to(self.now + timedelta(seconds=seconds))


_ADD_TENANT = "INSERT INTO tenants (name) VALUES (%s) RETURNING id, public_id::text"
_ADD_MAILBOX = """
    WITH box AS (
        INSERT INTO mailboxes (tenant_id, name, address, provider) VALUES (%s, %s, %s, 'imap') RETURNING id,
            tenant_id, public_id
    ), folder AS (
        INSERT INTO folders (tenant_id, mailbox_id, key, path, uidvalidity) SELECT tenant_id, id, 'INBOX', 'INBOX', 1
            FROM box
    )
    SELECT id, public_id::text FROM box
"""
_ADD_JOB = """
    INSERT INTO sync_jobs (mailbox_id, priority, sync_type, status, plan_worker_id, started_at)
    VALUES (%s, %s, 'manual', 'planning', %s, clock()) RETURNING id, public_id::text
"""
_ADD_CHUNKS = """
    INSERT INTO sync_chunks (
        tenant_id, mailbox_id, sync_job_id, chunk_index, folder_id, uidvalidity, uids, start_offset, end_offset,
        estimated_emails, estimated_bytes
    )
    SELECT j.tenant_id, j.mailbox_id, j.id, n, f.id, 1, n * 10 + 1 || ':' || n * 10 + 10, n * 10, n * 10 + 9, 10, 10000
    FROM sync_jobs AS j INNER JOIN folders AS f ON f.mailbox_id = j.mailbox_id CROSS JOIN generate_series(0,
        %s - 1) AS n
    WHERE j.id = %s
"""


def add_tenant(conn: psycopg.Connection[Any], name: str, *, weight: int = 1, limit: int | None = None) -> Tenant:
    """Add a tenant."""
    tenant_id, uuid = _one(conn, _ADD_TENANT, name)
    conn.execute(
        "UPDATE tenant_lanes SET weight = %s, chunk_limit = %s WHERE tenant_id = %s", (weight, limit, tenant_id)
    )
    return Tenant(tenant_id, uuid, limit)


def add_mailbox(
    conn: psycopg.Connection[Any], tenant: Tenant, name: str, *, host: str = "one.example", limit: int = 4
) -> Mailbox:
    """Add a mailbox with one folder, at a provider."""
    box_id, uuid = _one(conn, _ADD_MAILBOX, tenant.id, name, f"imap://me@{host}/")
    conn.execute("UPDATE mailbox_lanes SET connection_limit = %s WHERE mailbox_id = %s", (limit, box_id))
    return Mailbox(box_id, uuid, tenant, f"imap:{host}", limit)


def plan_job(
    conn: psycopg.Connection[Any], planner: int, box: Mailbox, enqueue: Any, *, chunks: int, priority: int = 20
) -> Job:
    """Plan a job in one transaction, as the planner does; `enqueue` is its query. Its chunks are yet to be read."""
    with conn.transaction():
        job_id, uuid = _one(conn, _ADD_JOB, box.id, priority, planner)
        conn.execute(_ADD_CHUNKS, (chunks, job_id))
        conn.execute(enqueue, {"job_id": job_id})
        conn.execute("SELECT finish_plan(%s, %s)", (job_id, planner))
    return Job(job_id, uuid, box)


def _one(conn: psycopg.Connection[Any], statement: Any, *parameters: object) -> Any:
    row = conn.execute(statement, parameters).fetchone()
    assert row is not None
    return row
