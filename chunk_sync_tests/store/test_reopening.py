"""What a person decides about a sync job: run chunks again, take stuck ones back, change the priority, archive it.

Each leaves a row that says who it was and why, and the lanes keep count.
"""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from chunk_sync.errors import ErrorCategory, LeaseLost, UsageError
from chunk_sync.store import control, plans, queue
from chunk_sync.store.control import Decision
from chunk_sync.store.database import Database, Row
from chunk_sync.store.mailboxes import request_sync
from chunk_sync_tests.factory import (
    PlannedJob,
    claim,
    complete,
    fail_for_good,
    job_row,
    make_job,
    make_mailbox,
    move_clock,
    open_worker,
    set_clock,
    statuses,
)

WHY = Decision(reason="asked to", actor="dagster run r-7 (ann)", run_id="r-7")
NOON = "2026-01-01 12:00:00+00"


@pytest.fixture(autouse=True)
def _lanes_keep_count(database: Database) -> Iterator[None]:
    yield
    assert [] == database.execute("SELECT * FROM lane_drift()")


def audit(database: Database, action: str) -> Row:
    """Read the one row of this action, which names who and why."""
    (row,) = database.execute("SELECT * FROM audit_log WHERE action = %s", (action,))
    assert ("dagster run r-7 (ann)", "asked to", "r-7") == (row["actor"], row["reason"], row["run_id"])
    return row


def make_fail(database: Database, job: PlannedJob, index: int, worker: int) -> None:
    """Have a chunk fail for good."""
    (chunk,) = queue.claim_chunks(database, worker, [job.chunk_ids[index]], 1)
    fail_for_good(database, chunk)


def finish(database: Database, job: PlannedJob, *, failed: tuple[int, ...] = ()) -> None:
    """End every chunk of a job, these as dead letters."""
    worker = open_worker(database)
    for index in failed:
        make_fail(database, job, index, worker)
    while chunks := claim(database, job, worker):
        complete(database, chunks[0])
    queue.close_worker(database, worker)


def order(database: Database, chunks: int) -> list[tuple[int, int]]:
    """Claim chunks one by one, of anything that is due; (job, index) in the order in which they are served."""
    worker, served = open_worker(database, "server"), []
    for _ in range(chunks):
        for row in database.execute("SELECT chunk_id FROM claim_chunks(%s, 1)", (worker,)):
            served += database.execute(
                "SELECT sync_job_id AS job, chunk_index AS i FROM sync_chunks WHERE id = %s", (row["chunk_id"],)
            )
    queue.close_worker(database, worker)
    return [(row["job"], row["i"]) for row in served]


def test_a_request_says_who_asked(database: Database) -> None:
    """A request is a job and a row in the audit log, both or none."""
    make_mailbox(database)
    asked = control.request(database, "box", WHY, priority=7)
    row = job_row(database, asked.job_id)
    assert ("requested", 7, WHY.actor) == (row["status"], row["priority"], row["requested_by"])
    assert asked.job_id == audit(database, "sync_requested")["sync_job_id"]


def test_retry_runs_the_failed_chunks_and_no_others(database: Database) -> None:
    """Dead letters wait again with all their attempts, the job is open again, what landed stays counted."""
    job = make_job(database, make_mailbox(database), chunks=5)
    finish(database, job, failed=(1, 3))
    assert 2 == control.retry(database, job.id, WHY)
    assert ["completed", "pending", "completed", "pending", "completed"] == statuses(database, job)
    row = job_row(database, job.id)
    assert ("processing", 3, 0, 30) == tuple(
        row[name] for name in ("status", "completed_chunks", "failed_chunks", "emails_processed")
    )
    entry = audit(database, "chunks_reopened")
    assert (job.id, 2) == (entry["sync_job_id"], entry["chunks_affected"])
    assert {str(job.chunk_ids[index]): "failed" for index in (1, 3)} == entry["details"]
    assert [1, 1] == [chunk.attempt for chunk in claim(database, job, open_worker(database), limit=5)]


