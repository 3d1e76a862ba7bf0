"""Plan, claim, complete and delete, round after round: does the queue stay as fast and as small as it was?"""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import psycopg

from benchmarks.queue import ours
from benchmarks.queue.server import Server
from chunk_sync.engine.worker import Worker
from chunk_sync.local.dsn import libpq_url
from chunk_sync.store.database import Database
from chunk_sync.store.migrations import migrate
from chunk_sync.store.retention import run_retention
from chunk_sync_tests.store.queue_model import connect

_WORKERS = 2
_BATCH = 100
_SAMPLES = 9
_EXPLAIN = "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) SELECT * FROM claim_chunks(%s, 10)"
_RUNNING = "SELECT chunk_id, lease_token FROM held_by(ARRAY[%s::bigint])"
_SIZES = """
    SELECT sum(pg_total_relation_size(c.oid)) FILTER (WHERE c.relname = 'chunk_processing_queue') AS queue,
        sum(pg_total_relation_size(c.oid)) FILTER (WHERE c.relname = 'mailbox_lanes') AS lanes
    FROM pg_class AS c WHERE c.relnamespace = 'chunk_sync'::regnamespace
"""


@dataclass(frozen=True, slots=True)
class Round:
    """What a round was like: jobs a second, milliseconds and pages of a claim of ten half-way, bytes at its end."""

    rate: float
    milliseconds: float
    buffers: float
    queue_bytes: int
    lanes_bytes: int

    def __str__(self) -> str:
        return (
            f"{self.rate:>9,.0f} {self.milliseconds:>10.2f} {self.buffers:>8.0f} {self.queue_bytes / 2**20:>10.1f}"
            f" {self.lanes_bytes / 2**20:>10.1f}"
        )


def work(dsn: str, chunks: int) -> tuple[float, float]:
    """Claim and complete so many chunks; from when to when."""
    with Database(dsn) as database, Worker(database, "churn", 60.0) as worker, ours.connect(libpq_url(dsn)) as conn:
        claim, complete = ours.together(conn, worker.id, _BATCH)
        started = time.time()
        while chunks > 0 and (claimed := claim()):
            complete(claimed)
            chunks -= len(claimed)
        claim()  # sends the last completion
        ended = time.time()
    return started, ended


def run(server: Server, *, chunks: int, rounds: int) -> int:
    """Run all rounds and print; 1 when an aim was missed."""
    dsn = server.create("churn")
    each, clean = chunks // rounds, rounds - rounds // 5
    with Database(dsn) as database:
        migrate(database)
        ours.add_mailboxes(database)
        database.execute("UPDATE retention_policies SET keep = '1 microsecond' WHERE what IN ('completed_jobs')")
        print(f"{rounds} rounds of {each:,} chunks, {_WORKERS} workers at batch {_BATCH}, 1,000 mailboxes")
        print("   round    jobs/s   claim ms  buffers   queue MB   lanes MB")
        done: list[Round] = []
        with (
            connect(libpq_url(dsn)) as reader,
            ProcessPoolExecutor(_WORKERS, multiprocessing.get_context("spawn")) as pool,
        ):
            for number in range(rounds):
                if number == clean:
                    reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
                    reader.execute("SELECT count(*) FROM mailbox_lanes")
                done.append(one(database, pool, dsn, each))
                print(f"  {number + 1:>6} {done[-1]}{'  snapshot held' if number >= clean else ''}", flush=True)
    return report(done[:clean], done[clean:])


def one(database: Database, pool: ProcessPoolExecutor, dsn: str, chunks: int) -> Round:
    """Plan, work off half, look closely, work off the rest, delete."""
    per_box = chunks // ours.MAILBOXES
    with Worker(database, "planner", 60.0) as planner:
        for job_id in ours.request(database, 0, ours.MAILBOXES - 1):
            ours.plan(database, planner.id, job_id, per_box, bulk=True)
    share = chunks // 2 // _WORKERS
    rates = [together(pool, dsn, share)]
    milliseconds, buffers = look(libpq_url(dsn))
    rates.append(together(pool, dsn, share))
    together(pool, dsn, chunks)  # what is left
    run_retention(database)
    sizes = database.execute(_SIZES)[0]
    return Round(statistics.mean(rates), milliseconds, buffers, int(sizes["queue"]), int(sizes["lanes"]))


def together(pool: ProcessPoolExecutor, dsn: str, share: int) -> float:
    """Let the workers claim and complete so many chunks each; jobs a second."""
    spans = [future.result() for future in [pool.submit(work, dsn, share) for _ in range(_WORKERS)]]
    return _WORKERS * share / (max(end for _, end in spans) - min(start for start, _ in spans))


def look(dsn: str) -> tuple[float, float]:
    """Claim ten chunks some times and complete them: the medians of milliseconds, and of pages touched."""
    with connect(dsn, None) as conn:
        worker = conn.execute("SELECT open_worker('look', '10 min')").fetchall()[0][0]
        times: list[float] = []
        pages: list[int] = []
        for _ in range(_SAMPLES):
            started = time.perf_counter()
            claimed = conn.execute(ours.CLAIM.encode(), (worker, 10)).fetchall()
            times.append((time.perf_counter() - started) * 1000)
            complete(conn, claimed)
            plan = conn.execute(_EXPLAIN.encode(), (worker,)).fetchall()[0][0][0]["Plan"]
            pages.append(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])
            complete(conn, conn.execute(_RUNNING.encode(), (worker,)).fetchall())
        conn.execute("SELECT close_worker(%s)", (worker,))
    return statistics.median(times), statistics.median(pages)


def complete(conn: psycopg.Connection[Any], claimed: Sequence[tuple[int, int]]) -> None:
    """Complete these chunks."""
    ids, tokens = [row[0] for row in claimed], [row[1] for row in claimed]
    conn.execute(b"SELECT count(*) FROM complete_chunks(%s, %s, %s)", (ids, tokens, [1] * len(ids)))


def report(clean: Sequence[Round], held: Sequence[Round]) -> int:
    """Print the ratios with their aims; 1 when one was missed."""
    first, last = clean[0], clean[-1]
    usual = statistics.median(r.rate for r in clean)
    pages = statistics.median(r.buffers for r in clean)
    half = len(clean) // 2
    earlier, later = max(r.queue_bytes for r in clean[:half]), max(r.queue_bytes for r in clean[half:])
    aims = [
        ("claim buffers, last clean round to the first", last.buffers / first.buffers, "at most", 1.5),
        ("queue's bytes at most, later half of the clean rounds to the earlier", later / earlier, "at most", 1.5),
        ("claim buffers, snapshot held to clean", max(r.buffers for r in held) / pages, "at most", 2.0),
        ("jobs a second, snapshot held to clean", min(r.rate for r in held) / usual, "at least", 0.8),
    ]
    missed = 0
    for what, ratio, kind, aim in aims:
        met = ratio <= aim if kind == "at most" else ratio >= aim
        missed += not met
        print(f"{what:68} {ratio:5.2f}  ({kind} {aim}: {'met' if met else 'MISSED'})")
    return 1 if missed else 0
