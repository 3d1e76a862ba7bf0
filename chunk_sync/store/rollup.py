"""The roll-up of attempts by hour: which hours are to be written, what was in them, and the writing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from time import monotonic

from psycopg import sql

from chunk_sync.store.database import Connection, Database, query

_HOUR = timedelta(hours=1)
HourRows = Sequence[Mapping[str, object]]


def roll_up_attempts(database: Database, compute: Callable[[bytes], HourRows], *, seconds: float) -> int:
    """Write the hours whose attempts may have changed, the oldest first; returns how many.

    `compute` makes rows of attempt_hours of the attempts of an hour (CSV, as `attempts_export` gives them). Each hour
    is a transaction of its own. What is not done within `seconds` is left for the next call.
    """
    started, done = monotonic(), 0
    after: datetime | None = None
    while done == 0 or monotonic() - started < seconds:
        with database.transaction() as conn:
            conn.execute(query("roll_up_lock"))
            row = conn.execute(query("attempts_rolled"), {"after": after}).fetchone()
            if row is None or row["since"] is None:
                break
            hour: datetime = row["since"]
            after = hour + _HOUR
            _write(conn, hour, compute(_export(conn, hour)))
        done += 1
    return done


def fold_hours(database: Database) -> int:
    """Add hours that are over to the totals that counters are made of; returns how many rows they were."""
    (row,) = database.execute("SELECT fold_attempt_hours() AS count")
    return row["count"]


def _export(conn: Connection, hour: datetime) -> bytes:
    conn.execute(query("attempts_span"), {"since": hour.isoformat(), "until": (hour + _HOUR).isoformat()})
    statement = sql.SQL("COPY ({}) TO STDOUT (FORMAT csv, HEADER)").format(sql.SQL(query("attempts_export")))
    with conn.cursor() as cursor, cursor.copy(statement) as copy:
        return b"".join(bytes(block) for block in copy)


def _write(conn: Connection, hour: datetime, rows: HourRows) -> None:
    conn.execute(query("attempt_hours_delete"), {"since": hour, "until": hour + _HOUR})
    if rows:
        with conn.cursor() as cursor:
            cursor.executemany(query("attempt_hour_insert"), rows)
