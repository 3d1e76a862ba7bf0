"""Retention and the archive: exactly what is past its keep goes, in batches, and nobody who works waits for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, LiteralString

import psycopg
import pytest

from chunk_sync.store import queue
from chunk_sync.store.database import Connection, Database
from chunk_sync.store.mailboxes import Mailbox
from chunk_sync.store.retention import delete_expired, run_retention
from chunk_sync_tests.factory import (
    PlannedJob,
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
NOTHING = {
    "chunked_sync_health_monitoring": 0,
    "sync_chunks": 0,
    "sync_jobs": 0,
    "archived_sync_jobs": 0,
    "dispatches": 0,
    "workers": 0,
    "audit_log": 0,
    "attempt_hours": 0,
    "health_history": 0,
    "alerts": 0,
    "forecasts": 0,
    "alert_silences": 0,
}
COUNTED = ("messages", "message_locations", "folders", "mailboxes", "mailbox_lanes", "tenants", "retention_policies")


@pytest.fixture
def database(database: Database) -> Iterator[Database]:
    """Retention is the owner's business: the engine may not delete from the audit log."""
    with Database(database.dsn, role=None) as owner:
        yield owner


@pytest.fixture(autouse=True)
def _noon(database: Database) -> None:
    """Stop the clock: ages are exact."""
    set_clock(database, NOON)


def ended_job(
    database: Database, mailbox: Mailbox, age: str, *, status: str = "completed", chunks: int = 2
) -> PlannedJob:
    """A job that ended so long ago; of a failed one the last chunk is a dead letter."""
    job = make_job(database, mailbox, chunks=chunks)
    worker = open_worker(database)
    while claimed := claim(database, job, worker, limit=100):
        for chunk in claimed:
            if status == "failed" and chunk.chunk_index == chunks - 1:
                fail(database, chunk.chunk_id, chunk.lease_token)
            else:
                complete(database, chunk)
    queue.close_worker(database, worker)
    database.execute(
        "UPDATE sync_jobs SET status = %s::sync_job_status, completed_at = clock() - %s::interval WHERE id = %s",
        (status, age, job.id),
    )
    return job


def fail(database: Database, chunk_id: int, lease_token: int) -> None:
    """Report a failure that is never tried again."""
    database.execute(
        "SELECT fail_chunk(%s, %s, 'permission', 'no right to this folder', 'NOPERM')", (chunk_id, lease_token)
    )


def archive(database: Database, job: PlannedJob, age: str | None = None, reason: str = "looked at") -> None:
    """Archive a job by hand, so long ago."""
    database.execute("SELECT archive_sync_job(%s, %s, 'ann')", (job_row(database, job.id)["public_id"], reason))
    if age:
        database.execute(
            "UPDATE archived_sync_jobs SET archived_at = clock() - %s::interval WHERE sync_job_id = %s", (age, job.id)
        )


def ids(database: Database, table: LiteralString, column: LiteralString = "id") -> list[int]:
    """List the keys that are left in a table."""
    return [row["id"] for row in database.execute(f"SELECT {column} AS id FROM {table} ORDER BY 1")]


def counts(database: Database) -> dict[str, int]:
    """Count what retention has no business with."""
    return {table: len(database.execute(f"SELECT FROM {table}")) for table in COUNTED}


def test_b41_aged_attempts_vanish_and_are_counted(database: Database) -> None:
    """The seeds' clean-up deletes what is older than 7 days, answers how many, and 0 the second time."""
    database.execute(
        "INSERT INTO chunked_sync_health_monitoring (tenant_id, mailbox_id, attempt_number, status, processing_time_ms,"
        " created_at) SELECT 1, 1, n, 'success', 1, clock() - interval '7 days' + (n - 3) * interval '1 s'"
        " FROM generate_series(1, 5) AS n"
    )
    assert [2, 0] == [database.execute("SELECT cleanup_old_health_monitoring() AS n")[0]["n"] for _ in range(2)]
    assert [3, 4, 5] == ids(database, "chunked_sync_health_monitoring", "attempt_number")


