"""Races made certain: a connection holds its transaction while another arrives, or all start at a barrier."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Barrier
from typing import Any

import psycopg

from chunk_sync.local.dsn import libpq_url
from chunk_sync.store.database import query
from chunk_sync_tests.servers.process import wait_until
from chunk_sync_tests.store.queue_model import NOON, Job, Mailbox, add_mailbox, add_tenant, connect, plan_job

Conn = psycopg.Connection[Any]
Call = tuple[str, Sequence[object]]
LATER = NOON + timedelta(seconds=61)
PATIENCE_SECONDS = 60.0
"""For what happens at once on a machine that has time."""


class Queue:
    """A database, connections to it, and the shortest words for what is done with them."""

    def __init__(self, dsn: str) -> None:
        self.dsn = libpq_url(dsn)
        self._open: list[Conn] = []
        self._pool = ThreadPoolExecutor(16)
        self.conn = self.connect()
        self.planner = self.open_worker("planner", "10 days")

    def connect(self, now: datetime | None = NOON) -> Conn:
        """Open one more connection, closed with the queue."""
        self._open.append(connect(self.dsn, now))
        return self._open[-1]

    def close(self) -> None:
        """Close everything."""
        for conn in self._open:
            conn.cancel()
        self._pool.shutdown()
        for conn in self._open:
            conn.close()

    def one(self, statement: str, *parameters: object) -> Any:
        """Run a statement; the first column of its first row."""
        return ask(self.conn, (statement, parameters))

    def column(self, statement: str, *parameters: object) -> list[Any]:
        """Run a statement; its first column."""
        return [row[0] for row in self.conn.execute(statement.encode(), parameters).fetchall()]

    def open_worker(self, name: str, lease: str = "60 s") -> int:
        """Register a worker."""
        return self.one("SELECT open_worker(%s, %s::interval)", name, lease)

    def mailbox(self, name: str = "box", *, limit: int = 4, host: str = "one.example") -> Mailbox:
        """Add a tenant of this name with one mailbox."""
        return add_mailbox(self.conn, add_tenant(self.conn, name), name, limit=limit, host=host)

    def job(self, box: Mailbox, chunks: int, priority: int = 20) -> Job:
        """Plan a job."""
        return plan_job(self.conn, self.planner, box, query("plan_enqueue"), chunks=chunks, priority=priority)

    def claim(self, worker: int, limit: int = 1) -> list[tuple[int, int]]:
        """Claim anything: (chunk, token)."""
        return self.conn.execute(*claim_call(worker, limit)).fetchall()

    def statuses(self, job: Job) -> list[str]:
        """List a job's chunks' statuses in their order."""
        return self.column(
            "SELECT status::text FROM chunk_processing_queue WHERE sync_job_id = %s ORDER BY chunk_index", job.id
        )

    def job_status(self, job: Job) -> str:
        """Read a job's status."""
        return self.one("SELECT status::text FROM sync_jobs WHERE id = %s", job.id)

    def start(self, conn: Conn, call: Call) -> Future[Any]:
        """Run a call in a thread; its answer."""
        return self._pool.submit(ask, conn, call)

    def waits(self, conn: Conn) -> bool:
        """Wait until a connection waits for a lock; False when it does not within a while."""
        blockers = "SELECT cardinality(pg_blocking_pids(%s))"
        return wait_until(lambda: self.column(blockers, conn.info.backend_pid) != [0], PATIENCE_SECONDS)

    def race(self, first: Call, second: Call, *, waits: bool = True) -> tuple[Any, Any]:
        """Run `first`, leave its transaction open, run `second` elsewhere, commit: both answers."""
        one, other = self.connect(), self.connect()
        with one.transaction():
            answer = ask(one, first)
            future = self.start(other, second)
            if waits:
                assert self.waits(other)
            else:
                future.result(PATIENCE_SECONDS)
        return answer, future.result(PATIENCE_SECONDS)

    def together(self, works: Sequence[Callable[[], object]]) -> list[Any]:
        """Run functions at the same moment, each in a thread; their answers."""
        barrier = Barrier(len(works))

        def run(work: Callable[[], object]) -> object:
            barrier.wait(PATIENCE_SECONDS)
            return work()

        return [future.result(5 * PATIENCE_SECONDS) for future in [self._pool.submit(run, work) for work in works]]


def ask(conn: Conn, call: Call) -> Any:
    """Run a call: the first column of its first row, or the SQLSTATE of our refusal."""
    try:
        row = conn.execute(call[0].encode(), call[1]).fetchone()
    except psycopg.Error as error:
        if error.sqlstate is None or not error.sqlstate.startswith("CS"):
            raise
        return error.sqlstate
    return None if row is None else row[0]


def claim_call(worker: int, limit: int = 1) -> Call:
    """A claim of anything."""
    return "SELECT chunk_id, lease_token FROM claim_chunks(%s, %s)", (worker, limit)


def given_call(worker: int, chunk_ids: Sequence[int]) -> Call:
    """A claim of these chunks; answers how many were taken."""
    return "SELECT count(*) FROM claim_chunks(%s, 10, %s)", (worker, list(chunk_ids))


def land_call(chunk: tuple[int, int]) -> Call:
    """A completion as the landing makes it: stale leases are refused with CS001."""
    return "SELECT complete_chunk(%s, %s, 10, 0, 0, 0, 1000, 100)::text", chunk


def complete_call(chunks: Sequence[tuple[int, int]]) -> Call:
    """A batch of completions; answers their outcomes."""
    ids, tokens = [c[0] for c in chunks], [c[1] for c in chunks]
    return "SELECT array_agg(outcome) FROM complete_chunks(%s, %s, %s)", (ids, tokens, [10] * len(ids))


def fail_call(chunks: Sequence[tuple[int, int]], category: str = "network") -> Call:
    """A batch of failures; answers which were accepted."""
    ids, tokens, size = [c[0] for c in chunks], [c[1] for c in chunks], len(chunks)
    return (
        (
            "SELECT array_agg(accepted ORDER BY chunk_id)"
            " FROM fail_chunks(%s::bigint[], %s::bigint[], %s::error_category[], %s::text[])"
        ),
        (ids, tokens, [category] * size, ["it broke"] * size),
    )


def cancel_call(scope: str, uuid: str) -> Call:
    """A cancel of a job, a mailbox or a tenant."""
    return "SELECT cancel_sync(%s::sync_scope, %s, 'a test')", (scope, uuid)


def pause_call(scope: str, uuid: str) -> Call:
    """A pause of a job, a mailbox or a tenant."""
    return "SELECT pause_sync(%s::sync_scope, %s, 'a test')", (scope, uuid)


RECOVER: Call = "SELECT count(*) FROM recover_expired_leases()", ()


def later(queue: Queue) -> Conn:
    """Open a connection to whom every lease has run out."""
    return queue.connect(LATER)


def held(queue: Queue, first: Call, second: Conn, call: Call) -> tuple[Any, Any]:
    """Like `race`, where the second connection has a clock of its own; it must wait."""
    conn = queue.connect()
    with conn.transaction():
        answer = ask(conn, first)
        future = queue.start(second, call)
        assert queue.waits(second)
    return answer, future.result(PATIENCE_SECONDS)
