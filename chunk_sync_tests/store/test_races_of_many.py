"""Races of many: no deadlock in whatever order they come, no limit exceeded, one last chunk."""

from __future__ import annotations

from collections.abc import Callable
from threading import Barrier

import pytest

from chunk_sync.store.database import query
from chunk_sync_tests.store.queue_model import add_mailbox, add_tenant, plan_job
from chunk_sync_tests.store.races import (
    PATIENCE_SECONDS,
    RECOVER,
    Call,
    Queue,
    ask,
    cancel_call,
    claim_call,
    complete_call,
    fail_call,
    land_call,
    later,
    pause_call,
)

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
        queue.start(taker, BATCHES[name](chunks, tenant)).result(PATIENCE_SECONDS)


def test_no_deadlock_between_a_sweep_and_workers(queue: Queue) -> None:
    """The sweep ends workers last and in one order: while it waits for the earlier one the later one is free."""
    early, late, _, _ = two_workers(queue)
    holder, sweeper, probe = queue.connect(), later(queue), queue.connect()
    with holder.transaction():
        holder.execute("SELECT FROM workers WHERE id = %s FOR UPDATE", (early,))
        future = queue.start(sweeper, RECOVER)
        assert queue.waits(sweeper)
        probe.execute("SELECT FROM workers WHERE id = %s FOR UPDATE NOWAIT", (late,))
    future.result(PATIENCE_SECONDS)


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
        assert "completed" == queue.start(queue.connect(), land_call(chunk)).result(PATIENCE_SECONDS)
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
            barrier.wait(PATIENCE_SECONDS)
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
        for batch in batches if side < 2 else batches[::-1]:  # from both ends: each kind is first at some
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