def test_b41_aged_rows_vanish_exactly(database: Database) -> None:
    """Of rows on both sides of each keep, exactly the older ones go; the counts are right; a second run finds none."""
    database.execute("DELETE FROM workers")
    database.execute(
        "INSERT INTO audit_log (action, at) VALUES ('old', clock() - interval '365 days 1 s'),"
        " ('new', clock() - interval '365 days')"
    )
    database.execute(
        "INSERT INTO workers (name, lease_until, ended_at) VALUES ('old', clock(), clock() - interval '24 hours 1 s'),"
        " ('new', clock(), clock() - interval '24 hours'), ('alive', clock(), NULL)"
    )
    database.execute(
        "INSERT INTO archived_sync_jobs (sync_job_id, public_id, tenant_id, mailbox_id, status, archived_by,"
        " archived_at) VALUES (-1, new_uuid(), 1, 1, '{}', 'x', clock() - interval '90 days 1 s'),"
        " (-2, new_uuid(), 1, 1, '{}', 'x', clock() - interval '90 days')"
    )
    job = make_job(database, make_mailbox(database), chunks=1)
    database.execute("DELETE FROM workers WHERE name LIKE 'planner%%'", {})
    for ended in ("24 hours 1 s", "24 hours", None):
        database.execute(
            "INSERT INTO dispatches (tenant_id, mailbox_id, sync_job_id, first_index, last_index, expires_at, ended_at)"
            " VALUES (1, %s, %s, 0, 0, clock(), clock() - %s::interval)",
            (job.mailbox.id, job.id, ended),
        )
    assert NOTHING | {"audit_log": 1, "workers": 1, "archived_sync_jobs": 1, "dispatches": 1} == run_retention(database)
    assert ["new"] == [row["action"] for row in database.execute("SELECT action FROM audit_log")]
    assert ["new", "alive"] == [row["name"] for row in database.execute("SELECT name FROM workers ORDER BY id")]
    assert [-2] == ids(database, "archived_sync_jobs", "sync_job_id")
    assert 2 == len(ids(database, "dispatches"))
    assert NOTHING == run_retention(database)


def test_b41_jobs_vanish_by_how_they_ended(database: Database) -> None:
    """Completed and cancelled jobs go after 30 days, failed ones 7 days after they were archived, and no others."""
    box = make_mailbox(database)
    kept = [
        ended_job(database, box, "30 days"),
        ended_job(database, box, "30 days", status="cancelled"),
        ended_job(database, box, "300 days", status="failed"),
        ended_job(database, box, "300 days", status="failed"),
        ended_job(database, box, "20 days"),
    ]
    for job in kept[3:]:
        archive(database, job, "7 days" if job is kept[3] else "10 days")
    gone = [
        ended_job(database, box, "30 days 1 s"),
        ended_job(database, box, "30 days 1 s", status="cancelled"),
        ended_job(database, box, "7 days 2 s", status="failed"),
    ]
    archive(database, gone[2], "7 days 1 s")
    kept.append(ended_job(database, box, "29 days"))  # the newest first sync stays in any case
    before = counts(database)
    assert NOTHING | {"sync_jobs": 3, "sync_chunks": 6} == run_retention(database)
    assert [job.id for job in kept] == ids(database, "sync_jobs")
    left = sorted(chunk for job in kept for chunk in job.chunk_ids)
    assert (left, left) == (ids(database, "sync_chunks"), ids(database, "chunk_processing_queue", "chunk_id"))
    assert before == counts(database)
    archived = database.execute("SELECT sync_job_id, archived_by, reason FROM archived_sync_jobs ORDER BY sync_job_id")
    assert [
        {"sync_job_id": kept[3].id, "archived_by": "ann", "reason": "looked at"},
        {"sync_job_id": kept[4].id, "archived_by": "ann", "reason": "looked at"},
        {"sync_job_id": gone[0].id, "archived_by": "retention", "reason": "past its retention"},
        {"sync_job_id": gone[1].id, "archived_by": "retention", "reason": "past its retention"},
        {"sync_job_id": gone[2].id, "archived_by": "ann", "reason": "looked at"},
    ] == archived
    assert NOTHING == run_retention(database)


def test_messages_and_cursors_stay(database: Database) -> None:
    """A job that goes takes its plan with it, but no message, no folder, and not the folder's cursor."""
    box = make_mailbox(database)
    job = ended_job(database, box, "31 days")
    ended_job(database, box, "1 day")
    database.execute(
        "WITH m AS (INSERT INTO messages (tenant_id, mailbox_id, raw_sha256, size, parse_status)"
        " VALUES (1, %s, sha256('x'), 1, 'ok') RETURNING id)"
        " INSERT INTO message_locations (folder_id, uidvalidity, uid, tenant_id, message_id)"
        " SELECT f.id, 1, 1, 1, m.id FROM folders AS f, m",
        (box.id,),
    )
    before, cursor = counts(database), database.execute("SELECT id, synced_uid, next_uid FROM folders")
    assert 1 == run_retention(database)["sync_jobs"]
    assert (before, cursor) == (counts(database), database.execute("SELECT id, synced_uid, next_uid FROM folders"))
    assert job.id not in ids(database, "sync_job_folders", "sync_job_id")


