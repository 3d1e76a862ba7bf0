"""The queue: claims, leases, fencing, retries, recovery, and the closing of the parent."""

from __future__ import annotations

import threading

import pytest

from chunk_sync.errors import ErrorCategory, LeaseLost
from chunk_sync.store import queue
from chunk_sync.store.database import Database
from chunk_sync_tests.factory import (
    claim,
    complete,
    job_row,
    make_job,
    make_mailbox,
    move_clock,
    open_worker,
    set_clock,
    statuses,
)

NOON = "2026-11-22 12:00:00+00"


def fail(database: Database, chunk, category: str, **more) -> queue.FailureAnswer:
    """Report a failed attempt."""
    settings = {"code": None, "retry_after": None, "account_scope": False, "duration_ms": 5} | more
    return queue.fail_chunk(database, chunk, category=ErrorCategory(category), message="it broke", **settings)


def test_claims_newest_first_and_counts_the_attempt(database: Database) -> None:
    """A claim takes the lowest index of equal priority, and its first attempt is number 1."""
    job = make_job(database, make_mailbox(database), chunks=3)
    chunks = claim(database, job, open_worker(database), limit=2)
    assert [(0, 1, 1), (1, 1, 1)] == [(c.chunk_index, c.attempt, c.lease_token) for c in chunks]


def test_b37_higher_priority_is_claimed_first(database: Database) -> None:
    """Among all that is due, priority 30 comes before priority 5, whichever was planned first."""
    box = make_mailbox(database)
    make_job(database, box, chunks=1, priority=5)
    urgent = make_job(database, box, chunks=1, priority=30)
    rows = database.execute("SELECT * FROM claim_chunks(%s, 1)", (open_worker(database),))
    assert urgent.chunk_ids == [row["chunk_id"] for row in rows]


def test_b36_two_workers_never_get_the_same_chunk(database: Database) -> None:
    """Eight threads that claim at once get disjoint chunks, all of them together."""
    job = make_job(database, make_mailbox(database, limit=100), chunks=40)
    taken: list[int] = []
    barrier = threading.Barrier(8)

    def work(number: int) -> None:
        worker = open_worker(database, f"w{number}")
        barrier.wait()
        while chunks := claim(database, job, worker, limit=2):
            taken.extend(chunk.chunk_id for chunk in chunks)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(job.chunk_ids) == sorted(taken)


def test_b35_a_mailbox_limit_holds_against_eight_claimers(database: Database) -> None:
    """Whoever claims at once, a mailbox never has more chunks processing than its connections."""
    job = make_job(database, make_mailbox(database, limit=3), chunks=20)
    got: list[int] = []
    barrier = threading.Barrier(8)

    def work(number: int) -> None:
        worker = open_worker(database, f"w{number}")
        barrier.wait()
        got.append(len(claim(database, job, worker, limit=5)))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 3 == sum(got)


def test_b04_the_last_chunk_closes_the_parent(database: Database) -> None:
    """The job is processing until its last chunk is done, and completed with it, with its sums."""
    job = make_job(database, make_mailbox(database), chunks=2)
    worker = open_worker(database)
    assert ["processing", "completed"] == [complete(database, c) for c in claim(database, job, worker, limit=2)]
    row = job_row(database, job.id)
    assert (2, 0, 20, 2000) == tuple(
        row[k] for k in ("completed_chunks", "failed_chunks", "emails_processed", "bytes_processed")
    )


def test_b05_workers_that_finish_together_close_the_parent_once(database: Database) -> None:
    """Four chunks completed at the same moment, a hundred times: the job is completed, its counters are right."""
    box = make_mailbox(database)
    worker = open_worker(database, lease=3600)
    for _ in range(100):
        job = make_job(database, box, chunks=4)
        chunks = claim(database, job, worker, limit=4)
        barrier = threading.Barrier(4)
        answers: list[str] = []

        def finish(chunk, barrier: threading.Barrier = barrier, answers: list[str] = answers) -> None:
            barrier.wait()
            answers.append(complete(database, chunk))

        threads = [threading.Thread(target=finish, args=(c,)) for c in chunks]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert 1 == answers.count("completed")
        row = job_row(database, job.id)
        assert ("completed", 4, 40) == (row["status"], row["completed_chunks"], row["emails_processed"])


def test_b09_a_zombie_completion_is_refused_and_changes_nothing(database: Database) -> None:
    """After its lease ran out and another worker has the chunk, the old worker can neither complete nor fail it."""
    set_clock(database, NOON)
    job = make_job(database, make_mailbox(database), chunks=1)
    old = claim(database, job, open_worker(database, "old"))[0]
    move_clock(database, "61 s")
    assert ["pending"] == [c.status for c in queue.recover(database)]
    new = claim(database, job, open_worker(database, "new"))[0]
    with pytest.raises(LeaseLost):
        complete(database, old)
    with pytest.raises(LeaseLost):
        fail(database, old, "network")
    assert old.lease_token + 1 == new.lease_token
    assert "completed" == complete(database, new)


