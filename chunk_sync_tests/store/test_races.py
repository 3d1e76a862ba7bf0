"""Races, each made certain: one connection holds its transaction while another arrives, or both start at a barrier."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Barrier
from typing import Any

import psycopg
import pytest

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
            if waits:
                assert self.waits(other)
            else:
                future.result(5)
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


@pytest.fixture
def queue(database: Database) -> Iterator[Queue]:
    """The queue of an empty database; nothing may be wrong with it at the end."""
    queue = Queue(database.dsn)
    yield queue
    try:
        assert [] == faults(queue.connect(NOON + timedelta(hours=1)))
        assert 0 == queue.one("SELECT sum(deadlocks) FROM pg_stat_database WHERE datname = current_database()")
    finally:
        queue.close()


# One after the other, by a transaction that is held open


@pytest.mark.parametrize("ends", ["commit", "rollback"])
def test_a_claim_passes_by_a_lane_that_another_claim_holds(queue: Queue, ends: str) -> None:
    """A claim never waits: of a mailbox that another claim holds it gets nothing, afterwards what there is room for."""
    queue.job(queue.mailbox(limit=3), 6)
    one, two = queue.open_worker("one"), queue.open_worker("two")
    first, second = queue.connect(), queue.connect()
    first.execute("BEGIN")
    assert 2 == len(first.execute(*claim_call(one, 2)).fetchall())
    second.execute("SET lock_timeout = '1ms'")
    assert [] == second.execute(*claim_call(two, 6)).fetchall()
    first.execute(ends.encode())
    assert {"commit": 1, "rollback": 3}[ends] == len(second.execute(*claim_call(two, 6)).fetchall())


def test_b35_a_claim_of_given_chunks_waits_and_keeps_the_limit(queue: Queue) -> None:
    """Whoever names chunks waits for the lane, and then gets no more than is left of the limit."""
    job = queue.job(queue.mailbox(limit=3), 6)
    ids = queue.column("SELECT chunk_id FROM chunk_processing_queue WHERE sync_job_id = %s", job.id)
    one, two = queue.open_worker("one"), queue.open_worker("two")
    assert (2, 1) == queue.race(given_call(one, ids[:2]), given_call(two, ids))


def test_b38_a_cancel_waits_for_a_claim_and_takes_its_chunks(queue: Queue) -> None:
    """What was claimed while the job was being cancelled is cancelled too, and cannot land."""
    job = queue.job(queue.mailbox(), 3)
    worker = queue.open_worker("worker")
    chunk, cancelled = queue.race(claim_call(worker, 2), cancel_call("sync_job", job.uuid))
    assert (3, ["cancelled"] * 3, "cancelled") == (cancelled, queue.statuses(job), queue.job_status(job))
    assert "CS001" == ask(queue.conn, land_call((chunk, 1)))


def test_b38_a_claim_gets_nothing_of_a_job_that_is_being_cancelled(queue: Queue) -> None:
    """A claim of anything passes by; one of given chunks waits and gets none."""
    job = queue.job(queue.mailbox(), 3)
    ids = queue.column("SELECT chunk_id FROM chunk_processing_queue WHERE sync_job_id = %s", job.id)
    worker = queue.open_worker("worker")
    assert (3, 0) == queue.race(cancel_call("sync_job", job.uuid), given_call(worker, ids))
    assert [] == queue.claim(worker, 3)


def test_a_cancel_locks_lanes_whose_jobs_open_meanwhile(queue: Queue) -> None:
    """While the cancel of a tenant waits for one mailbox, a job is planned and claimed in another: cancelled too."""
    first = queue.mailbox("first")
    second = add_mailbox(queue.conn, first.tenant, "second")
    queue.job(first, 1)
    worker = queue.open_worker("worker")
    holder, canceller, claimer = queue.connect(), queue.connect(), queue.connect()
    holder.execute("BEGIN")
    holder.execute("SELECT lock_lanes(%s)", ([first.id],))
    cancel = queue.start(canceller, cancel_call("tenant", first.tenant.uuid))
    assert queue.waits(canceller)
    job = queue.job(second, 2)
    claimer.execute("BEGIN")
    assert 1 == len(claimer.execute(*claim_call(worker)).fetchall())
    holder.execute("COMMIT")
    assert queue.waits(canceller)
    claimer.execute("COMMIT")
    assert 3 == cancel.result(10)
    assert (["cancelled"] * 2, "cancelled") == (queue.statuses(job), queue.job_status(job))


def test_a_cancel_after_a_landing_keeps_what_landed(queue: Queue) -> None:
    """The completion is counted, the rest is cancelled, and the job is closed once."""
    job = queue.job(queue.mailbox(), 3)
    chunk = queue.claim(queue.open_worker("worker"))[0]
    assert ("processing", 2) == queue.race(land_call(chunk), cancel_call("sync_job", job.uuid))
    assert ["completed", "cancelled", "cancelled"] == queue.statuses(job)
    assert "cancelled" == queue.job_status(job)


def test_b09_a_landing_after_a_cancel_is_refused(queue: Queue) -> None:
    """The landing waits for the cancel and is then told that its lease is gone."""
    job = queue.job(queue.mailbox(), 3)
    chunk = queue.claim(queue.open_worker("worker"))[0]
    assert (3, "CS001") == queue.race(cancel_call("sync_job", job.uuid), land_call(chunk))
    assert ["cancelled"] * 3 == queue.statuses(job)


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
    return answer, future.result(10)


def test_b10_a_recovery_lets_a_landing_end_first(queue: Queue) -> None:
    """A lease runs out in the middle of the landing's commit: the chunk has landed, and nothing is taken."""
    job = queue.job(queue.mailbox(), 1)
    chunk = queue.claim(queue.open_worker("worker"))[0]
    assert ("completed", 0) == held(queue, land_call(chunk), later(queue), RECOVER)
    assert ["completed"] == queue.statuses(job)


