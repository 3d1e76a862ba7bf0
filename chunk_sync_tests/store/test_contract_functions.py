"""The functions that anybody may call from psql: names, keys, types and refusals as the contract prints them."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from chunk_sync.local.dsn import libpq_url
from chunk_sync.store import queue
from chunk_sync.store.database import Database
from chunk_sync_tests.factory import (
    PlannedJob,
    claim,
    job_row,
    make_job,
    make_mailbox,
    move_clock,
    open_worker,
    set_clock,
    statuses,
)

NOON = "2026-11-22 12:00:00+00"
CHUNK_JOB_KEYS = {
    "queue_id",
    "chunk_id",
    "lease_token",
    "mailbox_id",
    "tenant_id",
    "parent_sync_job_id",
    "chunk_index",
    "total_chunks",
    "start_offset",
    "end_offset",
    "estimated_emails",
    "sync_type",
    "sync_from",
    "sync_to",
    "attempts",
    "max_attempts",
    "span",
}
COMPLETION_KEYS = {
    "accepted",
    "chunk_status",
    "will_retry",
    "next_attempt_at",
    "parent_status",
    "parent_progress",
    "completed_chunks",
    "failed_chunks",
    "total_chunks",
}


def claim_next(database: Database, worker: str = "w1") -> dict[str, Any]:
    """Claim as the seeds' worker does."""
    return database.execute("SELECT claim_next_chunk_job_safe(%s) AS answer", (worker,))[0]["answer"]


def report(database: Database, chunk_job: dict[str, Any], status: str = "completed", **more: object) -> dict[str, Any]:
    """Report the end of an attempt as the seeds' worker does."""
    given: dict[str, object] = {"emails_processed": 10, "processing_time_ms": 100} | {
        "chunk_id": chunk_job["chunk_id"],
        "queue_id": chunk_job["queue_id"],
        "status": status,
        "lease_token": chunk_job["lease_token"],
    }
    given |= more
    named = ", ".join(f"p_{name} => %({name})s" for name in given)
    sql = f"SELECT complete_chunk_job_safe({named}) AS answer".encode()
    with database.transaction() as conn:
        row = conn.execute(sql, given).fetchone()  # pyright: ignore[reportArgumentType, reportCallIssue]
    assert row is not None
    return row["answer"]


def public_id(database: Database, job: PlannedJob) -> str:
    """The id that people see."""
    return str(job_row(database, job.id)["public_id"])


def test_b15_a_claim_is_an_object_with_all_that_a_worker_needs(database: Database) -> None:
    """One claim: success and a chunk_job with exactly the contract's keys, typed; nothing due: false and null."""
    job = make_job(database, make_mailbox(database), chunks=1)
    answer = claim_next(database)
    assert {"success", "chunk_job"} == answer.keys()
    chunk_job = answer["chunk_job"]
    assert chunk_job.keys() == CHUNK_JOB_KEYS
    assert (True, 1, 3, 1, 0, 0, 9, 10) == (
        answer["success"],
        *(chunk_job[key] for key in ("attempts", "max_attempts", "total_chunks", "chunk_index", "start_offset")),
        *(chunk_job[key] for key in ("end_offset", "estimated_emails")),
    )
    assert {"folder": "INBOX", "uidvalidity": 1, "uids": "1:10", "provider_ids": None} == chunk_job["span"]
    assert public_id(database, job) == chunk_job["parent_sync_job_id"]
    assert {"success": False, "chunk_job": None} == claim_next(database)


def test_a_worker_is_known_by_its_name(database: Database) -> None:
    """Claims under one name are one worker, and each is a sign of life."""
    set_clock(database, NOON)
    make_job(database, make_mailbox(database), chunks=3)
    claim_next(database)
    move_clock(database, "50 s")
    claim_next(database)
    move_clock(database, "50 s")
    assert 0 == database.execute("SELECT cleanup_stuck_chunks() AS n")[0]["n"]
    assert [{"n": 1}] == database.execute("SELECT count(*) AS n FROM workers WHERE name = 'w1'")