def test_retry_while_the_job_still_runs(database: Database) -> None:
    """A chunk that another worker has is left to it."""
    job = make_job(database, make_mailbox(database), chunks=3)
    worker = open_worker(database)
    make_fail(database, job, 0, worker)
    (running,) = claim(database, job, worker)
    assert 1 == control.retry(database, job.id, WHY)
    assert ["pending", "processing", "pending"] == statuses(database, job)
    complete(database, running)


def test_retry_of_nothing_says_so(database: Database) -> None:
    """No failed chunk, no plan yet, no chunk at all, no such job: one line each with what to do, and no audit row."""
    box = make_mailbox(database)
    job = make_job(database, box, chunks=1)
    finish(database, job)
    with pytest.raises(UsageError, match=r"no failed chunks, it is completed: re-sync it"):
        control.retry(database, job.id, WHY)
    waiting = request_sync(database, "box").job_id
    with pytest.raises(UsageError, match=r"has no chunks yet, it is requested: wait for its plan"):
        control.retry(database, waiting, WHY)
    database.execute("UPDATE sync_jobs SET status = 'failed', completed_at = clock() WHERE id = %s", (waiting,))
    with pytest.raises(UsageError, match=r"has no chunks, it is failed: ask for a new sync"):
        control.retry(database, waiting, WHY)
    with pytest.raises(UsageError, match=r"there is no sync job 77: `./chunk-sync status` lists them"):
        control.retry(database, 77, WHY)
    assert [] == database.execute("SELECT * FROM audit_log")


def test_resync_of_a_whole_job(database: Database) -> None:
    """Everything that has ended waits again, whatever became of it; the counters start again."""
    job = make_job(database, make_mailbox(database), chunks=3)
    finish(database, job, failed=(2,))
    assert 3 == control.resync(database, job.id, WHY)
    row = job_row(database, job.id)
    assert ("processing", 0, 0, 0) == tuple(
        row[name] for name in ("status", "completed_chunks", "failed_chunks", "emails_processed")
    )
    assert 3 == audit(database, "chunks_reopened")["chunks_affected"]
    finish(database, job)
    assert ("completed", 30) == tuple(job_row(database, job.id)[name] for name in ("status", "emails_processed"))


def test_resync_of_chosen_chunks(database: Database) -> None:
    """Only those that were named; one that is not there, or waits anyway, is refused."""
    job = make_job(database, make_mailbox(database), chunks=3)
    finish(database, job)
    assert 1 == control.resync(database, job.id, WHY, [1])
    assert ["completed", "pending", "completed"] == statuses(database, job)
    with pytest.raises(UsageError, match=r"has ended: its chunks wait or run already"):
        control.resync(database, job.id, WHY, [1])
    for wrong in (3, -1):
        with pytest.raises(UsageError, match=rf"has no chunk {wrong}: it has 3, counted from 0"):
            control.resync(database, job.id, WHY, [0, wrong])


def test_resync_of_a_cancelled_job(database: Database) -> None:
    """A cancel can be taken back."""
    job = make_job(database, make_mailbox(database), chunks=2)
    control.cancel(database, control.find_target(database, job_id=job.id), WHY)
    assert 2 == control.resync(database, job.id, WHY)
    finish(database, job)
    assert "completed" == job_row(database, job.id)["status"]


def test_what_is_paused_stays_paused_when_it_is_reopened(database: Database) -> None:
    """Chunks of a paused job wait for its resume, re-opened or not."""
    job = make_job(database, make_mailbox(database), chunks=2)
    worker = open_worker(database)
    make_fail(database, job, 0, worker)
    target = control.find_target(database, job_id=job.id)
    control.pause(database, target, WHY)
    control.retry(database, job.id, WHY)
    assert [] == claim(database, job, worker, limit=2)
    control.resume(database, target, WHY)
    assert 2 == len(claim(database, job, worker, limit=2))


