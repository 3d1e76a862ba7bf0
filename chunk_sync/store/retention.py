"""Retention: what is past the keep of its row in retention_policies goes, batch by batch, each its own transaction.

The database decides what goes; open jobs and messages never do. It is the owner's business: the engine may not delete
from the audit log.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from chunk_sync.store.database import Database

BATCH = 5000


def delete_expired(database: Database, limit: int = BATCH) -> dict[str, int]:
    """Delete one batch, at most `limit` rows of each table; returns how many of each."""
    with database.owner_transaction() as conn:
        rows = conn.execute("SELECT what, deleted FROM delete_expired(%s)", (limit,)).fetchall()
    return {row["what"]: row["deleted"] for row in rows}


def run_retention(database: Database, limit: int = BATCH) -> dict[str, int]:
    """Delete batches until nothing is left that may go; returns how many rows of each table went."""
    total: Counter[str] = Counter()
    while True:
        batch = delete_expired(database, limit)
        total.update(batch)
        if not any(batch.values()):
            return dict(total)


def expired_before(database: Database, what: str) -> datetime | None:
    """Give the moment before which a thing is past its retention; None when it is kept for ever."""
    return database.rows("expired_before", {"what": what})[0]["moment"]


def hours_ago(database: Database, hours: float) -> datetime:
    """Give a moment in the past, by the database's clock."""
    return database.execute("SELECT clock() - %s * interval '1 hour' AS moment", (hours,))[0]["moment"]