def test_b09_a_landing_after_a_recovery_is_refused(queue: Queue) -> None:
    """The other way round the landing waits for the recovery, is refused, and takes all it wrote with it."""
    job = queue.job(queue.mailbox(), 1)
    chunk = queue.claim(queue.open_worker("worker"))[0]
    sweeper, lander = later(queue), queue.connect()
    with sweeper.transaction():
        assert 1 == ask(sweeper, RECOVER)
        landing = queue.start(lander, land_call(chunk))
        assert queue.waits(lander)
    assert ("CS001", ["pending"]) == (landing.result(10), queue.statuses(job))
    assert ["recovery"] == queue.column("SELECT status::text FROM chunked_sync_health_monitoring")


def test_a_landing_that_is_under_way_does_not_hold_a_recovery_up(queue: Queue) -> None:
    """What a landing has written so far is no reason to wait; it is refused at its end and leaves nothing."""
    job = queue.job(queue.mailbox(), 1)
    chunk = queue.claim(queue.open_worker("worker"))[0]
    lander = queue.connect()
    with pytest.raises(psycopg.DatabaseError, match="not held any more"), lander.transaction():  # noqa: PT012 - one landing
        lander.execute("UPDATE sync_chunks SET uids = '9' WHERE id = %s", (chunk[0],))
        assert 1 == ask(later(queue), RECOVER)
        lander.execute(*land_call(chunk))
    assert ["1:10"] == queue.column("SELECT uids FROM sync_chunks WHERE sync_job_id = %s", job.id)


def reset_call(chunk: tuple[int, int]) -> Call:
    """An emergency reset; answers the status that the chunk had."""
    return "SELECT force_reset_chunk(%s, 'a test') ->> 'previous_status'", (chunk[0],)


def test_a_reset_after_a_landing_opens_the_job_again(queue: Queue) -> None:
    """The landing closed the job; the reset takes its counts back and opens it."""
    job = queue.job(queue.mailbox(), 1)
    chunk = queue.claim(queue.open_worker("worker"))[0]
    assert ("completed", "completed") == queue.race(land_call(chunk), reset_call(chunk))
    assert (["pending"], "processing") == (queue.statuses(job), queue.job_status(job))


def test_b09_a_landing_after_a_reset_is_refused(queue: Queue) -> None:
    """The lease that was reset is dead, before and after somebody else claims the chunk."""
    job = queue.job(queue.mailbox(), 1)
    worker = queue.open_worker("worker")
    chunk = queue.claim(worker)[0]
    assert ("processing", "CS001") == queue.race(reset_call(chunk), land_call(chunk))
    assert [(chunk[0], 2)] == queue.claim(worker)
    assert "CS001" == ask(queue.conn, land_call(chunk))
    assert ["processing"] == queue.statuses(job)


