"""Randomised steps of every kind from several processes at once, and somebody who looks whether anything is wrong."""

from __future__ import annotations

import multiprocessing
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any

import psycopg

from benchmarks.queue.server import Server
from chunk_sync.local.dsn import libpq_url
from chunk_sync.store.database import Database, query
from chunk_sync.store.migrations import migrate
from chunk_sync_tests.store.queue_model import (
    LIMITS,
    Console,
    Mailbox,
    add_mailbox,
    add_tenant,
    connect,
    faults,
    plan_job,
)

_LEASE = "1 s"
_TENANTS = 12
_LOOK_SECONDS = 30.0
_LIMIT_SECONDS = 0.2
_CATEGORIES = ("network", "temporary", "rate_limit", "timeout", "unknown", "permission")
_OUR_REFUSALS = {"CS001", "CS002", "CS004", "CS005", "CS006"}
_RULES = """
    UPDATE retention_policies SET keep = '20 s' WHERE what IN ('completed_jobs', 'workers', 'dispatches');
    UPDATE provider_lanes SET chunk_limit = 9 WHERE provider = 'imap:host0'
"""
_SOME_JOB = "SELECT public_id::text FROM sync_jobs WHERE status = 'processing' ORDER BY random() LIMIT 1"
_FAIL = "SELECT chunk_id, accepted FROM fail_chunks(%s::bigint[], %s::bigint[], %s::error_category[], %s::text[])"

Leases = dict[int, int]
"""Chunks and the tokens that they were claimed with."""


