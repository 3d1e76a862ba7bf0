"""What a run leaves in Dagster's tables: rows and the bytes of their values, without indexes."""

from __future__ import annotations

import psycopg

from chunk_sync.local.dsn import libpq_url

_TRACES = """
SELECT 'event_logs ' || coalesce(dagster_event_type, '(a message)') AS name, count(*), sum(pg_column_size(e.*))
FROM event_logs AS e WHERE run_id = %(run)s GROUP BY 1
UNION ALL SELECT 'run_tags', count(*), coalesce(sum(pg_column_size(t.*)), 0) FROM run_tags AS t WHERE run_id = %(run)s
UNION ALL SELECT 'runs', count(*), coalesce(sum(pg_column_size(r.*)), 0) FROM runs AS r WHERE run_id = %(run)s
UNION ALL SELECT 'asset_event_tags', count(*), coalesce(sum(pg_column_size(t.*)), 0)
FROM asset_event_tags AS t WHERE event_id IN (SELECT id FROM event_logs WHERE run_id = %(run)s)
"""


def traces(dagster_dsn: str, run_id: str) -> dict[str, tuple[int, int]]:
    """Count a run's rows and their bytes, by table and kind of event."""
    with psycopg.connect(libpq_url(dagster_dsn)) as connection:
        found = connection.execute(_TRACES, {"run": run_id}).fetchall()
    return {name: (rows, int(size)) for name, rows, size in found if rows}


def sessions(dsn: str) -> int:
    """Count the connections that were ever opened to a database, this one left out."""
    with psycopg.connect(libpq_url(dsn)) as connection:
        row = connection.execute("SELECT sessions FROM pg_stat_database WHERE datname = current_database()").fetchone()
    assert row is not None
    return row[0]