@pytest.mark.parametrize("scope", ["sync_job", "mailbox", "tenant"])
def test_a_pause_after_a_failure_keeps_the_attempt(queue: Queue, scope: str) -> None:
    """The failure used its attempt, the other running chunk is given back unused, and nothing is claimed."""
    box = queue.mailbox()
    job = queue.job(box, 2)
    worker = queue.open_worker("worker")
    one, _ = queue.claim(worker, 2)
    uuid = {"sync_job": job.uuid, "mailbox": box.uuid, "tenant": box.tenant.uuid}[scope]
    assert ([True], 1) == queue.race(fail_call([one]), pause_call(scope, uuid))
    assert [1, 0] == queue.column("SELECT attempts FROM chunk_processing_queue ORDER BY chunk_id")
    assert 0 == ask(later(queue), ("SELECT count(*) FROM claim_chunks(%s, 9)", (queue.planner,)))


def test_a_failure_after_a_pause_is_stale(queue: Queue) -> None:
    """The chunk was given back by the pause; the failure that comes late uses no attempt."""
    job = queue.job(queue.mailbox(), 1)
    chunk = queue.claim(queue.open_worker("worker"))[0]
    assert (1, [False]) == queue.race(pause_call("sync_job", job.uuid), fail_call([chunk]))
    assert [0] == queue.column("SELECT attempts FROM chunk_processing_queue")


def test_b32_a_plan_under_an_open_claim_is_found_whole(queue: Queue) -> None:
    """A planner waits for a claim of the same mailbox; the lane then knows its more urgent chunks."""
    box = queue.mailbox()
    queue.job(box, 2, priority=10)
    worker = queue.open_worker("worker")
    claimer, planner = queue.connect(), queue.connect()
    with claimer.transaction():
        assert 1 == len(claimer.execute(*claim_call(worker)).fetchall())
        plan = queue._pool.submit(plan_job, planner, queue.planner, box, query("plan_enqueue"), chunks=2, priority=30)
        assert queue.waits(planner)
    job = plan.result(10)
    urgent = queue.column("SELECT chunk_id FROM chunk_processing_queue WHERE sync_job_id = %s", job.id)
    assert urgent == [chunk for chunk, _ in claimer.execute(*claim_call(worker, 2)).fetchall()]


def test_b32_a_claim_sees_all_of_a_plan_or_nothing(queue: Queue) -> None:
    """While the plan's transaction is open nothing of it can be claimed, by name or not; afterwards everything."""
    box = queue.mailbox()
    worker = queue.open_worker("worker")
    planner = queue.connect()
    with planner.transaction():
        plan_job(planner, queue.planner, box, query("plan_enqueue"), chunks=3)
        ids = [row[0] for row in planner.execute("SELECT chunk_id FROM chunk_processing_queue").fetchall()]
        assert [] == queue.claim(worker, 3)
        assert 0 == ask(queue.conn, given_call(worker, ids))
    assert sorted(ids) == sorted(chunk for chunk, _ in queue.claim(worker, 3))


def test_b37_a_claimer_learns_of_a_more_urgent_lane_within_a_second(queue: Queue) -> None:
    """A connection that has just claimed elsewhere takes the urgent chunk next, even when it was planned meanwhile."""
    queue.job(queue.mailbox("patient"), 4, priority=10)
    box = queue.mailbox("urgent")
    worker = queue.open_worker("worker")
    claimer, planner = queue.connect(), queue.connect()
    claimer.execute(*claim_call(worker))
    with planner.transaction():
        job = plan_job(planner, queue.planner, box, query("plan_enqueue"), chunks=1, priority=30)
        claimer.execute(*claim_call(worker))
    claimer.execute("SELECT set_config('chunk_sync.now', %s, false)", ((NOON + timedelta(seconds=1.1)).isoformat(),))
    claimer.execute(*claim_call(worker))
    assert ["processing"] == queue.statuses(job)