def test_the_first_sync_of_a_mailbox_stays_without_its_chunks(database: Database) -> None:
    """A mailbox whose first sync is long past is still synced incrementally; the job is archived once."""
    box = make_mailbox(database)
    jobs = [ended_job(database, box, f"{days} days") for days in (50, 40)]
    assert NOTHING | {"sync_jobs": 1, "sync_chunks": 4} == run_retention(database)
    assert [jobs[1].id] == ids(database, "sync_jobs")
    assert "incremental" == database.execute("SELECT next_sync_type(%s)::text AS t", (box.id,))[0]["t"]
    move_clock(database, "91 days")
    assert NOTHING | {"archived_sync_jobs": 2} == _without_workers(run_retention(database))
    assert NOTHING == run_retention(database)
    assert ([jobs[1].id], []) == (ids(database, "sync_jobs"), ids(database, "archived_sync_jobs", "sync_job_id"))


def _without_workers(deleted: dict[str, int]) -> dict[str, int]:
    return deleted | dict.fromkeys(("workers", "chunked_sync_health_monitoring", "audit_log"), 0)


def test_b38_an_open_job_is_never_touched(database: Database) -> None:
    """However old it is: pending, processing, or a failed and archived one that was opened again."""
    box = make_mailbox(database)
    waiting = make_job(database, box, chunks=2)
    again = ended_job(database, box, "100 days", status="failed")
    archive(database, again, "90 days")
    queue.reopen_chunk(database, again.chunk_ids[1], reason="once more", actor="ann", run_id=None)
    claim(database, waiting, open_worker(database))
    database.execute("UPDATE sync_jobs SET created_at = clock() - interval '1 year', started_at = created_at")
    assert NOTHING == run_retention(database)
    assert (["processing", "pending"], ["completed", "pending"]) == (
        statuses(database, waiting),
        statuses(database, again),
    )


def test_a_job_that_failed_again_is_kept_until_it_is_archived_again(database: Database) -> None:
    """What was archived before a job ran once more says nothing about its new failure."""
    job = ended_job(database, make_mailbox(database), "100 days", status="failed")
    archive(database, job, "60 days", reason="first time")
    queue.reopen_chunk(database, job.chunk_ids[1], reason="once more", actor="ann", run_id=None)
    chunk = claim(database, job, open_worker(database))[0]
    fail(database, chunk.chunk_id, chunk.lease_token)
    move_clock(database, "8 days")
    assert 0 == run_retention(database)["sync_jobs"]
    archive(database, job, reason="second time")
    move_clock(database, "7 days 1 s")
    deleted = run_retention(database)
    assert (2, 1) == (deleted["sync_chunks"], deleted["sync_jobs"])
    assert ["second time"] == [row["reason"] for row in database.execute("SELECT reason FROM archived_sync_jobs")]


def test_batches_are_bounded_and_the_job_goes_last(database: Database) -> None:
    """A batch deletes as many chunks as it may; the job's own row goes when none is left."""
    box = make_mailbox(database, limit=100)
    job = ended_job(database, box, "31 days", chunks=25)
    ended_job(database, box, "1 day", chunks=1)
    deleted = [delete_expired(database, 10) for _ in range(4)]
    assert [(10, 0), (10, 0), (5, 1), (0, 0)] == [(batch["sync_chunks"], batch["sync_jobs"]) for batch in deleted]
    assert job.id not in ids(database, "sync_jobs")


def test_each_batch_is_a_transaction_of_its_own(database: Database) -> None:
    """When a later batch breaks, what earlier ones deleted stays deleted."""
    database.execute(
        "INSERT INTO audit_log (action, at) SELECT 'old', clock() - interval '2 years' FROM generate_series(1, 35)"
    )
    with database.transaction() as conn:
        conn.execute("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''not this one''; END'")
        conn.execute(
            "CREATE TRIGGER refuse BEFORE DELETE ON audit_log FOR EACH ROW WHEN (OLD.id = 25) EXECUTE FUNCTION refuse()"
        )
    with pytest.raises(psycopg.errors.RaiseException, match="not this one"):
        run_retention(database, 10)
    assert 15 == len(ids(database, "audit_log"))


