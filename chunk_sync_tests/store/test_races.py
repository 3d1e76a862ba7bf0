"""Races, each made certain: one connection holds its transaction open while another arrives, or both start at a barrier."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Barrier
from typing import Any

import psycopg
import pytest
from psycopg import errors

from chunk_sync.local.dsn import libpq_url
from chunk_sync.store.database import Database, query
from chunk_sync_tests.store.queue_model import NOON, Job, Mailbox, add_mailbox, add_tenant, connect, faults, plan_job

Conn = psycopg.Connection[Any]
Call = tuple[str, Sequence[object]]
LATER = NOON + timedelta(seconds=61)


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
        until = time.monotonic() + 5
        while time.monotonic() < until:
            if self.column("SELECT cardinality(pg_blocking_pids(%s))", conn.info.backend_pid) != [0]:
                return True
            time.sleep(0.002)
        return False

    def race(self, first: Call, second: Call, *, waits: bool = True) -> tuple[Any, Any]:
        """Run `first`, leave its transaction open, run `second` elsewhere, commit: both answers."""
        one, other = self.connect(), self.connect()
        with one.transaction():
            answer = ask(one, first)
            future = self.start(other, second)
            assert waits == (self.waits(other) if waits else not future.result(5) and False)
        return answer, future.result(10)

    def together(self, works: Sequence[Callable[[], object]]) -> list[Any]:
        """Run functions at the same moment, each in a thread; their answers."""
        barrier = Barrier(len(works))

        def run(work: Callable[[], object]) -> object:
            barrier.wait(10)
            return work()

        return [future.result(60) for future in [self._pool.submit(run, work) for work in works]]


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