def test_b11_a_worker_that_leaves_gives_back_what_it_is_claiming(queue: Queue) -> None:
    """The goodbye waits for the claim and finds its chunks: none stays behind with a worker that is gone."""
    job = queue.job(queue.mailbox(), 3)
    worker = queue.open_worker("worker")
    queue.claim(worker)
    _, released = queue.race(claim_call(worker, 2), ("SELECT close_worker(%s)", (worker,)))
    assert (3, ["pending"] * 3) == (released, queue.statuses(job))


def test_a_worker_that_has_left_claims_nothing(queue: Queue) -> None:
    """A claim that arrives during the goodbye is refused once that is said, and leaves nothing behind."""
    held, other = queue.job(queue.mailbox("held"), 1), queue.mailbox("other")
    worker = queue.open_worker("worker")
    queue.claim(worker)
    job = queue.job(other, 2)
    assert (1, "CS002") == queue.race(("SELECT close_worker(%s)", (worker,)), claim_call(worker, 2))
    assert ["pending"] * 3 == queue.statuses(held) + queue.statuses(job)


def test_b08_of_two_recoveries_one_works_and_neither_waits(queue: Queue) -> None:
    """The second sweep finds the first at work and leaves; each lost lease is one attempt and one audit row."""
    queue.job(queue.mailbox(), 3)
    queue.claim(queue.open_worker("worker"), 3)
    first, second = later(queue), later(queue)
    with first.transaction():
        assert 3 == ask(first, RECOVER)
        assert 0 == queue.start(second, RECOVER).result(5)
    assert 0 == ask(second, RECOVER)
    assert 3 == queue.one("SELECT count(*) FROM chunked_sync_health_monitoring WHERE status = 'recovery'")
    assert 3 == queue.one("SELECT count(*) FROM audit_log WHERE action = 'stuck_chunk_reset'")


def test_a_sweep_leaves_a_worker_that_is_just_claiming(queue: Queue) -> None:
    """Its lease ran out during the claim: the sweep does not end it while it holds chunks; the next one takes them."""
    job = queue.job(queue.mailbox(), 1)
    worker = queue.open_worker("worker")
    sweeper = later(queue)
    _, recovered = held(queue, claim_call(worker), sweeper, RECOVER)
    assert (0, ["processing"]) == (recovered, queue.statuses(job))
    assert (1, ["pending"]) == (ask(sweeper, RECOVER), queue.statuses(job))


def test_b06_a_sibling_opened_again_opens_the_job_that_was_just_closed(queue: Queue) -> None:
    """The last chunk closes the job, the other one is re-opened: the job is open until that has ended too."""
    queue.job(queue.mailbox(), 2)
    worker = queue.open_worker("worker")
    one, two = queue.claim(worker, 2)
    ask(queue.conn, land_call(one))
    reopen: Call = ("SELECT reopen_chunk(%s, 'a test')::text", (one[0],))
    assert ("completed", "completed") == queue.race(land_call(two), reopen)
    assert ("processing", None) == queue.conn.execute("SELECT status::text, completed_at FROM sync_jobs").fetchone()
    again = queue.claim(worker)[0]
    assert (one[0], 2) == again
    assert "completed" == ask(queue.conn, land_call(again))


def test_b06_the_last_chunk_does_not_close_a_job_whose_sibling_was_just_opened_again(queue: Queue) -> None:
    """The other way round: the completion waits, and the job stays open."""
    job = queue.job(queue.mailbox(), 2)
    one, two = queue.claim(queue.open_worker("worker"), 2)
    ask(queue.conn, land_call(one))
    reopen: Call = ("SELECT reopen_chunk(%s, 'a test')::text", (one[0],))
    assert ("completed", "processing") == queue.race(reopen, land_call(two))
    assert ["pending", "completed"] == queue.statuses(job)


# Lock order: lanes, chunks, jobs, providers, and workers last, in the order of their ids


def two_workers(queue: Queue) -> tuple[int, int, list[tuple[int, int]], str]:
    """Two mailboxes of a tenant, the first one's chunk with the later worker: both workers, both chunks, the tenant."""
    one = queue.mailbox("one")
    two = add_mailbox(queue.conn, one.tenant, "two")
    early, late = queue.open_worker("early"), queue.open_worker("late")
    chunks = []
    for box, worker in ((one, late), (two, early)):
        queue.job(box, 1)
        chunks += queue.claim(worker)
    return early, late, chunks, one.tenant.uuid