def test_b14_a_completion_says_what_became_of_everything(database: Database) -> None:
    """Exactly the contract's keys; the last one closes the parent in the same breath."""
    job = make_job(database, make_mailbox(database), chunks=2)
    first = report(database, claim_next(database)["chunk_job"])
    assert first.keys() == COMPLETION_KEYS
    expected = {
        "accepted": True,
        "chunk_status": "completed",
        "will_retry": False,
        "next_attempt_at": None,
        "parent_status": "pending",
        "parent_progress": 50.0,
        "completed_chunks": 1,
        "failed_chunks": 0,
        "total_chunks": 2,
    }
    assert expected == first
    last = report(database, claim_next(database)["chunk_job"])
    assert ("completed", 100.0) == (last["parent_status"], last["parent_progress"])
    assert "completed" == job_row(database, job.id)["status"]


def test_a_failed_attempt_waits_or_ends(database: Database) -> None:
    """Failed means this attempt: the database answers whether and when there is another."""
    set_clock(database, NOON)
    make_job(database, make_mailbox(database), chunks=2)
    one, two = claim_next(database)["chunk_job"], claim_next(database)["chunk_job"]
    again = report(database, one, "failed", error_message="reset by peer", error_category="network")
    assert (True, True, "pending") == (again["accepted"], again["will_retry"], again["chunk_status"])
    assert again["next_attempt_at"] is not None
    never = report(database, two, "failed", error_message="no right", error_category="permission")
    assert (True, False, "failed", None) == tuple(
        never[key] for key in ("accepted", "will_retry", "chunk_status", "next_attempt_at")
    )


def test_b25_mail_that_was_not_saved_is_no_completed_chunk(database: Database) -> None:
    """A completion with failed messages counts as a failed attempt."""
    make_job(database, make_mailbox(database), chunks=1)
    answer = report(database, claim_next(database)["chunk_job"], emails_failed=2)
    assert ("pending", True) == (answer["chunk_status"], answer["will_retry"])
    rows = database.execute("SELECT error_category::text, error_message FROM chunked_sync_health_monitoring")
    assert [{"error_category": "processing_error", "error_message": "2 messages were not saved"}] == rows


def test_b09_no_lease_no_completion(database: Database) -> None:
    """A stale token, no token, or another chunk's queue id: not accepted, and nothing changes."""
    job = make_job(database, make_mailbox(database), chunks=2)
    chunk_job = claim_next(database)["chunk_job"]
    other = claim_next(database)["chunk_job"]
    for wrong in (
        {"lease_token": chunk_job["lease_token"] - 1},
        {"lease_token": None},
        {"queue_id": other["queue_id"]},
        {"lease_token": chunk_job["lease_token"] - 1, "status": "failed"},
    ):
        before = database.execute("SELECT * FROM chunk_processing_queue ORDER BY chunk_id")
        assert report(database, chunk_job, **wrong)["accepted"] is False  # pyright: ignore[reportArgumentType]
        assert before == database.execute("SELECT * FROM chunk_processing_queue ORDER BY chunk_id")
    assert 0 == job_row(database, job.id)["completed_chunks"]


def test_the_same_completion_twice_counts_once(database: Database) -> None:
    """A worker whose answer was lost may say it again."""
    job = make_job(database, make_mailbox(database), chunks=2)
    chunk_job = claim_next(database)["chunk_job"]
    assert report(database, chunk_job) == report(database, chunk_job)
    row = job_row(database, job.id)
    assert (1, 10) == (row["completed_chunks"], row["emails_processed"])
    assert [{"n": 1}] == database.execute("SELECT count(*) AS n FROM chunked_sync_health_monitoring")


def test_b13_a_status_that_is_none_is_refused_by_name(database: Database) -> None:
    """A wrong word is an error that says which words there are."""
    make_job(database, make_mailbox(database), chunks=1)
    with pytest.raises(psycopg.DatabaseError, match="status is completed or failed, not done") as caught:
        report(database, claim_next(database)["chunk_job"], "done")
    assert "CS005" == caught.value.sqlstate


