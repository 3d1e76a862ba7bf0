"""Rows for the asset sync_costs, and the counters that outlive everything."""

from __future__ import annotations

from chunk_sync.store.database import Database, Row


def cost_rows(database: Database, days: int) -> list[Row]:
    """Sum up what syncing cost, by mailbox, provider and day (UTC) of the last days, today included."""
    return database.rows("cost_days", {"days": days})


def folder_rows(database: Database, limit: int) -> list[Row]:
    """List the slowest folders of the last 7 days."""
    return database.rows("cost_folders", {"limit": limit})


def hot_spot_rows(database: Database, limit: int) -> list[Row]:
    """List where most attempts failed in the last 7 days."""
    return database.rows("cost_errors", {"limit": limit})


def quota_rows(database: Database, limit: int) -> list[Row]:
    """List the mailboxes that have used most of what their provider allows (table `provider_quotas`)."""
    return database.rows("cost_quotas", {"limit": limit})
