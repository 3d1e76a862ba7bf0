"""pgmq: its SQL through psycopg, as its documentation shows it: read(vt, qty), then delete or archive.

The SQL is the one that the pgmq package for Python ships and installs. A read is a plain call in autocommit,
prepared by psycopg: the package's own client would add a pool around the same statements.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import psycopg
from pgmq.install import install_pgmq_from_sql
from wire import Wire, claim_times, main, timed, work_loop

_VISIBLE_AFTER = 60
_SLICE = 1000


def setup(wire: Wire) -> None:
    """Install pgmq's SQL and make a queue that notifies."""
    install_pgmq_from_sql(dsn=wire.dsn)
    with psycopg.connect(wire.dsn, autocommit=True) as conn:
        conn.execute("SELECT pgmq.create('jobs')")


def enqueue(wire: Wire) -> None:
    """Send batches of a thousand messages."""
    with psycopg.connect(wire.dsn, autocommit=True) as conn:
        started = time.perf_counter()
        for first in range(0, wire.job["jobs"], _SLICE):
            messages = [f'{{"number": {n}}}' for n in range(first, min(first + _SLICE, wire.job["jobs"]))]
            conn.execute("SELECT count(*) FROM pgmq.send_batch('jobs', %s::jsonb[])", (messages,))
        timed(wire, started)


def statements(
    wire: Wire, conn: psycopg.Connection
) -> tuple[Callable[[], Sequence[int]], Callable[[Sequence[int]], object]]:
    """Write the two halves of a worker."""
    batch = wire.options.get("batch") or wire.job["batch"]
    finish = f"SELECT pgmq.{wire.options.get('finish', 'delete')}('jobs', %s::bigint[])"

    def claim() -> Sequence[int]:
        found = conn.execute("SELECT msg_id, message FROM pgmq.read('jobs', %s, %s)", (_VISIBLE_AFTER, batch))
        return [row[0] for row in found.fetchall()]

    def complete(ids: Sequence[int]) -> object:
        return conn.execute(finish, (list(ids),)).fetchall()

    return claim, complete


def work(wire: Wire) -> None:
    """Read and delete until told to stop."""
    with psycopg.connect(wire.dsn, autocommit=True) as conn:
        work_loop(wire, *statements(wire, conn))


def claims(wire: Wire) -> list[float]:
    """Time reads."""
    with psycopg.connect(wire.dsn, autocommit=True) as conn:
        return claim_times(wire, *statements(wire, conn))


def wait(wire: Wire) -> None:
    """Wait for a notification, read, say when it came."""
    with psycopg.connect(wire.dsn, autocommit=True) as conn:
        conn.execute("SELECT pgmq.enable_notify_insert('jobs', 0)")
        conn.execute('LISTEN "pgmq.q_jobs.INSERT"')
        wire.ready()
        while not wire.stopped:
            for _ in conn.notifies(timeout=0.5, stop_after=1):
                pass
            found = conn.execute("SELECT msg_id, message FROM pgmq.read('jobs', %s, 1)", (_VISIBLE_AFTER,))
            for ident, message in found.fetchall():
                wire.say(got=message["number"], at=time.time())
                conn.execute("SELECT pgmq.delete('jobs', %s::bigint)", (ident,))


def send(wire: Wire) -> None:
    """Send a message at each word."""
    with psycopg.connect(wire.dsn, autocommit=True) as conn:
        wire.say(ready=True)
        number = 0
        while wire.word() == "go":
            conn.execute("SELECT pgmq.send('jobs', %s::jsonb)", (f'{{"number": {number}}}',))
            wire.say(sent=number, at=time.time())
            number += 1


main(setup=setup, enqueue=enqueue, work=work, claims=claims, wait=wait, send=send)