class Actor(Console):
    """One process: a worker that works, forgets, dies and comes back as a zombie; at times an operator."""

    def __init__(self, dsn: str, seed: int, boxes: list[Mailbox]) -> None:
        super().__init__(dsn, None)
        self.dice = random.Random(seed)
        self.boxes = boxes
        self.counts: Counter[str] = Counter()
        self.held: Leases = {}
        self.spent: list[tuple[int, int]] = []
        """Leases that have ended, by the database's own answer: nothing may come of them any more."""
        self.lost: list[tuple[int, int]] = []
        """Leases of workers that went silent: good until somebody takes the chunk."""
        self.worker = self.open_worker()
        self.planner = self.one("SELECT open_worker('planner', '100 days')")
        self.steps: dict[Callable[[], object], float] = {
            self.claim: 30, self.complete: 26, self.complete_again: 8, self.complete_late: 0.5, self.fail: 6,
            self.fail_late: 2, self.release: 4, self.heartbeat: 8, self.fall_silent: 0.5, self.goodbye: 0.3,
            self.recover: 1, self.plan: 3, self.cancel: 0.2, self.pause: 0.3, self.resume: 0.5, self.reopen: 1,
            self.maintain: 0.5,
        }  # fmt: skip

    def run(self, steps: int) -> Counter[str]:
        """Do so many steps. Whatever is refused with another code than ours counts as an error."""
        kinds, weights = list(self.steps), list(self.steps.values())
        for kind in self.dice.choices(kinds, weights, k=steps):
            self.counts[kind.__name__] += 1
            try:
                kind()
            except psycopg.Error as error:
                if error.sqlstate not in _OUR_REFUSALS:
                    self.counts[f"error {error.sqlstate}"] += 1
                    print(f"  {kind.__name__}: {error}", flush=True)
        return self.counts

    # A worker

    def open_worker(self) -> int:
        """Begin a life."""
        return self.one("SELECT open_worker('soak', %s::interval)", _LEASE)

    def claim(self) -> None:
        """Claim up to a dozen chunks of anything; a worker whose lease ran out is another one from now on."""
        statement = b"SELECT chunk_id, lease_token FROM claim_chunks(%s, %s)"
        try:
            rows = self.conn.execute(statement, (self.worker, self.dice.randint(1, 12))).fetchall()
        except psycopg.Error as error:
            self.fall_silent()
            if error.sqlstate != "CS002":
                raise
            return
        self.held.update(rows)
        self.counts["claimed"] += len(rows)

    def some(self, leases: Leases) -> tuple[list[int], list[int]]:
        """Choose up to eight of these leases."""
        ids = self.dice.sample(list(leases), min(len(leases), self.dice.randint(1, 8)))
        return ids, [leases[chunk] for chunk in ids]

    def _complete(self, ids: list[int], tokens: list[int]) -> dict[int, str]:
        statement = b"SELECT chunk_id, outcome FROM complete_chunks(%s, %s, %s)"
        return dict(self.conn.execute(statement, (ids, tokens, [1] * len(ids))).fetchall())

    def complete(self) -> None:
        """Complete some of what is held; what was taken away meanwhile is answered so."""
        ids, tokens = self.some(self.held)
        for chunk, outcome in self._complete(ids, tokens).items():
            self.counts[f"completion {outcome}"] += 1
            self.spent.append((chunk, self.held.pop(chunk)))

    def complete_again(self) -> None:
        """Complete by leases that have ended: nothing may come of it."""
        leases = dict(self.dice.sample(self.spent[-2000:], min(len(self.spent), 8)))
        outcomes = self._complete(list(leases), list(leases.values()))
        self.counts["zombie completions tried"] += len(leases)
        self.counts["ZOMBIE COMPLETIONS"] += sum(outcome == "done" for outcome in outcomes.values())

    def complete_late(self) -> None:
        """Complete what a silent worker had: good if nobody has taken it; that it counts once is looked at later."""
        leases = dict(self.lost[-200:])
        ids, tokens = self.some(leases)
        for chunk, outcome in self._complete(ids, tokens).items():
            self.counts[f"late completion {outcome}"] += 1
            self.lost.remove((chunk, leases[chunk]))
            self.spent.append((chunk, leases[chunk]))

    def _fail(self, leases: Leases) -> dict[int, bool]:
        ids, tokens = self.some(leases)
        size = len(ids)
        categories = self.dice.choices(_CATEGORIES, k=size)
        return dict(self.conn.execute(_FAIL.encode(), (ids, tokens, categories, ["it broke"] * size)).fetchall())

    def fail(self) -> None:
        """Fail some of what is held."""
        self.spent += [(chunk, self.held.pop(chunk)) for chunk in self._fail(self.held)]

    def fail_late(self) -> None:
        """Fail by leases that have ended: nothing may come of it."""
        accepted = self._fail(dict(self.spent[-2000:]))
        self.counts["ZOMBIE FAILURES"] += sum(accepted.values())

    def release(self) -> None:
        """Give some back."""
        ids, tokens = self.some(self.held)
        self.conn.execute(b"SELECT release_chunks(%s::bigint[], %s::bigint[])", (ids, tokens))
        self.spent += [(chunk, self.held.pop(chunk)) for chunk in ids]

    def heartbeat(self) -> None:
        """Say that it lives."""
        if not self.one("SELECT heartbeat(%s, %s::interval)", self.worker, _LEASE):
            self.fall_silent()

    def fall_silent(self) -> None:
        """Die without a word."""
        self.lost += self.held.items()
        self.held = {}
        self.worker = self.open_worker()

    def goodbye(self) -> None:
        """End properly: all of it goes back."""
        self.one("SELECT close_worker(%s)", self.worker)
        self.spent += self.held.items()
        self.held = {}
        self.worker = self.open_worker()

    # Everybody else

    def recover(self) -> None:
        """Sweep."""
        self.counts["recovered"] += self.one("SELECT cleanup_stuck_chunks()")

    def plan(self) -> None:
        """Plan a job for a mailbox, unless there is enough to do."""
        if self.one("SELECT count(*) FROM sync_jobs WHERE status = 'processing'") < 3 * len(self.boxes):
            box = self.dice.choice(self.boxes)
            chunks, priority = self.dice.randint(1, 60), self.dice.randint(1, 30)
            plan_job(self.conn, self.planner, box, query("plan_enqueue"), chunks=chunks, priority=priority)
            self.counts["chunks planned"] += chunks

    def scope(self) -> tuple[str, str | None]:
        """Choose a job, a mailbox or a tenant."""
        box = self.dice.choice(self.boxes)
        return self.dice.choice([("sync_job", self.one(_SOME_JOB)), ("mailbox", box.uuid), ("tenant", box.tenant.uuid)])

    def cancel(self) -> None:
        """Cancel a job or a mailbox's."""
        scope, uuid = self.scope()
        if scope != "tenant":
            self.one("SELECT cancel_sync(%s::sync_scope, %s, 'why')", scope, uuid)

    def pause(self) -> None:
        """Pause something."""
        self.one("SELECT pause_sync(%s::sync_scope, %s, 'why')", *self.scope())

    def resume(self) -> None:
        """Resume whatever is paused."""
        for scope, table in (("sync_job", "sync_jobs"), ("mailbox", "mailboxes")):
            paused = self.one(f"SELECT public_id::text FROM {table} WHERE paused_at IS NOT NULL LIMIT 1")
            if paused:
                self.one("SELECT resume_sync(%s::sync_scope, %s, 'why')", scope, paused)
        for box in self.boxes:
            if self.one("SELECT paused_at FROM tenant_lanes WHERE tenant_id = %s", box.tenant.id):
                self.one("SELECT resume_sync('tenant', %s, 'why')", box.tenant.uuid)

    def reopen(self) -> None:
        """Open a chunk again, whatever it is doing, or what failed of a job."""
        chunk = self.one(
            "SELECT chunk_id FROM chunk_processing_queue WHERE chunk_id >= random() * (SELECT max(chunk_id)"
            " FROM chunk_processing_queue) ORDER BY chunk_id LIMIT 1"
        )
        how = self.dice.choice(["reopen_chunk(%s, 'why')::text", "force_reset_chunk(%s, 'why')::text"])
        self.one(f"SELECT {how}", chunk)
        if self.dice.random() < 0.2:
            self.one("SELECT reset_sync_job_chunks(%s::uuid, 'why')", self.one(_SOME_JOB))

    def maintain(self) -> None:
        """Look after the lanes, delete what is past its time."""
        what = self.dice.choice(["wake_lanes()", "rebalance_lanes()", "delete_expired(1000)", "recover_plans()"])
        self.one(f"SELECT {what}")


