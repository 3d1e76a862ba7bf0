"""Dagster's tables as weeks of runs leave them: one real run over 200 chunks, copied under other names."""

from __future__ import annotations

from contextlib import AbstractContextManager

import dagster as dg
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from sqlalchemy.engine import Connection

RUN_CHUNKS = 200
_RUNS_A_STATEMENT = 100
# A key of the run that is copied is jNNNNNN-cNNNNNN: in a copy its job's number is another one.
_RUNS = """
    INSERT INTO runs (run_id, snapshot_id, pipeline_name, mode, status, run_body, partition, partition_set,
        create_timestamp, update_timestamp, start_time, end_time)
    SELECT n.id, r.snapshot_id, r.pipeline_name, r.mode, r.status,
        replace(replace(r.run_body, r.run_id, n.id), %(job)s, n.job), r.partition, r.partition_set,
        r.create_timestamp - n.age, r.update_timestamp - n.age, r.start_time - extract(EPOCH FROM n.age),
        r.end_time - extract(EPOCH FROM n.age)
    FROM runs AS r CROSS JOIN numbered AS n WHERE r.run_id = %(run)s
"""
_TAGS = """
    INSERT INTO run_tags (run_id, key, value)
    SELECT n.id, t.key, replace(t.value, %(job)s, n.job)
    FROM run_tags AS t CROSS JOIN numbered AS n WHERE t.run_id = %(run)s
"""
_EVENTS = """
    INSERT INTO event_logs (run_id, event, dagster_event_type, "timestamp", step_key, asset_key, partition)
    SELECT n.id, replace(replace(e.event, %(run)s, n.id), %(job)s, n.job), e.dagster_event_type,
        e."timestamp" - n.age, e.step_key, e.asset_key, replace(e.partition, %(job)s, n.job)
    FROM event_logs AS e CROSS JOIN numbered AS n WHERE e.run_id = %(run)s ORDER BY n.job, e.id
"""
_NUMBERED = """
    CREATE TEMPORARY TABLE numbered ON COMMIT PRESERVE ROWS AS
    SELECT gen_random_uuid()::text AS id, 'j' || lpad((%(first)s + n)::text, 6, '0') AS job,
        (%(total)s - n - %(done)s) * (%(days)s * interval '1 day' / %(total)s) AS age
    FROM generate_series(0, %(count)s - 1) AS n
"""


def copy_run(instance: dg.DagsterInstance, run_id: str, job: str, *, first_job: int, runs: int, days: int) -> None:
    """Copy a run so many times, spread over so many days: each over the keys of a job of its own, from `first_job`.

    `job` is how the keys of the run begin.
    """
    with tables(instance) as conn:
        for done in range(0, runs, _RUNS_A_STATEMENT):
            count = min(_RUNS_A_STATEMENT, runs - done)
            numbers = {"first": first_job + done, "total": runs, "done": done, "days": days, "count": count}
            conn.exec_driver_sql(_NUMBERED, numbers)
            for statement in (_RUNS, _TAGS, _EVENTS):
                conn.exec_driver_sql(statement, {"run": run_id, "job": job})
            conn.exec_driver_sql("DROP TABLE numbered")
        conn.exec_driver_sql("ANALYZE")


def tables(instance: dg.DagsterInstance) -> AbstractContextManager[Connection]:
    """Open a connection to Dagster's tables."""
    storage = instance.event_log_storage
    assert isinstance(storage, SqlEventLogStorage)
    return storage.index_connection()


def megabytes(instance: dg.DagsterInstance) -> float:
    """Measure Dagster's database."""
    with tables(instance) as conn:
        return conn.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one() / 2**20
