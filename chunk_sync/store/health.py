"""Rows for the health assets, and the history of what they found."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from psycopg.types.json import Jsonb

from chunk_sync.store.database import Database, Row


def queue_rows(database: Database) -> list[Row]:
    """Count chunks by tenant, mailbox and status, with what is due and since when (seconds)."""
    return database.rows("queue_health")


def attempt_rows(database: Database, hours: float) -> list[Row]:
    """Count the attempts of the last hours by status and category, with their milliseconds and messages."""
    return database.rows("attempts_recent", {"hours": hours})


def progress_rows(database: Database) -> list[Row]:
    """List the mailboxes with the progress of their open sync job, or of the last one."""
    return database.rows("mailbox_progress")


def error_rows(database: Database, hours: float) -> list[Row]:
    """Count the attempts of the last hours by hour, tenant, provider, status and category, from the roll-up."""
    return database.rows("error_hours", {"hours": hours})


def throughput_rows(database: Database, hours: float) -> list[Row]:
    """Sum what landed in the last hours by hour and provider, from the roll-up."""
    return database.rows("throughput_hours", {"hours": hours})


def retry_rows(database: Database, hours: float, limit: int) -> list[Row]:
    """List the last failed attempts with what the next attempt at the same chunk came to."""
    return database.rows("retries_recent", {"hours": hours, "limit": limit})


def recovery_rows(database: Database, hours: float, limit: int) -> list[Row]:
    """List the last attempts that ended with their worker, and what became of their chunks."""
    return database.rows("recoveries_recent", {"hours": hours, "limit": limit})


def alert_rows(database: Database) -> list[Row]:
    """List what is alarming now, critical things first."""
    return database.rows("alerts_now")


def worker_counts(database: Database) -> Row:
    """Count workers with a lease, the chunks they hold, and mailboxes that are paused or turned away."""
    return database.rows("workers_counted")[0]


def check_rows(database: Database) -> Row:
    """Count what must not be: see `sql/queries/health_checks`."""
    return database.rows("health_checks")[0]


def clock(database: Database) -> datetime:
    """Give the moment it is, by the database's clock."""
    return database.rows("now")[0]["now"]


def note_numbers(
    database: Database, asset: str, numbers: Mapping[str, float | str], tenant_id: int | None = None
) -> None:
    """Keep what an asset found, for trends; retention deletes it after its time."""
    database.rows("history_add", {"asset": asset, "tenant_id": tenant_id, "numbers": Jsonb(dict(numbers))})


def history(database: Database, asset: str, hours: float) -> list[Row]:
    """List what an asset found about the whole system in the last hours: at, numbers; the oldest first."""
    return database.rows("history_recent", {"asset": asset, "hours": hours})