def test_b09_a_completion_whose_answer_was_lost_is_idempotent(database: Database) -> None:
    """The same completion twice is accepted, and counted once."""
    job = make_job(database, make_mailbox(database), chunks=2)
    chunk = claim(database, job, open_worker(database))[0]
    assert ["processing", "processing"] == [complete(database, chunk), complete(database, chunk)]
    attempts = database.execute("SELECT count(*) AS n FROM chunked_sync_health_monitoring")[0]["n"]
    assert (1, 1) == (attempts, job_row(database, job.id)["completed_chunks"])


def test_b10_heartbeats_keep_a_slow_worker_alive(database: Database) -> None:
    """A worker that renews its lease is never robbed, however long it takes."""
    set_clock(database, NOON)
    job = make_job(database, make_mailbox(database), chunks=1)
    worker = open_worker(database)
    claim(database, job, worker)
    for _ in range(20):
        move_clock(database, "50 s")
        assert queue.heartbeat(database, worker, 60)
        assert [] == queue.recover(database)
    assert ["processing"] == statuses(database, job)


def test_b10_a_lease_that_ran_out_cannot_be_renewed(database: Database) -> None:
    """A heartbeat that comes too late is refused: somebody else may have the chunks."""
    set_clock(database, NOON)
    worker = open_worker(database)
    move_clock(database, "61 s")
    assert not queue.heartbeat(database, worker, 60)


def test_b11_recovery_needs_nothing_but_time(database: Database) -> None:
    """All workers die in the middle: after the lease the sweep alone makes their chunks claimable again."""
    set_clock(database, NOON)
    job = make_job(database, make_mailbox(database), chunks=3)
    claim(database, job, open_worker(database), limit=3)
    move_clock(database, "61 s")
    assert [{"n": 3}] == database.execute("SELECT cleanup_stuck_chunks() AS n")
    assert [2, 2, 2] == [c.attempt for c in claim(database, job, open_worker(database, "new"), limit=3)]


def test_b08_a_lease_lost_on_the_last_attempt_is_a_dead_letter(database: Database) -> None:
    """Three leases lost: the chunk fails with category timeout, its job ends, and nothing stays pending."""
    set_clock(database, NOON)
    job = make_job(database, make_mailbox(database), chunks=1)
    for _ in range(3):
        claim(database, job, open_worker(database))
        move_clock(database, "61 s")
        recovered = queue.recover(database)
    assert [("failed", 3)] == [(c.status, c.attempts) for c in recovered]
    row = job_row(database, job.id)
    assert ("failed", "timeout", 1) == (row["status"], row["error_category"], row["failed_chunks"])


def test_recovery_believes_dagster_about_dead_runs(database: Database) -> None:
    """Chunks of a run that Dagster knows is over come back before the lease runs out."""
    job = make_job(database, make_mailbox(database), chunks=1)
    worker = queue.open_worker(database, "w", 60, "run-1")
    claim(database, job, worker)
    assert [] == queue.recover(database, ["run-2"])
    assert ["run-1"] == [c.run_id for c in queue.recover(database, ["run-1"])]
    assert ["pending"] == statuses(database, job)


@pytest.mark.parametrize(
    ("category", "delays"),
    [
        ("rate_limit", [5000, 15000, None]),
        ("network", [2000, 4000, None]),
        ("temporary", [2000, 4000, None]),
        ("timeout", [3000, 6000, None]),
        ("auth", [2000, None]),
        ("processing_error", [1000, 2000, None]),
        ("unknown", [1000, 2000, None]),
        ("permission", [None]),
        ("not_found", [None]),
        ("data_conflict", [None]),
    ],
)
def test_b02_failures_wait_as_the_policy_says(database: Database, category: str, delays: list[int | None]) -> None:
    """Each attempt's delay is the table's (plus at most 10 % jitter), and the chunk is not claimed before it is due."""
    set_clock(database, NOON)
    job = make_job(database, make_mailbox(database), chunks=1)
    worker = open_worker(database)
    for attempt, delay in enumerate(delays, start=1):
        chunk = claim(database, job, worker)[0]
        assert attempt == chunk.attempt
        answer = fail(database, chunk, category)
        if delay is None:
            assert answer.next_attempt_at is None
            assert ["failed"] == statuses(database, job)
            continue
        assert answer.seconds_to_next is not None
        assert delay <= answer.seconds_to_next * 1000 <= delay * 1.1 + 1
        assert [] == claim(database, job, worker)
        move_clock(database, f"{delay * 1.1 + 1} ms")
        queue.heartbeat(database, worker, 600)


def test_retry_after_is_a_floor(database: Database) -> None:
    """The provider's hint wins over a shorter delay of the table, and never shortens it."""
    set_clock(database, NOON)
    job = make_job(database, make_mailbox(database), chunks=2)
    first, second = claim(database, job, open_worker(database), limit=2)
    long = fail(database, first, "rate_limit", retry_after=120)
    short = fail(database, second, "rate_limit", retry_after=1)
    assert long.seconds_to_next is not None
    assert short.seconds_to_next is not None
    assert 120 <= long.seconds_to_next < 133
    assert 5 <= short.seconds_to_next < 5.6