BATCHES: dict[str, Callable[[list[tuple[int, int]], str], Call]] = {
    "complete": lambda chunks, _: complete_call(chunks),
    "fail": lambda chunks, _: fail_call(chunks),
    "release": lambda chunks, _: ("SELECT release_chunks(%s, %s)", ([c[0] for c in chunks], [c[1] for c in chunks])),
    "cancel": lambda _, tenant: cancel_call("tenant", tenant),
    "pause": lambda _, tenant: pause_call("tenant", tenant),
    "reset": lambda *_: ("SELECT reset_count FROM reset_stuck_chunks(1)", ()),
}


@pytest.mark.parametrize("name", list(BATCHES))
def test_no_deadlock_whatever_takes_chunks_from_two_workers(queue: Queue, name: str) -> None:
    """Who takes chunks from workers does not wait for them; a heartbeat or a claim may hold their rows."""
    early, late, chunks, tenant = two_workers(queue)
    holder, taker = queue.connect(), later(queue)
    with holder.transaction():
        holder.execute("SELECT FROM workers WHERE id IN (%s, %s) FOR UPDATE", (early, late))
        queue.start(taker, BATCHES[name](chunks, tenant)).result(10)


def test_no_deadlock_between_a_sweep_and_workers(queue: Queue) -> None:
    """The sweep ends workers last and in one order: while it waits for the earlier one the later one is free."""
    early, late, _, _ = two_workers(queue)
    holder, sweeper, probe = queue.connect(), later(queue), queue.connect()
    with holder.transaction():
        holder.execute("SELECT FROM workers WHERE id = %s FOR UPDATE", (early,))
        future = queue.start(sweeper, RECOVER)
        assert queue.waits(sweeper)
        probe.execute("SELECT FROM workers WHERE id = %s FOR UPDATE NOWAIT", (late,))
    future.result(10)


def test_no_deadlock_between_a_landing_and_a_claim_at_a_provider_that_recovers(queue: Queue) -> None:
    """A landing does not wait for a provider's row, which a claim holds while it waits for the worker."""
    queue.job(queue.mailbox(), 2)
    worker = queue.open_worker("worker")
    chunk = queue.claim(worker)[0]
    queue.conn.execute("UPDATE provider_lanes SET breaker = 'half_open'")
    assert ("one.example", "processing") == queue.race(
        ("SELECT substring(provider FROM 6) FROM provider_lanes FOR NO KEY UPDATE", ()), land_call(chunk), waits=False
    )
    assert "half_open" == queue.one("SELECT breaker::text FROM provider_lanes")
    assert "completed" == ask(queue.conn, land_call(queue.claim(worker)[0]))
    assert "closed" == queue.one("SELECT breaker::text FROM provider_lanes")


def test_no_deadlock_between_a_landing_and_the_planner_of_the_next_job(queue: Queue) -> None:
    """A landing that closes a job does not wait for folders that a planner holds; their cursors move all the same."""
    box = queue.mailbox()
    job = queue.job(box, 1)
    cursor = (
        "INSERT INTO sync_job_folders (sync_job_id, folder_id, tenant_id, uidvalidity, synced_uid, message_count,"
        " planned_messages, planned_bytes) SELECT %s, id, tenant_id, 1, 77, 1, 1, 1 FROM folders"
    )
    queue.conn.execute(cursor, (job.id,))
    chunk = queue.claim(queue.open_worker("worker"))[0]
    planner = queue.connect()
    with planner.transaction():
        planner.execute("UPDATE folders SET message_count = 20")
        assert "completed" == queue.start(queue.connect(), land_call(chunk)).result(5)
        plan_job(planner, queue.planner, box, query("plan_enqueue"), chunks=0)
    assert 77 == queue.one("SELECT synced_uid FROM folders")


# At the same moment


