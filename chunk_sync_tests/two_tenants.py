"""Two tenants with rows of each in every table that knows tenants, and a connection that can act as anybody."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

from chunk_sync.domain.chunks import ClaimedChunk, LandedCounts
from chunk_sync.store.database import Database
from chunk_sync.store.mailboxes import add_mailbox, request_sync
from chunk_sync.store.message_rows import AttachmentRow, LocationRow, MessageRow
from chunk_sync.store.messages import AttemptFigures, Page, land_chunk
from chunk_sync.store.search import enable_search
from chunk_sync.store.threads import thread_unthreaded
from chunk_sync_tests.factory import PlannedJob, claim, complete, make_job, open_worker

Connection = psycopg.Connection[Any]

REFUSALS = (
    psycopg.errors.InsufficientPrivilege,
    psycopg.errors.ObjectNotInPrerequisiteState,  # cannot insert into a view
    psycopg.errors.WrongObjectType,  # a view is no table to be truncated
)
SECRET = "env:SECRET_OF_"


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant with a job: a chunk landed, one is a dead letter, one is running; and a job that waits for a plan."""

    id: int
    name: str
    public_id: str
    mailbox: str
    job: PlannedJob
    job_public_id: str
    archived_public_id: str
    chunk_public_id: str
    unplanned_id: int


def make_tenant(database: Database, owner: Database, name: str) -> Tenant:
    """Make a tenant; a table that this leaves empty is told by `test_the_filler_knows_every_table`."""
    mailbox = add_mailbox(
        database,
        name=f"box of {name}",
        address=f"maildir:/home/{name}",
        provider="maildir",
        credential=SECRET + name.upper(),
        tenant=name,
    )
    ended = make_job(database, mailbox, chunks=1)
    idle = open_worker(database, f"idle worker of {name}")
    complete(database, claim(database, ended, idle)[0])
    archived = _public_id(database, ended.id)
    database.execute("SELECT archive_sync_job(%s::uuid, %s)", (archived, f"{name} asked for it"))
    job = make_job(database, mailbox, chunks=5)
    landed, dead, _ = claim(database, job, open_worker(database, f"worker of {name}"), limit=3)
    _land(database, landed, name)
    thread_unthreaded(database)
    database.execute(
        "SELECT fail_chunk(%s, %s, 'permission', %s)", (dead.chunk_id, dead.lease_token, f"{name} has no right")
    )
    tenant_id = mailbox.tenant_id
    database.execute(
        "INSERT INTO dispatches (tenant_id, mailbox_id, sync_job_id, first_index, last_index, expires_at)"
        " VALUES (%s, %s, %s, 0, 4, clock() + interval '1 day')",
        (tenant_id, mailbox.id, job.id),
    )
    owner.execute(
        "INSERT INTO retry_policies (tenant_id, category, kind, retryable) VALUES (%s, 'network', 'none', false)",
        (tenant_id,),
    )
    owner.execute(
        "INSERT INTO provider_quotas SELECT provider, 'requests', '1 day', 1 FROM provider_lanes ON CONFLICT DO NOTHING"
    )
    _alarm(database, tenant_id, name)
    _foresee(database, job, name)
    _look_at_health(database, job, name)
    database.execute("INSERT INTO attempt_totals VALUES (%s, 'success', NULL, 1, 1, 1, 1, 1, 'epoch')", (tenant_id,))
    found = database.execute("SELECT public_id FROM tenants WHERE id = %s", (tenant_id,))[0]
    chunk = database.execute("SELECT public_id FROM sync_chunks WHERE id = %s", (landed.chunk_id,))[0]
    return Tenant(
        id=tenant_id,
        name=name,
        public_id=str(found["public_id"]),
        mailbox=mailbox.name,
        job=job,
        job_public_id=_public_id(database, job.id),
        archived_public_id=archived,
        chunk_public_id=str(chunk["public_id"]),
        unplanned_id=request_sync(database, mailbox.name, tenant=name, sync_type="manual").job_id,
    )


def _foresee(database: Database, job: PlannedJob, name: str) -> None:
    """Look at a job once, and say when it will be over."""
    look = {"job": job.id, "tenant": job.mailbox.tenant_id, "mailbox": job.mailbox.id, "name": name}
    database.execute(
        "INSERT INTO progress_marks (sync_job_id, tenant_id, begun_at, sampled_at, turned_away_until)"
        " VALUES (%(job)s, %(tenant)s, clock(), clock(), 'epoch')",
        look,
    )
    database.execute(
        "INSERT INTO progress_samples VALUES (%(job)s, %(tenant)s, clock(), 0, 1, 0, 1, 0, 1, 0, 'epoch', 0, 0, false)",
        look,
    )
    database.execute(
        "INSERT INTO forecasts (kind, tenant_id, mailbox_id, sync_job_id, landed, planned, low_at, expected_at,"
        " high_at, rate, spread, model, why) VALUES ('job', %(tenant)s, %(mailbox)s, %(job)s, 0, 1, clock(), clock(),"
        " clock(), 1, 1, 'x', %(name)s)",
        look,
    )


