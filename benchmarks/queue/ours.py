"""Our side: the same verbs as the programs of the others, through chunk_sync itself. A process of its own as well.

A thousand tenants with a mailbox each, of which four chunks may run at once (the default). Chunks are planned as the
product plans them, claimed and completed by the database's functions, under a worker whose thread sends heartbeats.
`python -m benchmarks.queue.ours` takes its job on its first line of input.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any

import psycopg

from benchmarks.queue.programs.wire import Wire, claim_times, main, timed, work_loop
from chunk_sync.domain.chunks import ChunkPlan
from chunk_sync.domain.spans import UidSet
from chunk_sync.engine.worker import Worker
from chunk_sync.store import plans
from chunk_sync.store.database import Database, query
from chunk_sync.store.migrations import migrate
from chunk_sync.store.plans import FolderSnapshot, PlanWriter

MAILBOXES = 1000
_LEASE_SECONDS = 60.0
_EMAILS = 100
_CHANNEL = "chunk_sync_work"
_POLL_SECONDS = 0.05

CLAIM = "SELECT chunk_id, lease_token FROM claim_chunks(%s, %s)"
_COMPLETE = (
    "SELECT chunk_id, outcome FROM complete_chunks(%s::bigint[], %s::bigint[], %s::integer[], %s::integer[],"
    " %s::integer[], %s::integer[], %s::bigint[], %s::integer[])"
)
_REQUEST = """
    SELECT request_sync('box' || n, 'manual', p_tenant => 'tenant' || n, p_requested_by => 'benchmark')
    FROM generate_series(%s::integer, %s::integer) AS n
"""
_BULK_CHUNKS = """
    INSERT INTO sync_chunks (
        tenant_id, mailbox_id, sync_job_id, chunk_index, folder_id, uidvalidity, uids, start_offset, end_offset,
        estimated_emails, estimated_bytes
    )
    SELECT j.tenant_id, j.mailbox_id, j.id, n, %(folder)s, 1, n * %(emails)s + 1 || ':' || (n + 1) * %(emails)s,
        n * %(emails)s, (n + 1) * %(emails)s - 1, %(emails)s, %(emails)s * 1000
    FROM sync_jobs AS j CROSS JOIN generate_series(0, %(chunks)s - 1) AS n WHERE j.id = %(job)s
"""
_FIFO_COPY = """
    CREATE TABLE fifo (LIKE chunk_processing_queue INCLUDING DEFAULTS INCLUDING STORAGE) WITH (fillfactor = 80);
    INSERT INTO fifo SELECT * FROM chunk_processing_queue WHERE status = 'pending';
    ALTER TABLE fifo ADD PRIMARY KEY (chunk_id);
    CREATE INDEX fifo_due ON fifo (priority DESC, available_at, chunk_id) WHERE status = 'pending';
"""
_FIFO_CLAIM = """
    UPDATE fifo SET status = 'processing', lease_token = lease_token + 1, attempts = attempts + 1,
        worker_id = %s, started_at = clock()
    WHERE chunk_id = ANY (ARRAY(
        SELECT chunk_id FROM fifo WHERE status = 'pending' AND available_at <= clock()
        ORDER BY priority DESC, available_at, chunk_id LIMIT %s FOR UPDATE SKIP LOCKED
    ))
    RETURNING chunk_id, lease_token
"""
_FIFO_COMPLETE = """
    UPDATE fifo SET status = 'completed', completed_at = clock() WHERE chunk_id = ANY (%s)
"""

Claimed = Sequence[tuple[int, int]]


def connect(dsn: str) -> psycopg.Connection[Any]:
    """Connect as a worker's hot path does: autocommit, every statement prepared."""
    return psycopg.connect(dsn, autocommit=True, prepare_threshold=0, options="-c search_path=chunk_sync")


def setup(wire: Wire) -> None:
    """Migrate, and add the tenants with their mailboxes."""
    with Database(wire.dsn) as database:
        migrate(database)
        add_mailboxes(database)


def add_mailboxes(database: Database) -> None:
    """Add a thousand tenants with a mailbox each."""
    with database.transaction() as conn:
        for number in range(MAILBOXES):
            names = {"name": f"box{number}", "tenant": f"tenant{number}", "address": f"maildir:/nowhere/{number}"}
            conn.execute(query("mailbox_add"), names | {"provider": "maildir", "credential": None, "folders": None})


def request(database: Database, first: int, last: int) -> list[int]:
    """Request a sync of each of these mailboxes; the jobs, in their order."""
    database.execute(_REQUEST, (first, last))
    return [row["id"] for row in database.execute("SELECT id FROM sync_jobs WHERE status = 'requested' ORDER BY id")]


def plan(database: Database, worker: int, job_id: int, chunks: int, *, bulk: bool = False) -> None:
    """Plan a job; in bulk the wide rows are written by one statement instead of by the planner."""
    job = plans.claim_plan(database, job_id, worker)
    assert job is not None
    emails = chunks * _EMAILS
    snapshot = FolderSnapshot("INBOX", "INBOX", "inbox", 1, emails)
    spans = (UidSet(((n * _EMAILS + 1, (n + 1) * _EMAILS),)) for n in range(0 if bulk else chunks))
    cut = [ChunkPlan(span, None, _EMAILS, _EMAILS * 1000) for span in spans]
    with database.transaction() as conn:
        writer = PlanWriter(conn, job)
        folder = writer.open_folder(snapshot)
        writer.close_folder(folder, snapshot, cut, synced_uid=emails, next_uid=emails + 1)
        if bulk:
            parameters = {"job": job.id, "folder": folder.id, "emails": _EMAILS, "chunks": chunks}
            conn.execute(_BULK_CHUNKS, parameters)
        writer.finish(worker)


