"""Dagster's own tables, where its API has no way, or one row at a time: the only place of ours that speaks of them.

What is said of them is in sql/queries/dagster, and a test asks each of a real instance: it fails when a release of
Dagster changes what is relied on. Connections are Dagster's own, which know in which schema its tables are.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.engine import Connection

from chunk_sync.store.database import query


def delete_keys(conn: Connection, name: str, keys: Sequence[str]) -> int:
    """Delete dynamic partitions of a definition, in one statement; returns how many there were."""
    return conn.exec_driver_sql(query("dagster/keys_delete"), {"name": name, "keys": list(keys)}).rowcount


def expired_runs(conn: Connection, name: str, before: datetime, limit: int) -> list[str]:
    """List runs that ended before a moment, the oldest first; without those that still give something its colour."""
    parameters = {"name": name, "before": before, "limit": limit}
    return [row[0] for row in conn.exec_driver_sql(query("dagster/runs_expired"), parameters)]


def delete_dead_events(conn: Connection, name: str, asset: str, before: datetime, limit: int) -> int:
    """Delete a batch of events of an asset's partitions that are gone; returns how many."""
    parameters = {"name": name, "asset": asset, "before": before, "limit": limit}
    return conn.exec_driver_sql(query("dagster/events_delete"), parameters).scalar_one()


def delete_orphans(conn: Connection, before: datetime) -> dict[str, int]:
    """Delete what is left of runs that are gone: results of checks, and backfills that are over."""
    checks = conn.exec_driver_sql(query("dagster/checks_delete"), {"before": before}).rowcount
    backfills = conn.exec_driver_sql(query("dagster/backfills_delete"), {"before": before}).scalar_one()
    return {"check_results": checks, "backfills": backfills}
