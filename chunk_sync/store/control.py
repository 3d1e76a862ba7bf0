"""What people decide about syncs, each audited with who and why.

Ask for one; cancel, pause and resume a job, a mailbox or a tenant; run chunks of a job again, have stuck ones taken
back, change how urgent a job is, archive it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import LiteralString

from chunk_sync.errors import UsageError
from chunk_sync.store.database import Database, Row, query
from chunk_sync.store.mailboxes import SyncRequest, request_sync
from chunk_sync.store.queue import RecoveredChunk

FIRST, LAST = 30, 1
"""The priorities of a job that is served first, and last."""
PRIORITIES = {"urgent": FIRST, "initial": 20, "normal": 10, "low": 5, "cleanup": LAST}
"""The priorities that have names."""
_OPEN = ("requested", "planning", "processing")
_UNPLANNED = ("requested", "planning")


class Scope(StrEnum):
    """What is stopped: one sync job, all of a mailbox, all of a tenant."""

    SYNC_JOB = "sync_job"
    MAILBOX = "mailbox"
    TENANT = "tenant"


@dataclass(frozen=True, slots=True)
class Target:
    """A sync job, mailbox or tenant by its public id, and as a person calls it."""

    scope: Scope
    public_id: str
    name: str


@dataclass(frozen=True, slots=True)
class Decision:
    """Who decided it, and why; `run_id` when it was a run of Dagster."""

    reason: str
    actor: str
    run_id: str | None = None


def request(
    database: Database,
    mailbox: str,
    decision: Decision,
    *,
    tenant: str = "default",
    sync_type: str | None = None,
    sync_from: datetime | None = None,
    sync_to: datetime | None = None,
    priority: int | None = None,
) -> SyncRequest:
    """Ask for a sync of a mailbox; raises UsageError when the request makes no sense."""
    if priority is not None:
        _check_priority(priority)
    if sync_from and sync_to and sync_from >= sync_to:
        message = f"nothing lies between since {sync_from} and until {sync_to}: since must be the earlier one"
        raise UsageError(message)
    who = {"actor": decision.actor, "reason": decision.reason, "run_id": decision.run_id}
    return request_sync(
        database,
        mailbox,
        tenant=tenant,
        sync_type=sync_type,
        sync_from=sync_from,
        sync_to=sync_to,
        priority=priority,
        requested_by=decision.actor,
        also=lambda conn, asked: conn.execute(query("audit_request"), {"job_id": asked.job_id, **who}),
    )


def find_target(
    database: Database, *, job_id: int | None = None, mailbox: str | None = None, tenant: str = "default"
) -> Target:
    """Find what is meant: a job, else a mailbox, else the tenant; raises UsageError if there is none."""
    if job_id is not None:
        found = _public_id(database, "SELECT public_id FROM sync_jobs WHERE id = %s", job_id)
        target = Target(Scope.SYNC_JOB, found, f"sync job {job_id}")
    elif mailbox is not None:
        found = _public_id(
            database,
            "SELECT m.public_id FROM mailboxes AS m JOIN tenants AS t ON t.id = m.tenant_id"
            " WHERE m.name = %s AND t.name = %s",
            mailbox,
            tenant,
        )
        target = Target(Scope.MAILBOX, found, f"mailbox {mailbox!r}")
    else:
        found = _public_id(database, "SELECT public_id FROM tenants WHERE name = %s", tenant)
        target = Target(Scope.TENANT, found, f"tenant {tenant!r}")
    if not found:
        listed = "status" if target.scope is Scope.SYNC_JOB else "mailbox list"
        message = f"there is no {target.name}: `./chunk-sync {listed}` says what there is"
        raise UsageError(message)
    return target


def cancel(database: Database, target: Target, decision: Decision) -> int:
    """Cancel the open sync jobs of a target; returns how many chunks will not be synced."""
    return _call(database, "SELECT cancel_sync(%s::sync_scope, %s::uuid, %s, %s, %s) AS n", target, decision)


def pause(database: Database, target: Target, decision: Decision) -> int:
    """Stop claiming until it is resumed; returns how many running chunks were given back."""
    return _call(database, "SELECT pause_sync(%s::sync_scope, %s::uuid, %s, %s, %s) AS n", target, decision)


def resume(database: Database, target: Target, decision: Decision) -> int:
    """Go on with what was paused; returns how many mailboxes may go on."""
    return _call(database, "SELECT resume_sync(%s::sync_scope, %s::uuid, %s, %s, %s) AS n", target, decision)


def retry(database: Database, job_id: int, decision: Decision) -> int:
    """Run the failed chunks of a job again, with all their attempts; returns how many.

    Raises UsageError when there are none.
    """
    job = _job(database, job_id, planned=True)
    count = _reopen(database, job, decision, ["failed"], None)
    if not count:
        message = f"sync job {job_id} has no failed chunks, it is {job['status']}: re-sync it to fetch it all again"
        raise UsageError(message)
    return count


def resync(database: Database, job_id: int, decision: Decision, indexes: Sequence[int] = ()) -> int:
    """Run chunks of a job again whatever became of them, all that have ended or these; returns how many.

    What has not changed at the source changes nothing here. Raises UsageError when one of them is not there, or waits
    or runs anyway.
    """
    job = _job(database, job_id, planned=True)
    if beyond := [index for index in indexes if not 0 <= index < job["total_chunks"]]:
        message = f"sync job {job_id} has no chunk {beyond[0]}: it has {job['total_chunks']}, counted from 0"
        raise UsageError(message)
    count = _reopen(database, job, decision, ["completed", "failed", "cancelled"], list(indexes) or None)
    if not count:
        message = f"nothing of sync job {job_id} that was named has ended: its chunks wait or run already"
        raise UsageError(message)
    return count


def recover(
    database: Database, decision: Decision, *, silent_minutes: int | None = None, dead_run_ids: Sequence[str] = ()
) -> list[RecoveredChunk]:
    """Take chunks back from workers whose lease ran out, whose runs are dead, or that were silent for so long."""
    if silent_minutes is not None and silent_minutes < 1:
        message = f"{silent_minutes} minutes of silence: give 1 or more, who lives is heard three times a lease"
        raise UsageError(message)
    sql = "SELECT r.*, r.chunk_status::text AS status FROM recover_by_hand(%s::text[], %s, %s, %s, %s) AS r"
    parameters = (list(dead_run_ids), silent_minutes, decision.reason, decision.actor, decision.run_id)
    return [
        RecoveredChunk(row["chunk_id"], row["sync_job_id"], row["chunk_index"], row["status"], row["attempts"], None)
        for row in database.execute(sql, parameters)
    ]


def prioritize(database: Database, job_id: int, priority: int, decision: Decision) -> int:
    """Change how urgent an open job is, 30 (first) to 1 (last); returns how many of its chunks wait."""
    job = _job(database, job_id)
    _check_priority(priority)
    if job["status"] not in _OPEN:
        message = f"sync job {job_id} has ended, it is {job['status']}: ask for a new sync with this priority"
        raise UsageError(message)
    sql = "SELECT prioritize_sync_job(%s, %s, %s, %s, %s) AS n"
    parameters = (job["public_id"], priority, decision.reason, decision.actor, decision.run_id)
    return database.execute(sql, parameters)[0]["n"]


def archive(database: Database, job_id: int, decision: Decision) -> None:
    """Keep what is left of an ended job; raises UsageError while it is open."""
    job = _job(database, job_id)
    if job["status"] in _OPEN:
        message = f"sync job {job_id} has not ended, it is {job['status']}: cancel it first, or wait"
        raise UsageError(message)
    parameters = (job["public_id"], decision.reason, decision.actor, decision.run_id)
    database.execute("SELECT archive_sync_job(%s, %s, %s, %s)", parameters)


def _job(database: Database, job_id: int, *, planned: bool = False) -> Row:
    rows = database.execute("SELECT public_id, status, total_chunks FROM sync_jobs WHERE id = %s", (job_id,))
    if not rows:
        message = f"there is no sync job {job_id}: `./chunk-sync status` lists them"
        raise UsageError(message)
    if planned and rows[0]["status"] in _UNPLANNED:
        message = f"sync job {job_id} has no chunks yet, it is {rows[0]['status']}: wait for its plan"
        raise UsageError(message)
    if planned and not rows[0]["total_chunks"]:
        message = f"sync job {job_id} has no chunks, it is {rows[0]['status']}: ask for a new sync of its mailbox"
        raise UsageError(message)
    return rows[0]


def _reopen(
    database: Database, job: Row, decision: Decision, statuses: Sequence[str], indexes: Sequence[int] | None
) -> int:
    sql = "SELECT reopen_sync_job(%s, %s, %s, %s, %s::chunk_status[], %s::integer[]) AS n"
    parameters = (job["public_id"], decision.reason, decision.actor, decision.run_id, statuses, indexes)
    return database.execute(sql, parameters)[0]["n"]


def _check_priority(priority: int) -> None:
    if not LAST <= priority <= FIRST:
        message = f"priority goes from {LAST} (last) to {FIRST} (first): {priority} is outside"
        raise UsageError(message)


def _call(database: Database, sql: LiteralString, target: Target, decision: Decision) -> int:
    parameters = (target.scope.value, target.public_id, decision.reason, decision.actor, decision.run_id)
    return database.execute(sql, parameters)[0]["n"]


def _public_id(database: Database, sql: LiteralString, *parameters: object) -> str:
    rows = database.execute(sql, parameters)
    return str(rows[0]["public_id"]) if rows else ""