def test_b34_each_wake_up_is_kept_and_said_once(database: Database) -> None:
    """A wake-up is a NOTIFY and a count on the job's row; a storm of them within a second is one."""
    set_clock(database, NOON)
    with psycopg.connect(libpq_url(database.dsn), autocommit=True) as listener:
        listener.execute("LISTEN chunk_sync_work")
        job = make_job(database, make_mailbox(database), chunks=1)
        said = [
            database.execute("SELECT trigger_next_chunk_processing(%s) AS said", (public_id(database, job),))[0]["said"]
            for _ in range(3)
        ]
        assert [False] * 3 == said
        move_clock(database, "2 s")
        assert database.execute("SELECT trigger_next_chunk_processing(%s) AS said", (public_id(database, job),))[0][
            "said"
        ]
        heard = [notify.payload for notify in listener.notifies(timeout=5, stop_after=2)]
    assert [public_id(database, job)] * 2 == heard
    assert 2 == job_row(database, job.id)["wake_ups"]


def test_reset_of_silent_workers(database: Database) -> None:
    """Chunks of workers that were silent for longer than asked come back, with details, whatever their lease says."""
    set_clock(database, NOON)
    job = make_job(database, make_mailbox(database), chunks=2)
    silent = queue.open_worker(database, "silent", 3600, None)
    claim(database, job, silent)
    move_clock(database, "11 min")
    claim(database, job, open_worker(database, "lively"))
    row = database.execute("SELECT * FROM reset_stuck_chunks()")[0]
    assert (1, [job.chunk_ids[0]]) == (row["reset_count"], row["chunk_ids"])
    details = row["recovery_details"][0]
    assert ("pending", 1, "silent") == (details["status"], details["attempts"], details["worker"])
    assert ["pending", "processing"] == statuses(database, job)
    empty = database.execute("SELECT * FROM reset_stuck_chunks()")[0]
    assert (0, [], []) == (empty["reset_count"], empty["chunk_ids"], empty["recovery_details"])


def test_force_reset_fences_the_worker_off(database: Database) -> None:
    """A chunk in somebody's hands waits again with all its attempts; the old lease cannot land; it is audited."""
    job = make_job(database, make_mailbox(database), chunks=1)
    chunk = claim(database, job, open_worker(database))[0]
    answer = database.execute("SELECT force_reset_chunk(%s, 'stuck') AS a", (chunk.chunk_id,))[0]["a"]
    assert {
        "success": True,
        "chunk_id": chunk.chunk_id,
        "previous_status": "processing",
        "chunk_status": "pending",
    } == answer
    rows = database.execute("SELECT outcome FROM complete_chunks(ARRAY[%s], ARRAY[%s::bigint], ARRAY[1])", (
        chunk.chunk_id, chunk.lease_token,
    ))  # fmt: skip
    assert [{"outcome": "stale"}] == rows
    assert 1 == claim(database, job, open_worker(database, "next"))[0].attempt
    audit = database.execute("SELECT action, reason, chunks_affected AS n, actor = current_user AS me FROM audit_log")
    assert [{"action": "manual_force_reset", "reason": "stuck", "n": 1, "me": True}] == audit
    unknown = database.execute("SELECT force_reset_chunk(-1, 'x') AS a")[0]["a"]
    assert {"success": False, "error": "Chunk not found"} == unknown


def test_reset_of_a_job_opens_what_failed_and_what_hangs(database: Database) -> None:
    """Failed and processing chunks wait again with all their attempts; completed ones stay."""
    job = make_job(database, make_mailbox(database), chunks=3)
    done, dead, _hangs = (claim_next(database)["chunk_job"] for _ in range(3))
    report(database, done)
    report(database, dead, "failed", error_category="permission")
    answer = database.execute("SELECT reset_sync_job_chunks(%s, 'again') AS a", (public_id(database, job),))[0]["a"]
    assert {"success": True, "sync_job_id": public_id(database, job), "reset_count": 2} == answer
    assert ["completed", "pending", "pending"] == statuses(database, job)
    assert ("processing", 1, 0) == tuple(
        job_row(database, job.id)[key] for key in ("status", "completed_chunks", "failed_chunks")
    )
    assert [{"action": "sync_job_reset", "reason": "again"}] == database.execute("SELECT action, reason FROM audit_log")
    unknown = database.execute("SELECT reset_sync_job_chunks(new_uuid(), 'x') AS a")[0]["a"]
    assert {"success": False, "error": "Sync job not found"} == unknown
