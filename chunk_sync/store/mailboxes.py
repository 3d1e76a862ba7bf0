"""Mailboxes and sync requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import psycopg

from chunk_sync.errors import UsageError
from chunk_sync.store.database import Connection, Database, Row, query


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A mailbox as it is stored: `address` is a URL without a password, `credential` says where that is."""

    id: int
    tenant_id: int
    tenant: str
    name: str
    address: str
    provider: str
    credential: str | None
    folders: tuple[str, ...] | None
    connection_limit: int
    sync_every: timedelta | None = None


@dataclass(frozen=True, slots=True)
class SyncRequest:
    """A sync that was asked for."""

    job_id: int
    public_id: str
    sync_type: str
    priority: int


def add_mailbox(
    database: Database,
    *,
    name: str,
    address: str,
    provider: str,
    credential: str | None,
    folders: tuple[str, ...] | None = None,
    tenant: str = "default",
    sync_every: timedelta | None = None,
) -> Mailbox:
    """Store a new mailbox; raises UsageError when the tenant has one of that name.

    With `sync_every` it is synced again so long after each request for it, at least a minute.
    """
    parameters = {
        "tenant": tenant,
        "name": name,
        "address": address,
        "provider": provider,
        "credential": credential,
        "folders": list(folders) if folders else None,
        "sync_every": sync_every,
    }
    with _long_enough():
        row = database.row("mailbox_add", parameters)
    if row is None:
        message = f"there is a mailbox {name!r} already: choose another name with --name"
        raise UsageError(message)
    return _mailbox(_list(database, mailbox_id=row["id"])[0])


def list_mailboxes(database: Database, tenant: str | None = None) -> list[Mailbox]:
    """List the mailboxes of a tenant, or all."""
    return [_mailbox(row) for row in _list(database, tenant=tenant)]


def get_mailbox(database: Database, name: str, tenant: str = "default") -> Mailbox:
    """Find a mailbox by its name; raises UsageError that lists the names there are."""
    rows = _list(database, tenant=tenant, name=name)
    if not rows:
        names = ", ".join(box.name for box in list_mailboxes(database, tenant))
        known = f"there are: {names}" if names else "add one with `./chunk-sync mailbox add`"
        message = f"no mailbox {name!r}; {known}"
        raise UsageError(message)
    return _mailbox(rows[0])


def mailbox_by_id(database: Database, mailbox_id: int) -> Mailbox:
    """Find a mailbox by its id, which a chunk or a job gave."""
    return _mailbox(_list(database, mailbox_id=mailbox_id)[0])


def request_sync(
    database: Database,
    mailbox: str,
    *,
    tenant: str = "default",
    sync_type: str | None = None,
    sync_from: datetime | None = None,
    sync_to: datetime | None = None,
    priority: int | None = None,
    requested_by: str = "cli",
    also: Callable[[Connection, SyncRequest], object] | None = None,
) -> SyncRequest:
    """Ask for a sync of a mailbox; raises UsageError when the request makes no sense.

    Without a type: incremental once a whole first sync was completed, initial before. `also` is done in the same
    transaction.
    """
    get_mailbox(database, mailbox, tenant)
    parameters = {
        "mailbox": mailbox,
        "tenant": tenant,
        "sync_type": sync_type,
        "sync_from": sync_from,
        "sync_to": sync_to,
        "priority": priority,
        "requested_by": requested_by,
    }
    try:
        with database.transaction() as conn:
            asked = insert_request(conn, parameters)
            if also:
                also(conn, asked)
            return asked
    except psycopg.errors.CheckViolation as error:
        message = "priority goes from 1 (last) to 30 (first), and --since must lie before --until"
        raise UsageError(message) from error


def request_due_syncs(database: Database, requested_by: str) -> int:
    """Ask for a sync of every mailbox whose interval is over; returns of how many."""
    return len(database.execute("SELECT mailbox_id FROM request_due_syncs(p_requested_by => %s)", (requested_by,)))


def set_sync_every(database: Database, mailbox: Mailbox, every: timedelta | None) -> None:
    """Have a mailbox synced again so long after each request for it (at least a minute); None: only when asked."""
    with _long_enough():
        database.execute("UPDATE mailboxes SET sync_every = %s WHERE id = %s", (every, mailbox.id))


def insert_request(conn: Connection, parameters: Mapping[str, object]) -> SyncRequest:
    """Ask for a sync in a transaction of the caller's; `parameters` are those of sql/queries/job_request."""
    requested = conn.execute(query("job_request"), parameters).fetchone()
    assert requested is not None  # noqa: S101 - a function call
    public_id = requested["public_id"]
    row = conn.execute(
        "SELECT id, sync_type::text, priority FROM sync_jobs WHERE public_id = %s", (public_id,)
    ).fetchone()
    assert row is not None  # noqa: S101 - inserted in this transaction
    return SyncRequest(row["id"], str(public_id), row["sync_type"], row["priority"])


@contextmanager
def _long_enough() -> Iterator[None]:
    try:
        yield
    except psycopg.errors.CheckViolation as error:
        if error.diag.constraint_name != "mailboxes_sync_every_check":
            raise
        message = "a mailbox can be synced once a minute at most: give a longer interval, such as 15m"
        raise UsageError(message) from error


def _list(
    database: Database, *, tenant: str | None = None, name: str | None = None, mailbox_id: int | None = None
) -> list[Row]:
    return database.rows("mailbox_list", {"tenant": tenant, "name": name, "id": mailbox_id})


def _mailbox(row: Row) -> Mailbox:
    return Mailbox(
        id=row["id"],
        tenant_id=row["tenant_id"],
        tenant=row["tenant"],
        name=row["name"],
        address=row["address"],
        provider=row["provider"],
        credential=row["credential"],
        folders=tuple(row["folders"]) if row["folders"] else None,
        connection_limit=row["connection_limit"],
        sync_every=row["sync_every"],
    )