def test_an_account_that_is_throttled_pauses_its_mailbox(database: Database) -> None:
    """A failure of the whole account stops claims on that mailbox, and on no other."""
    job = make_job(database, make_mailbox(database, "one"), chunks=2)
    other = make_job(database, make_mailbox(database, "two"), chunks=1)
    worker = open_worker(database)
    fail(database, claim(database, job, worker)[0], "rate_limit", account_scope=True)
    assert [] == claim(database, job, worker, limit=2)
    assert 1 == len(claim(database, other, worker))


def test_an_account_that_is_refused_ends_the_job_at_once(database: Database) -> None:
    """A login refused for good does not burn the attempts of a thousand chunks one by one."""
    job = make_job(database, make_mailbox(database), chunks=5)
    worker = open_worker(database)
    fail(database, claim(database, job, worker)[0], "permission", account_scope=True)
    assert ["failed"] * 5 == statuses(database, job)
    attempts = database.execute("SELECT sum(attempts) AS n FROM chunk_processing_queue")[0]["n"]
    assert ("failed", 1) == (job_row(database, job.id)["status"], attempts)


def test_b38_a_chunk_opened_again_opens_its_job_and_is_audited(database: Database) -> None:
    """Re-opening a completed chunk puts the counters back, leaves a row in the audit log, and closes again."""
    job = make_job(database, make_mailbox(database), chunks=1)
    worker = open_worker(database)
    complete(database, claim(database, job, worker)[0])
    assert "completed" == queue.reopen_chunk(database, job.chunk_ids[0], reason="look", actor="me", run_id="r")
    row = job_row(database, job.id)
    assert ("processing", 0, 0) == (row["status"], row["completed_chunks"], row["emails_processed"])
    audit = database.execute("SELECT actor, action, reason, run_id FROM audit_log")
    assert [{"actor": "me", "action": "chunk_reopened", "reason": "look", "run_id": "r"}] == audit
    again = claim(database, job, worker)[0]
    assert (1, 2) == (again.attempt, again.lease_token)
    assert "completed" == complete(database, again)


def test_b22_a_job_without_chunks_completes(database: Database) -> None:
    """An empty mailbox is a completed sync of 0."""
    job = make_job(database, make_mailbox(database), chunks=0)
    row = job_row(database, job.id)
    assert ("completed", 0) == (row["status"], row["total_chunks"])


def test_closing_a_worker_gives_its_chunks_back_unused(database: Database) -> None:
    """A shutdown is a snooze: the chunks are pending and the attempt is not used up."""
    job = make_job(database, make_mailbox(database), chunks=2)
    worker = open_worker(database)
    claim(database, job, worker, limit=2)
    assert 2 == queue.close_worker(database, worker)
    assert [1, 1] == [c.attempt for c in claim(database, job, open_worker(database, "next"), limit=2)]


def test_a_worker_without_a_lease_cannot_claim(database: Database) -> None:
    """A worker that was ended, or never renewed, is refused by name."""
    job = make_job(database, make_mailbox(database), chunks=1)
    worker = open_worker(database)
    queue.close_worker(database, worker)
    with pytest.raises(LeaseLost):
        claim(database, job, worker)


def test_b17_one_attempt_row_per_execution(database: Database) -> None:
    """A failure and a success are two rows; the ratio is emails a second."""
    job = make_job(database, make_mailbox(database), chunks=2)
    one, two = claim(database, job, open_worker(database), limit=2)
    fail(database, one, "network")
    complete(database, two, emails=10)
    rows = database.execute(
        "SELECT status::text, error_category::text AS category, emails_processed AS emails,"
        " efficiency_ratio::float AS ratio, worker_id FROM chunked_sync_health_monitoring ORDER BY status"
    )
    assert [
        {"status": "error", "category": "network", "emails": 0, "ratio": 0.0, "worker_id": "worker"},
        {"status": "success", "category": None, "emails": 10, "ratio": 100.0, "worker_id": "worker"},
    ] == rows


def test_status_view_and_progress_function(database: Database) -> None:
    """The view has a row per job with counts and a percentage; the function gives it as JSON."""
    job = make_job(database, make_mailbox(database), chunks=4)
    worker = open_worker(database)
    one, two, _ = claim(database, job, worker, limit=3)
    complete(database, one)
    fail(database, two, "permission")
    row = database.execute("SELECT * FROM chunk_processing_status")[0]
    counts = ("pending", "processing", "completed", "failed", "cancelled", "total")
    assert [1, 1, 1, 1, 0, 4] == [row[f"{name}_chunks"] for name in counts]
    assert ("processing", 25.0) == (row["overall_status"], float(row["progress_percentage"]))
    progress = database.execute("SELECT get_sync_job_progress_safe(%s) AS p", (row["parent_sync_job_id"],))[0]["p"]
    assert 1 == progress["completed_chunks"]
    unknown = database.execute("SELECT get_sync_job_progress_safe(new_uuid()) AS p")[0]["p"]
    assert {"error": "Sync job not found"} == unknown
