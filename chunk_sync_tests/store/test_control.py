"""Cancel, pause and resume of a sync job, a mailbox and a tenant: what stops, what goes on, and who did it."""

from __future__ import annotations

import pytest

from chunk_sync.errors import LeaseLost, UsageError
from chunk_sync.store import control, dispatches, plans, queue
from chunk_sync.store.control import Decision
from chunk_sync.store.database import Database
from chunk_sync.store.mailboxes import request_sync
from chunk_sync_tests.factory import claim, complete, job_row, make_job, make_mailbox, open_worker, statuses

WHY = Decision(reason="asked to", actor="ann", run_id="run-7")
TARGETS = pytest.mark.parametrize("what", ["job", "mailbox", "tenant"])


def target(database: Database, what: str, job_id: int) -> control.Target:
    """The job, its mailbox, or its tenant."""
    return control.find_target(
        database, job_id=job_id if what == "job" else None, mailbox="box" if what == "mailbox" else None
    )


@TARGETS
def test_b38_cancelled_chunks_are_never_claimed(database: Database, what: str) -> None:
    """Pending and running chunks are cancelled, what landed stays, the job is closed, and the runner is fenced off."""
    job = make_job(database, make_mailbox(database), chunks=4)
    worker = open_worker(database)
    done, running = claim(database, job, worker, limit=2)
    complete(database, done)
    assert 3 == control.cancel(database, target(database, what, job.id), WHY)
    assert ["completed", "cancelled", "cancelled", "cancelled"] == statuses(database, job)
    assert [] == claim(database, job, worker, limit=4)
    assert not queue.is_held(database, running)
    with pytest.raises(LeaseLost):
        complete(database, running)
    row = job_row(database, job.id)
    assert ("cancelled", 1, 3, 10) == tuple(
        row[key] for key in ("status", "completed_chunks", "cancelled_chunks", "emails_processed")
    )
    assert row["completed_at"] is not None
    audit = database.execute("SELECT actor, action, reason, run_id, chunks_affected AS chunks FROM audit_log")
    assert [{"actor": "ann", "action": "sync_cancelled", "reason": "asked to", "run_id": "run-7", "chunks": 3}] == audit
    assert [] == database.execute("SELECT * FROM lane_drift()")


def test_a_cancelled_mailbox_leaves_its_neighbour_alone(database: Database) -> None:
    """Only the mailbox that was named stops."""
    make_job(database, make_mailbox(database), chunks=2)
    other = make_job(database, make_mailbox(database, "other"), chunks=2)
    control.cancel(database, control.find_target(database, mailbox="box"), WHY)
    assert 2 == len(database.execute("SELECT * FROM claim_chunks(%s, 9)", (open_worker(database),)))
    assert ["processing"] * 2 == statuses(database, other)


def test_a_job_that_is_not_planned_yet_can_be_cancelled(database: Database) -> None:
    """Its planner is fenced off; nothing is planned afterwards."""
    make_mailbox(database)
    request = request_sync(database, "box")
    worker = open_worker(database)
    assert plans.claim_plan(database, request.job_id, worker) is not None
    assert 0 == control.cancel(database, control.find_target(database, job_id=request.job_id), WHY)
    with pytest.raises(LeaseLost):
        database.execute("SELECT finish_plan(%s, %s)", (request.job_id, worker))
    assert "cancelled" == job_row(database, request.job_id)["status"]


@TARGETS
def test_a_pause_uses_no_attempt_and_ends_with_resume(database: Database, what: str) -> None:
    """Nothing is claimed while paused, by range or by anything due; running chunks come back with their attempt."""
    job = make_job(database, make_mailbox(database), chunks=3)
    worker = open_worker(database)
    running = claim(database, job, worker)[0]
    paused = target(database, what, job.id)
    assert 1 == control.pause(database, paused, WHY)
    assert ["pending"] * 3 == statuses(database, job)
    assert not queue.is_held(database, running)
    assert [] == claim(database, job, worker, limit=3)
    assert [] == database.execute("SELECT * FROM claim_chunks(%s, 3)", (worker,))
    assert [] == queue.due_chunks(database, limit=9)
    assert [] == dispatches.due_jobs(database)
    assert [] == queue.pending_within(database, job.chunk_ids, 3600)
    assert 1 == control.resume(database, paused, WHY)
    again = claim(database, job, worker, limit=3)
    assert [(0, 1, 2), (1, 1, 1), (2, 1, 1)] == [(c.chunk_index, c.attempt, c.lease_token) for c in again]
    actions = [row["action"] for row in database.execute("SELECT action FROM audit_log ORDER BY id")]
    assert ["sync_paused", "sync_resumed"] == actions
    assert [] == database.execute("SELECT * FROM lane_drift()")


def test_a_paused_job_does_not_stop_its_mailbox(database: Database) -> None:
    """Another job of the same mailbox goes on; the paused one waits behind nobody when it is resumed."""
    box = make_mailbox(database)
    paused, other = make_job(database, box, chunks=2), make_job(database, box, chunks=2)
    control.pause(database, control.find_target(database, job_id=paused.id), WHY)
    worker = open_worker(database)
    taken = database.execute("SELECT chunk_id FROM claim_chunks(%s, 9)", (worker,))
    assert set(other.chunk_ids) == {row["chunk_id"] for row in taken}


def test_a_mailbox_stays_paused_when_its_tenant_is_resumed(database: Database) -> None:
    """Both must be free: neither hides the other."""
    job = make_job(database, make_mailbox(database), chunks=1)
    mailbox, tenant = control.find_target(database, mailbox="box"), control.find_target(database)
    control.pause(database, mailbox, WHY)
    control.pause(database, tenant, WHY)
    assert 0 == control.resume(database, tenant, WHY)
    assert [] == claim(database, job, open_worker(database))
    assert 1 == control.resume(database, mailbox, WHY)
    assert 1 == len(claim(database, job, open_worker(database)))


@TARGETS
def test_nothing_paused_is_planned(database: Database, what: str) -> None:
    """A requested job waits for the resume as well, and so does one that was paused while it was planned."""
    make_mailbox(database)
    request = request_sync(database, "box")
    paused = target(database, what, request.job_id)
    control.pause(database, paused, WHY)
    assert [] == plans.due_plans(database, limit=9, mark_seconds=60)
    control.resume(database, paused, WHY)
    assert [request.job_id] == [job for job, _, _ in plans.due_plans(database, limit=9, mark_seconds=60)]


def test_what_is_not_there_is_named(database: Database) -> None:
    """One line for a job, a mailbox or a tenant that does not exist."""
    with pytest.raises(UsageError, match="there is no sync job 77"):
        control.find_target(database, job_id=77)
    with pytest.raises(UsageError, match="there is no mailbox 'nobody'"):
        control.find_target(database, mailbox="nobody")
    with pytest.raises(UsageError, match="there is no tenant 'nobody'"):
        control.find_target(database, tenant="nobody")
