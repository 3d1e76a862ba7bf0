"""An installation's databases as a month of work leaves them, written by a few statements instead of by a month.

A month of history: a tenth of the chunks are jobs of their own (incremental syncs), the rest are jobs of 500. All of
them are completed and told to Dagster.
"""

from __future__ import annotations

from chunk_sync.engine.worker import Worker
from chunk_sync.store.database import Database, query
from chunk_sync.store.plans import FolderSnapshot, PlanWriter, claim_plan

_MAILBOXES = 50
_LARGE = 500
_EMAILS = 100
_JOBS = """
    INSERT INTO sync_jobs (
        tenant_id, mailbox_id, sync_type, priority, status, total_chunks, completed_chunks, emails_estimated,
        emails_processed, created_at, started_at, last_completed_at, completed_at, keys_registered_at
    )
    SELECT m.tenant_id, m.id, %(type)s::sync_type, 10, 'completed', %(chunks)s, %(chunks)s, %(chunks)s * 100,
        %(chunks)s * 100, t.at, t.at, t.at, t.at, t.at
    FROM generate_series(1, %(jobs)s) AS n
    CROSS JOIN LATERAL (SELECT clock() - interval '2 hours' - n * (interval '29 days' / %(jobs)s)) AS t (at)
    INNER JOIN mailboxes AS m ON m.name = 'box' || n %% %(mailboxes)s
"""
_CHUNKS = """
    INSERT INTO sync_chunks (
        tenant_id, mailbox_id, sync_job_id, chunk_index, folder_id, uidvalidity, uids, start_offset, end_offset,
        estimated_emails, estimated_bytes, reported_at, created_at
    )
    SELECT j.tenant_id, j.mailbox_id, j.id, n, f.id, 1, n * 100 + 1 || ':' || (n + 1) * 100, n * 100, n * 100 + 99,
        100, 100000, j.completed_at, j.created_at
    FROM sync_jobs AS j
    INNER JOIN folders AS f ON f.mailbox_id = j.mailbox_id
    CROSS JOIN generate_series(0, j.total_chunks - 1) AS n
    WHERE j.status = 'completed' AND NOT EXISTS (SELECT FROM sync_chunks AS c WHERE c.sync_job_id = j.id)
"""
_QUEUE = """
    INSERT INTO chunk_processing_queue (
        chunk_id, lease_token, available_at, created_at, started_at, completed_at, tenant_id, mailbox_id, sync_job_id,
        worker_id, queue_id, chunk_index, status, priority, attempts, turn_at, estimated_emails, emails_inserted,
        bytes_processed
    )
    SELECT c.id, 1, c.created_at, c.created_at, c.created_at, c.reported_at, c.tenant_id, c.mailbox_id, c.sync_job_id,
        1, c.public_id, c.chunk_index, 'completed', 10, 1, c.created_at - interval '10 minutes', 100, 100, 100000
    FROM sync_chunks AS c
    WHERE NOT EXISTS (SELECT FROM chunk_processing_queue AS q WHERE q.chunk_id = c.id)
"""
_FOLDERS = """
    INSERT INTO folders (tenant_id, mailbox_id, key, path, role, uidvalidity)
    SELECT tenant_id, id, 'INBOX', 'INBOX', 'inbox', 1 FROM mailboxes
    ON CONFLICT DO NOTHING
"""
_BULK_CHUNKS = """
    INSERT INTO sync_chunks (
        tenant_id, mailbox_id, sync_job_id, chunk_index, folder_id, uidvalidity, uids, start_offset, end_offset,
        estimated_emails, estimated_bytes
    )
    SELECT j.tenant_id, j.mailbox_id, j.id, n, %(folder)s, 1, n * 100 + 1 || ':' || (n + 1) * 100, n * 100,
        n * 100 + 99, 100, 100000
    FROM sync_jobs AS j CROSS JOIN generate_series(0, %(chunks)s - 1) AS n WHERE j.id = %(job)s
"""


def add_mailboxes(database: Database) -> None:
    """Add fifty mailboxes of ten tenants."""
    with database.transaction() as conn:
        for number in range(_MAILBOXES):
            names = {"name": f"box{number}", "tenant": f"tenant{number % 10}", "address": f"maildir:/nowhere/{number}"}
            others = dict.fromkeys(("credential", "folders", "sync_every"))
            conn.execute(query("mailbox_add"), names | others | {"provider": "maildir"})
        conn.execute(_FOLDERS)


def add_history(database: Database, chunks: int) -> None:
    """Write a month of completed chunks, and the statistics that autovacuum would have by then."""
    small = chunks // 10
    with database.owner_transaction() as conn:
        conn.execute("INSERT INTO workers (name, lease_until, ended_at) VALUES ('old', clock(), clock())")
        for kind, each, jobs in (("incremental", 1, small), ("initial", _LARGE, (chunks - small) // _LARGE)):
            conn.execute(_JOBS, {"type": kind, "chunks": each, "jobs": jobs, "mailboxes": _MAILBOXES})
        conn.execute(_CHUNKS)
        conn.execute(_QUEUE)
    with database.owner_transaction() as conn:
        conn.execute("ANALYZE")


def add_job(database: Database, mailbox: str, chunks: int) -> int:
    """Plan one more job of so many chunks, all due; its id."""
    tenant = database.execute(
        "SELECT t.name FROM mailboxes AS m INNER JOIN tenants AS t ON t.id = m.tenant_id WHERE m.name = %s", (mailbox,)
    )[0]["name"]
    database.execute(
        "SELECT request_sync(%s, 'manual', p_tenant => %s, p_requested_by => 'benchmark')", (mailbox, tenant)
    )
    job_id = database.execute("SELECT max(id) AS id FROM sync_jobs")[0]["id"]
    with Worker(database, "planner", 60.0) as worker:
        job = claim_plan(database, job_id, worker.id)
        assert job is not None
        snapshot = FolderSnapshot("INBOX", "INBOX", "inbox", 1, chunks * _EMAILS)
        with database.transaction() as conn:
            writer = PlanWriter(conn, job)
            folder = writer.open_folder(snapshot)
            writer.close_folder(folder, snapshot, [], synced_uid=chunks * _EMAILS, next_uid=chunks * _EMAILS + 1)
            conn.execute(_BULK_CHUNKS, {"job": job_id, "folder": folder.id, "chunks": chunks})
            writer.finish(worker.id)
    return job_id