def act(dsn: str, seed: int, boxes: list[Mailbox], steps: int) -> Counter[str]:
    """Be one of the processes."""
    return Actor(dsn, seed, boxes).run(steps)


def run(server: Server, *, steps: int, processes: int, seed: int) -> int:
    """Let them loose; 1 when anything was wrong."""
    url = server.create("soak")
    with Database(url) as database:
        migrate(database)
    dsn = libpq_url(url)
    with connect(dsn, None) as conn:
        tenants = [add_tenant(conn, f"t{n}", weight=1 + n % 3, limit=(None, 3, 6)[n % 3]) for n in range(_TENANTS)]
        boxes = [
            add_mailbox(conn, tenant, f"b{n}", host=f"host{n % 3}", limit=1 + n % 5)
            for tenant in tenants
            for n in range(1 + tenant.id % 4)
        ]
        conn.execute(_RULES.encode())
        started = time.monotonic()
        with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
            actors = [pool.submit(act, dsn, seed * 1000 + n, boxes, steps // processes) for n in range(processes)]
            looks, counts, wrong = watch(conn, actors)
            for actor in actors:
                counts.update(actor.result())
        wrong += _look(conn)
    print(
        f"{steps:,} steps from {processes} processes in {time.monotonic() - started:.0f} s, limits read {looks:,} times"
    )
    for name, count in sorted(counts.items()):
        print(f"  {name:26} {count:>10,}")
    print(f"  {'DRIFT, BROKEN INVARIANTS':26} {len(wrong):>10,}")
    return 1 if wrong or any(counts[name] for name in counts if name.isupper() or name.startswith("error")) else 0


def watch(conn: psycopg.Connection[Any], actors: Sequence[Future[Any]]) -> tuple[int, Counter[str], list[Any]]:
    """Look at limits all the time and at everything twice a minute, until they are done."""
    wrong: list[Any] = []
    counts: Counter[str] = Counter({"LIMITS EXCEEDED": 0, "ZOMBIE COMPLETIONS": 0, "ZOMBIE FAILURES": 0})
    next_look = time.monotonic() + _LOOK_SECONDS
    looks = 0
    while not all(actor.done() for actor in actors):
        counts["LIMITS EXCEEDED"] += len(conn.execute(LIMITS).fetchall())
        looks += 1
        if time.monotonic() > next_look:
            wrong += _look(conn)
            next_look = time.monotonic() + _LOOK_SECONDS
        time.sleep(_LIMIT_SECONDS)
    return looks, counts, wrong


def _look(conn: psycopg.Connection[Any]) -> list[Any]:
    found = faults(conn)
    for fault in found:
        print(f"  WRONG: {fault}", flush=True)
    return found
