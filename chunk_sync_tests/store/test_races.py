"""Races, each made certain: one connection holds its transaction while another arrives."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest

from chunk_sync.store.database import query
from chunk_sync_tests.store.queue_model import NOON, add_mailbox, plan_job
from chunk_sync_tests.store.races import (
    PATIENCE_SECONDS,
    RECOVER,
    Call,
    Queue,
    ask,
    cancel_call,
    claim_call,
    fail_call,
    given_call,
    held,
    land_call,
    later,
    pause_call,
)


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
    assert 3 == cancel.result(PATIENCE_SECONDS)
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
    assert ("CS001", ["pending"]) == (landing.result(PATIENCE_SECONDS), queue.statuses(job))
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
    job = plan.result(PATIENCE_SECONDS)
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
        assert 0 == queue.start(second, RECOVER).result(PATIENCE_SECONDS)
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
