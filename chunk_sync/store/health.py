"""Rows for the health assets."""

from __future__ import annotations

from chunk_sync.store.database import Database, Row


def queue_rows(database: Database) -> list[Row]:
    """Count chunks by tenant, mailbox and status, with what is due and since when (seconds)."""
    return database.rows("queue_health")


def attempt_rows(database: Database, hours: float) -> list[Row]:
    """List the attempts of the last hours, the oldest first."""
    return database.rows("attempts_recent", {"hours": hours})


def progress_rows(database: Database) -> list[Row]:
    """List the mailboxes with the progress of their open sync job, or of the last one."""
    return database.rows("mailbox_progress")