def _look_at_health(database: Database, job: PlannedJob, name: str) -> None:
    """An hour of attempts, what an asset found, and a promise that stands somehow."""
    look = {"tenant": job.mailbox.tenant_id, "mailbox": job.mailbox.id, "name": name}
    database.execute(
        "INSERT INTO attempt_hours VALUES (date_trunc('hour', clock()), %(tenant)s, %(mailbox)s, %(name)s, 'success',"
        " NULL, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)",
        look,
    )
    database.execute("INSERT INTO health_history (asset, tenant_id, numbers) VALUES (%(name)s, %(tenant)s, '{}')", look)
    database.execute("INSERT INTO tenant_slas (tenant_id, failure_budget) VALUES (%(tenant)s, 0.01)", look)
    database.execute(
        "INSERT INTO sla_states (tenant_id, objective, mailbox_id, state, message)"
        " VALUES (%(tenant)s, 'first_sync', %(mailbox)s, 'kept', %(name)s)",
        look,
    )


def _alarm(database: Database, tenant_id: int, name: str) -> None:
    """Open an alert, tell a route of it, and silence another one."""
    database.execute(
        "WITH r AS (INSERT INTO alert_routes (tenant_id, name, target) VALUES (%(id)s, %(name)s, 'env:X')"
        " RETURNING id),"
        " a AS (INSERT INTO alerts (signal, tenant_id, level, value, message, acknowledged_at, acknowledged_by)"
        " VALUES ('dead_letters', %(id)s, 'warn', 1, %(name)s, clock(), %(name)s) RETURNING id),"
        " s AS (INSERT INTO alert_silences (tenant_id, ends_at, created_by, reason)"
        " VALUES (%(id)s, clock() + interval '1 day', %(name)s, %(name)s))"
        " INSERT INTO alert_deliveries (alert_id, tenant_id, route_id, route, kind, level, status, last_error)"
        " SELECT a.id, %(id)s, r.id, %(name)s, 'opened', 'warn', 'waiting', %(name)s FROM a, r",
        {"id": tenant_id, "name": f"a route of {name}"},
    )


def _land(database: Database, chunk: ClaimedChunk, name: str) -> None:
    """Land a message with an attachment, and quarantine one that is too large."""
    raw = f"a secret of {name}".encode()
    sha256 = hashlib.sha256(raw).digest()
    message = MessageRow(
        raw_sha256=sha256,
        size=len(raw),
        codec="none",
        data=raw,
        message_id=f"<1@{name}.example>",
        in_reply_to=None,
        reference_ids=[],
        subject=f"a secret of {name}",
        from_name=name,
        from_address=f"{name}@{name}.example",
        to_addresses=[],
        cc_addresses=[],
        bcc_addresses=[],
        direction="incoming",
        sent_at=None,
        received_at=None,
        snippet="",
        parse_status="ok",
        defects=[],
        headers=[],
        body_text=f"a secret of {name}",
        body_html=None,
        attachments=[AttachmentRow("2", f"{name}.pdf", "application/pdf", None, 3, b"\1" * 32, is_inline=False)],
    )
    places = [LocationRow(1, sha256, len(raw), None, [], None), LocationRow(2, None, 10**9, None, [], None)]
    page = Page({sha256: message}, places, {})
    land_chunk(database, chunk, page, LandedCounts(), (), lambda: AttemptFigures(5, None, {}))


def _public_id(database: Database, job_id: int) -> str:
    return str(database.execute("SELECT public_id FROM sync_jobs WHERE id = %s", (job_id,))[0]["public_id"])


class World:
    """A database with two tenants, and one connection of its owner, which can act as anybody."""

    def __init__(self, database: Database, owner: Database, connection: Connection) -> None:
        self.database = database
        self.owner = owner
        self.connection = connection
        list(enable_search(database))
        self.ann = make_tenant(database, owner, "ann")
        self.bob = make_tenant(database, owner, "bob")
        shared = open_worker(database, "worker of both")
        for tenant in (self.ann, self.bob):
            claim(database, tenant.job, shared)

    @contextmanager
    def acting(self, role: str | None, tenant: Tenant | None = None) -> Iterator[Connection]:
        """A transaction that comes to nothing, as a role (None: the owner) and for a tenant."""
        with self.connection.transaction(force_rollback=True):
            act(self.connection, role, tenant)
            yield self.connection

    def refuses(self, statement: str) -> bool:
        """Whether the session may not do this, whatever it would do."""
        try:
            with self.connection.transaction(force_rollback=True):
                self.connection.execute(statement.encode())
        except REFUSALS:
            return True
        return False


def act(connection: Connection, role: str | None, tenant: Tenant | None = None) -> None:
    """Act as a role and for a tenant until the transaction ends."""
    connection.execute(f"SET LOCAL ROLE {role or 'NONE'}".encode())
    connection.execute("SELECT set_config('app.tenant_id', %s, true)", (str(tenant.id) if tenant else "",))


def relations(connection: Connection, *kinds: str) -> list[str]:
    """Name everything of these kinds in the schema."""
    rows = connection.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'chunk_sync'::regnamespace AND relkind = ANY (%s)"
        " ORDER BY relname",
        ([*kinds],),
    )
    return [row[0] for row in rows]


def columns(connection: Connection, relation: str, role: str, right: str = "SELECT") -> list[str]:
    """Name the columns that a role may read or change."""
    rows = connection.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped"
        " AND has_column_privilege(%s, attrelid, attnum, %s) ORDER BY attnum",
        (f"chunk_sync.{relation}", role, right),
    )
    return [row[0] for row in rows]