def test_an_urgent_job_overtakes(database: Database) -> None:
    """Chunks that wait already are served by the new priority, up and down; the row has the old one."""
    box = make_mailbox(database, limit=8)
    first, second = make_job(database, box, chunks=2, priority=10), make_job(database, box, chunks=2, priority=10)
    before = [(first.id, 0), (first.id, 1), (second.id, 0), (second.id, 1)]
    assert before == order(database, 4)
    assert 2 == control.prioritize(database, second.id, control.PRIORITIES["urgent"], WHY)
    entry = audit(database, "sync_prioritized")
    assert (second.id, 2, {"was": 10, "priority": 30}) == (
        entry["sync_job_id"],
        entry["chunks_affected"],
        entry["details"],
    )
    assert before[2:] + before[:2] == order(database, 4)
    control.prioritize(database, second.id, control.PRIORITIES["cleanup"], WHY)
    assert before == order(database, 4)
    assert 1 == job_row(database, second.id)["priority"]


def test_an_urgent_job_overtakes_another_mailbox(database: Database) -> None:
    """The lane knows at once how urgent its first chunk is."""
    slow = make_job(database, make_mailbox(database, "a"), chunks=2, priority=10)
    quick = make_job(database, make_mailbox(database, "b"), chunks=2, priority=5)
    assert slow.id == order(database, 1)[0][0]
    control.prioritize(database, quick.id, 30, WHY)
    assert [quick.id, quick.id, slow.id, slow.id] == [job for job, _ in order(database, 4)]


def test_a_retry_that_is_due_later_comes_by_the_new_priority(database: Database) -> None:
    """Its delay stays, its turn is a new one."""
    set_clock(database, NOON)
    box = make_mailbox(database)
    later = make_job(database, box, chunks=1, priority=10)
    (chunk,) = claim(database, later, open_worker(database))
    queue.fail_chunk(
        database,
        chunk,
        category=ErrorCategory.TEMPORARY,
        message="",
        code=None,
        retry_after=60,
        account_scope=False,
        duration_ms=1,
    )
    now = make_job(database, box, chunks=1, priority=20)
    assert 1 == control.prioritize(database, later.id, 30, WHY)
    assert [(now.id, 0)] == order(database, 2)
    move_clock(database, "2 minutes")
    database.execute("SELECT wake_lanes(10)")
    assert [(later.id, 0), (now.id, 0)] == order(database, 2)


def test_a_paused_job_stays_paused_whatever_its_priority(database: Database) -> None:
    """The new priority holds from the resume on."""
    box = make_mailbox(database)
    paused, other = make_job(database, box, chunks=1, priority=5), make_job(database, box, chunks=1, priority=10)
    target = control.find_target(database, job_id=paused.id)
    control.pause(database, target, WHY)
    control.prioritize(database, paused.id, 30, WHY)
    assert [(other.id, 0)] == order(database, 2)
    control.resume(database, target, WHY)
    assert [(paused.id, 0), (other.id, 0)] == order(database, 2)


def test_a_job_that_is_not_planned_yet_is_planned_with_its_new_priority(database: Database) -> None:
    """Its chunks are not there yet; the plan reads the job's row."""
    make_mailbox(database)
    asked = request_sync(database, "box")
    assert 0 == control.prioritize(database, asked.job_id, 3, WHY)
    planned = plans.claim_plan(database, asked.job_id, open_worker(database))
    assert planned is not None
    assert 3 == job_row(database, asked.job_id)["priority"]


def test_priorities_that_make_no_sense(database: Database) -> None:
    """Out of bounds, of a job that has ended, of none: one line each; the function refuses the same from psql."""
    job = make_job(database, make_mailbox(database), chunks=1)
    for wrong in (0, 31):
        with pytest.raises(UsageError, match=rf"from 1 \(last\) to 30 \(first\): {wrong} is outside"):
            control.prioritize(database, job.id, wrong, WHY)
    finish(database, job)
    with pytest.raises(UsageError, match=r"has ended, it is completed: ask for a new sync with this priority"):
        control.prioritize(database, job.id, 5, WHY)
    public_id = job_row(database, job.id)["public_id"]
    with pytest.raises(psycopg.errors.DatabaseError, match="has ended: it is completed"):
        database.execute("SELECT prioritize_sync_job(%s, 5, 'why')", (public_id,))
    for call in ("prioritize_sync_job(new_uuid(), 5, 'why')", "reopen_sync_job(new_uuid(), 'why')"):
        with pytest.raises(psycopg.errors.DatabaseError) as refused:
            database.execute(f"SELECT {call}")  # type: ignore[arg-type]
        assert "CS004" == refused.value.sqlstate


