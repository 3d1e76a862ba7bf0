"""Numbers for Prometheus, read so that whoever asks often cannot hurt the database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import psycopg

from chunk_sync.store.database import Connection, Database, Row, query

PATIENCE_SECONDS = 5
"""How long one statement that only looks may take; the database breaks it off then."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A row of the view chunk_sync_metrics; `kind` is counter or gauge."""

    name: str
    kind: str
    help: str
    labels: Mapping[str, str]
    value: float


def read_samples(database: Database) -> list[Sample]:
    """Read all samples; raises DATABASE_ERRORS, also when it takes too long.

    What is alarming is looked for among all chunks of open jobs: those samples are left out when that takes too long.
    """
    with database.transaction() as conn:
        hurry(conn)
        rows = conn.execute(query("metrics")).fetchall()
        rows += in_time(conn, "metrics_alerts") or []
    return [Sample(**row) for row in rows]


def in_time(conn: Connection, name: str, parameters: Mapping[str, object] | None = None) -> list[Row] | None:
    """Run a named query inside a transaction that goes on; None when it was broken off."""
    try:
        with conn.transaction():
            return conn.execute(query(name), parameters or {}).fetchall()
    except psycopg.errors.QueryCanceled:
        return None


def hurry(conn: Connection) -> None:
    """Have statements of this transaction broken off after PATIENCE_SECONDS, and let it write nothing."""
    conn.execute("SET TRANSACTION READ ONLY")
    conn.execute("SELECT set_config('statement_timeout', %s, true)", (f"{PATIENCE_SECONDS}s",))