def test_nobody_who_works_waits_for_a_batch(database: Database) -> None:
    """While a batch is open and uncommitted, the same mailbox is claimed, completed, failed, planned and requested."""
    box = make_mailbox(database, limit=10)
    old = ended_job(database, box, "31 days")
    job = make_job(database, box, chunks=4)
    one, two = claim(database, job, open_worker(database), limit=2)
    database.execute("INSERT INTO audit_log (action, at) VALUES ('old', clock() - interval '2 years')")
    database.execute("UPDATE chunked_sync_health_monitoring SET created_at = clock() - interval '8 days'")
    with database.transaction() as batch:
        deleted = {row["what"]: row["deleted"] for row in batch.execute("SELECT * FROM delete_expired()").fetchall()}
        assert NOTHING | {"chunked_sync_health_monitoring": 2, "sync_chunks": 2, "audit_log": 1} == deleted
        with database.transaction() as conn:
            conn.execute("SET LOCAL lock_timeout = '1 s'")
            _work(conn, box, one, two)
        assert 6 == len(ids(database, "chunk_processing_queue", "chunk_id"))  # the batch is still open
    assert old.id in ids(database, "sync_jobs")
    assert ["completed", "pending", "processing", "processing"] == statuses(database, job)


def _work(conn: Connection, box: Mailbox, one: Any, two: Any) -> None:
    """All that workers, planners and people do with a mailbox."""
    conn.execute("SELECT complete_chunk(%s, %s, 10, 0, 0, 0, 1000, 100)", (one.chunk_id, one.lease_token))
    conn.execute("SELECT fail_chunk(%s, %s, 'network', 'reset')", (two.chunk_id, two.lease_token))
    row = conn.execute("SELECT open_worker('w') AS id").fetchone()
    assert row is not None
    conn.execute("SELECT heartbeat(%s)", (row["id"],))
    assert 2 == len(conn.execute("SELECT * FROM claim_chunks(%s, 10)", (row["id"],)).fetchall())
    conn.execute("SELECT request_sync(%s)", (box.name,))
    conn.execute("SELECT claim_plan((SELECT max(id) FROM sync_jobs), %s)", (row["id"],))
    conn.execute("SELECT recover_expired_leases()")
    conn.execute("SELECT get_system_health_metrics()")


def test_what_somebody_holds_is_left_for_later(database: Database) -> None:
    """A batch waits for nobody: rows that are locked are passed over, and go the next time."""
    box = make_mailbox(database)
    job = ended_job(database, box, "31 days")
    other = ended_job(database, box, "31 days")
    ended_job(database, box, "1 day")
    database.execute("INSERT INTO audit_log (action, at) VALUES ('old', clock() - interval '2 years')")
    with database.transaction() as conn:
        conn.execute("SELECT FROM chunk_processing_queue WHERE chunk_id = %s FOR UPDATE", (job.chunk_ids[0],))
        conn.execute("SELECT FROM sync_jobs WHERE id = %s FOR UPDATE", (other.id,))
        conn.execute("SELECT FROM audit_log FOR UPDATE")
        with database.transaction() as batch:
            batch.execute("SET LOCAL lock_timeout = '1 s'")
            rows = batch.execute("SELECT * FROM delete_expired()").fetchall()
    assert NOTHING | {"sync_chunks": 1} == {row["what"]: row["deleted"] for row in rows}
    assert NOTHING | {"sync_chunks": 3, "sync_jobs": 2, "audit_log": 1} == run_retention(database)


def test_a_worker_goes_after_all_that_names_it(database: Database) -> None:
    """An ended worker stays as long as a dispatch, a plan or a chunk refers to it, and nothing breaks."""
    job = make_job(database, make_mailbox(database), chunks=1)
    database.execute("DELETE FROM workers")
    worker = open_worker(database)
    database.execute(
        "INSERT INTO dispatches (tenant_id, mailbox_id, sync_job_id, first_index, last_index, expires_at, worker_id)"
        " VALUES (1, %s, %s, 0, 0, clock(), %s)",
        (job.mailbox.id, job.id, worker),
    )
    database.execute("UPDATE workers SET ended_at = clock() - interval '2 days'")
    assert NOTHING == run_retention(database)
    database.execute("UPDATE dispatches SET ended_at = clock() - interval '2 days'")
    database.execute("UPDATE sync_jobs SET plan_worker_id = %s", (worker,))
    assert NOTHING | {"dispatches": 1} == run_retention(database)
    database.execute("UPDATE sync_jobs SET plan_worker_id = NULL")
    database.execute("UPDATE workers SET lease_until = 'infinity', ended_at = NULL")
    (chunk,) = claim(database, job, worker)
    database.execute("UPDATE workers SET ended_at = clock() - interval '2 days'")
    assert NOTHING == run_retention(database)
    complete(database, chunk)
    assert NOTHING | {"workers": 1} == run_retention(database)


