"""Stopping and going on: cancel, pause and resume of a job, a mailbox or a tenant, audited with who and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import LiteralString

from chunk_sync.errors import UsageError
from chunk_sync.store.database import Database


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
        message = f"there is no {target.name}"
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


def _call(database: Database, sql: LiteralString, target: Target, decision: Decision) -> int:
    parameters = (target.scope.value, target.public_id, decision.reason, decision.actor, decision.run_id)
    return database.execute(sql, parameters)[0]["n"]


def _public_id(database: Database, sql: LiteralString, *parameters: object) -> str:
    rows = database.execute(sql, parameters)
    return str(rows[0]["public_id"]) if rows else ""