def test_stuck_chunks_are_taken_back_by_hand(database: Database) -> None:
    """Whose lease ran out loses its chunks now; each is audited, and who asked for it. Nobody else loses any."""
    set_clock(database, NOON)
    job = make_job(database, make_mailbox(database), chunks=3)
    (stuck,) = claim(database, job, open_worker(database, "dead"))
    move_clock(database, "61 s")
    (alive,) = claim(database, job, open_worker(database, "alive"))
    (found,) = control.recover(database, WHY)
    assert (stuck.chunk_id, job.id, 0, "pending") == (found.chunk_id, found.job_id, found.chunk_index, found.status)
    entry = audit(database, "recovered_by_hand")
    assert (1, {"chunks": [stuck.chunk_id], "plans": 0}) == (entry["chunks_affected"], entry["details"])
    assert 1 == len(database.execute("SELECT id FROM audit_log WHERE action = 'stuck_chunk_reset'"))
    with pytest.raises(LeaseLost):
        complete(database, stuck)
    complete(database, alive)


def test_chunks_of_a_dead_run_need_no_lease_to_run_out(database: Database) -> None:
    """What Dagster knows to be over gives its chunks back at once, and its plan."""
    job = make_job(database, make_mailbox(database), chunks=1)
    request_sync(database, "box")
    worker = queue.open_worker(database, "run-x", 60.0, "x")
    claim(database, job, worker)
    assert [] == control.recover(database, WHY)
    assert 1 == len(control.recover(database, WHY, dead_run_ids=["x"]))
    assert ["pending"] == statuses(database, job)


def test_chunks_of_a_silent_worker_with_a_long_lease(database: Database) -> None:
    """By the minutes of silence, which must be some; a worker that was heard keeps what it has."""
    set_clock(database, NOON)
    job = make_job(database, make_mailbox(database), chunks=2)
    claim(database, job, queue.open_worker(database, "silent", 3600.0, None))
    move_clock(database, "10 minutes")
    claim(database, job, queue.open_worker(database, "heard", 3600.0, None))
    assert [] == control.recover(database, WHY)
    assert [0] == [chunk.chunk_index for chunk in control.recover(database, WHY, silent_minutes=9)]
    assert ["pending", "processing"] == statuses(database, job)
    with pytest.raises(UsageError, match="0 minutes of silence: give 1 or more"):
        control.recover(database, WHY, silent_minutes=0)


def test_an_ended_job_is_archived(database: Database) -> None:
    """Its dead letters are kept, and who did it; an open job and one that is not there are refused."""
    job = make_job(database, make_mailbox(database), chunks=2)
    with pytest.raises(UsageError, match=r"has not ended, it is processing: cancel it first, or wait"):
        control.archive(database, job.id, WHY)
    finish(database, job, failed=(1,))
    control.archive(database, job.id, WHY)
    (kept,) = database.execute("SELECT sync_job_id, archived_by, reason, dead_letters FROM archived_sync_jobs")
    assert (job.id, WHY.actor, "asked to") == (kept["sync_job_id"], kept["archived_by"], kept["reason"])
    assert ["no right"] == [letter["error_message"] for letter in kept["dead_letters"]]
    (entry,) = database.execute("SELECT actor, reason FROM audit_log WHERE action = 'sync_job_archived'")
    assert {"actor": WHY.actor, "reason": "asked to"} == entry
    with pytest.raises(UsageError, match="there is no sync job 77"):
        control.archive(database, 77, WHY)