def test_a_job_that_a_run_was_asked_for_stays(database: Database) -> None:
    """As long as a dispatch of a job lives, its row does."""
    box = make_mailbox(database)
    job = ended_job(database, box, "31 days")
    ended_job(database, box, "1 day")
    database.execute(
        "INSERT INTO dispatches (tenant_id, mailbox_id, sync_job_id, first_index, last_index, expires_at)"
        " VALUES (1, %s, %s, 0, 1, clock())",
        (box.id, job.id),
    )
    assert 0 == run_retention(database)["sync_jobs"]
    database.execute("UPDATE dispatches SET ended_at = clock()")
    assert 1 == run_retention(database)["sync_jobs"]


def test_keeps_are_rows(database: Database) -> None:
    """A keep that is changed holds at once; without its row a thing is kept for ever; nonsense is refused."""
    box = make_mailbox(database)
    ended_job(database, box, "2 days", status="cancelled")
    ended_job(database, box, "2 days", status="cancelled")
    database.execute("DELETE FROM retention_policies WHERE what = 'completed_jobs'")
    assert NOTHING == run_retention(database)
    database.execute("INSERT INTO retention_policies (what, keep) VALUES ('completed_jobs', '47 hours')")
    assert NOTHING | {"sync_chunks": 4, "sync_jobs": 2} == run_retention(database)
    for what, keep in (("messages", "1 day"), ("open_jobs", "1 day"), ("completed_jobs", "0 s")):
        with pytest.raises(psycopg.errors.CheckViolation):
            database.execute(
                "INSERT INTO retention_policies VALUES (%s, %s::interval)"
                " ON CONFLICT (what) DO UPDATE SET keep = EXCLUDED.keep",
                (what, keep),
            )


def test_the_archive_holds_the_status_row_and_the_reasons(database: Database) -> None:
    """Left of a failed job are its last status row and why each dead letter failed; the audit log says who and why."""
    job = ended_job(database, make_mailbox(database), "1 day", status="failed", chunks=3)
    status = database.execute("SELECT to_jsonb(s) AS s FROM chunk_processing_status AS s")[0]["s"]
    archive(database, job, reason="known fault")
    row = database.execute("SELECT * FROM archived_sync_jobs")[0]
    assert (job.id, job.mailbox.tenant_id, job.mailbox.id, "ann", "known fault") == tuple(
        row[key] for key in ("sync_job_id", "tenant_id", "mailbox_id", "archived_by", "reason")
    )
    assert {key: status[key] for key in status if key != "eta"} == {
        key: row["status"][key] for key in status if key != "eta"
    }
    assert "partial_failure" == row["status"]["overall_status"]
    public_id = database.execute("SELECT public_id FROM sync_chunks WHERE id = %s", (job.chunk_ids[2],))[0]["public_id"]
    assert [
        {
            "queue_id": str(public_id),
            "chunk_index": 2,
            "attempts": 1,
            "error_category": "permission",
            "error_code": "NOPERM",
            "error_message": "no right to this folder",
        }
    ] == row["dead_letters"]
    audit = database.execute("SELECT actor, action, sync_job_id, tenant_id, chunks_affected, reason FROM audit_log")
    assert [
        {
            "actor": "ann",
            "action": "sync_job_archived",
            "sync_job_id": job.id,
            "tenant_id": job.mailbox.tenant_id,
            "chunks_affected": 1,
            "reason": "known fault",
        }
    ] == audit


def test_only_an_ended_job_is_archived(database: Database) -> None:
    """A job that is open, or is not there, is refused by a code of its own, and nothing is written."""
    job = make_job(database, make_mailbox(database), chunks=1)
    with pytest.raises(psycopg.Error, match="has not ended: it is processing") as caught:
        archive(database, job)
    assert "CS006" == caught.value.sqlstate
    with pytest.raises(psycopg.Error, match="no sync job") as caught:
        database.execute("SELECT archive_sync_job(new_uuid(), 'x')")
    assert "CS004" == caught.value.sqlstate
    assert ([], []) == (ids(database, "archived_sync_jobs", "sync_job_id"), ids(database, "audit_log"))