def enqueue(wire: Wire) -> None:
    """Plan a job a mailbox, the chunks spread evenly."""
    each, more = divmod(wire.job["jobs"], MAILBOXES)
    with Database(wire.dsn) as database, Worker(database, "planner", _LEASE_SECONDS) as worker:
        started = time.perf_counter()
        for place, job_id in enumerate(request(database, 0, (MAILBOXES if each else more) - 1)):
            plan(database, worker.id, job_id, each + (place < more))
        timed(wire, started)


def seed(wire: Wire) -> None:
    """Plan so many chunks: ten a tenant, all others of the first; one each where there are only a thousand.

    Beside them a copy of the queue's rows, for the plain FIFO claim.
    """
    depth = wire.job["jobs"]
    few = min(10, depth // MAILBOXES)
    with Database(wire.dsn) as database, Worker(database, "planner", _LEASE_SECONDS) as worker:
        started = time.perf_counter()
        for place, job_id in enumerate(request(database, 0, MAILBOXES - 1)):
            plan(database, worker.id, job_id, few if place else depth - few * (MAILBOXES - 1), bulk=True)
        timed(wire, started)
    with connect(wire.dsn) as conn:
        conn.execute(_FIFO_COPY, prepare=False)


def statements(
    conn: psycopg.Connection[Any], worker: int, batch: int
) -> tuple[Callable[[], Claimed], Callable[[Claimed], None]]:
    """Write the two halves of a worker: a claim, and the completion of all that it gave."""
    cursor = conn.cursor(binary=True)

    def claim() -> Claimed:
        return cursor.execute(CLAIM, (worker, batch)).fetchall()

    def complete(claimed: Claimed) -> None:
        _check(cursor.execute(_COMPLETE, _completion(claimed)).fetchall(), len(claimed))

    return claim, complete


def together(
    conn: psycopg.Connection[Any], worker: int, batch: int
) -> tuple[Callable[[], Claimed], Callable[[Claimed], None]]:
    """The same, but what is done goes with the next claim: one round trip and one transaction for both."""
    done, next_ = conn.cursor(binary=True), conn.cursor(binary=True)
    waiting: list[Claimed] = []

    def claim() -> Claimed:
        if not waiting:
            return next_.execute(CLAIM, (worker, batch)).fetchall()
        claimed = waiting.pop()
        with conn.pipeline():
            done.execute(_COMPLETE, _completion(claimed))
            next_.execute(CLAIM, (worker, batch))
        _check(done.fetchall(), len(claimed))
        return next_.fetchall()

    return claim, waiting.append


def _completion(claimed: Claimed) -> tuple[list[int], ...]:
    count = len(claimed)
    zeros = [0] * count
    ids, tokens = [row[0] for row in claimed], [row[1] for row in claimed]
    return (ids, tokens, [_EMAILS] * count, zeros, zeros, zeros, [_EMAILS * 1000] * count, [1] * count)


def _check(outcomes: Sequence[tuple[int, str]], count: int) -> None:
    if [row[1] for row in outcomes] != ["done"] * count:
        message = f"not all of {count} were done: {outcomes}"
        raise RuntimeError(message)


def work(wire: Wire) -> None:
    """Claim and complete until told to stop."""
    with (
        Database(wire.dsn) as database,
        Worker(database, f"bench-{time.time()}", _LEASE_SECONDS) as worker,
        connect(wire.dsn) as conn,
    ):
        work_loop(wire, *together(conn, worker.id, wire.options["batch"]))


def claims(wire: Wire) -> list[float]:
    """Time fair claims, or plain FIFO claims on a copy of the same rows."""
    with (
        Database(wire.dsn) as database,
        Worker(database, "latency", _LEASE_SECONDS) as worker,
        connect(wire.dsn) as conn,
    ):
        batch = wire.job["batch"]
        if not wire.options.get("fifo"):
            return claim_times(wire, *statements(conn, worker.id, batch))
        cursor = conn.cursor(binary=True)
        return claim_times(
            wire,
            lambda: cursor.execute(_FIFO_CLAIM, (worker.id, batch)).fetchall(),
            lambda claimed: cursor.execute(_FIFO_COMPLETE, ([row[0] for row in claimed],)),
        )


def wait(wire: Wire) -> None:
    """Wait for a notification, or look each 50 ms; claim, say when, complete."""
    with (
        Database(wire.dsn) as database,
        Worker(database, "waiting", _LEASE_SECONDS) as worker,
        connect(wire.dsn) as conn,
        connect(wire.dsn) as ear,
    ):
        claim, complete = statements(conn, worker.id, 1)
        claim()  # prepared, and nothing there
        ear.execute(f"LISTEN {_CHANNEL}", prepare=False)
        wire.ready()
        numbers = itertools.count()
        while not wire.stopped:
            for _ in ear.notifies(timeout=_POLL_SECONDS, stop_after=1):
                pass
            if claimed := claim():
                wire.say(got=next(numbers), at=time.time())
                complete(claimed)


def send(wire: Wire) -> None:
    """Plan a job of one chunk at each word, mailbox after mailbox."""
    with Database(wire.dsn) as database, Worker(database, "planner", _LEASE_SECONDS) as worker:
        wire.say(ready=True)
        for number in itertools.count():
            if wire.word() != "go":
                return
            mailbox = number % MAILBOXES
            plan(database, worker.id, request(database, mailbox, mailbox)[0], 1)
            wire.say(sent=number, at=time.time())


if __name__ == "__main__":
    main(setup=setup, enqueue=enqueue, seed=seed, work=work, claims=claims, wait=wait, send=send)