def test_b05_two_last_chunks_together_a_thousand_times(queue: Queue) -> None:
    """A thousand jobs, their two chunks completed at one barrier: one of the two closes the job, every time."""
    rounds, boxes = 1000, 20
    jobs = [queue.job(box, 2) for i in range(boxes) for box in [queue.mailbox(f"b{i}", limit=100)] for _ in range(50)]
    pairs: list[list[tuple[int, int]]] = []
    for number in range(boxes):
        chunks = sorted(queue.claim(queue.open_worker(f"w{number}", "1 day"), 2 * rounds // boxes))
        pairs += [chunks[i : i + 2] for i in range(0, len(chunks), 2)]
    barrier = Barrier(2)

    def finish(side: int) -> list[str]:
        conn = queue.connect()
        answers = []
        for pair in pairs:
            barrier.wait(10)
            answers.append(ask(conn, land_call(pair[side])))
        return answers

    answers = queue.together([lambda: finish(0), lambda: finish(1)])
    assert [["completed", "processing"]] * rounds == [sorted(pair) for pair in zip(*answers, strict=True)]
    assert [("completed", 2)] * len(jobs) == queue.conn.execute(
        "SELECT status::text, completed_chunks FROM sync_jobs ORDER BY id"
    ).fetchall()


def test_no_deadlock_between_batches_in_opposite_order(queue: Queue) -> None:
    """Two hundred batches over the same lanes and workers, forwards and backwards, completing and failing at once."""
    workers = [queue.open_worker(f"w{i}", "1 day") for i in range(4)]
    boxes = [queue.mailbox(f"b{i}", limit=100) for i in range(4)]
    for box in boxes:
        queue.job(box, 100)
    chunks = sorted(chunk for _ in range(25) for worker in workers for chunk in queue.claim(worker, 4))
    batches = [chunks[i::50] for i in range(50)]

    def work(side: int) -> None:
        conn = queue.connect()
        for batch in batches:
            ordered = batch[side % 2 :: 2][:: 1 if side % 2 else -1]
            ask(conn, complete_call(ordered) if side < 2 else fail_call(ordered, "permission"))

    queue.together([lambda side=side: work(side) for side in range(4)])
    assert {"completed", "failed"} == set(queue.column("SELECT status::text FROM chunk_processing_queue"))
    assert 400 == queue.one("SELECT count(*) FROM chunked_sync_health_monitoring")


@pytest.mark.parametrize("limited", ["tenant", "provider"])
def test_b35_a_limit_over_mailboxes_holds_against_eight_claimers(queue: Queue, limited: str) -> None:
    """Claims over six mailboxes never add up to more than the tenant's or the provider's limit, and all is done."""
    tenant = add_tenant(queue.conn, "one", limit=5 if limited == "tenant" else None)
    for number in range(6):
        queue.job(add_mailbox(queue.conn, tenant, f"b{number}"), 20)
    if limited == "provider":
        queue.conn.execute("UPDATE provider_lanes SET chunk_limit = 5")
    most: list[int] = []

    def work(number: int) -> int:
        conn, worker, done = queue.connect(), queue.open_worker(f"w{number}", "1 day"), 0
        while ask(conn, ("SELECT count(*) FROM chunk_processing_queue WHERE status <> 'completed'", ())):
            chunks = conn.execute(*claim_call(worker, 1 + number % 3)).fetchall()
            running = "SELECT count(*) FROM chunk_processing_queue WHERE status = 'processing'"
            most.append(ask(conn, (running, ())))
            ask(conn, complete_call(chunks))
            done += len(chunks)
        return done

    assert 120 == sum(queue.together([lambda number=number: work(number) for number in range(8)]))
    assert 5 == max(most)


def test_heartbeats_claims_and_completions_of_one_worker_wait_for_one_another(queue: Queue) -> None:
    """Three threads of a worker need its row at once; at the end nothing is held and it is still alive."""
    for number in range(4):
        queue.job(queue.mailbox(f"b{number}"), 60)
    worker = queue.open_worker("worker")

    def work() -> int:
        conn, done = queue.connect(), 0
        while chunks := conn.execute(*claim_call(worker, 2)).fetchall():
            done += len(chunks)
            assert ["done"] * len(chunks) == ask(conn, complete_call(chunks))
        return done

    def beat() -> int:
        conn = queue.connect()
        return sum(0 if ask(conn, ("SELECT heartbeat(%s)", (worker,))) else 1 for _ in range(300))

    one, two, refused = queue.together([work, work, beat])
    assert (240, 0) == (one + two, refused)
    assert [0] == queue.column("SELECT count(*) FROM held_by(ARRAY[%s::bigint])", worker)
