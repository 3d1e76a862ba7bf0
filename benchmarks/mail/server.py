"""The PostgreSQL of the runs without Dagster: as `./chunk-sync up` starts it, durable, in the work folder.

The same disk takes mbsync's Maildir. Nothing is tuned for the benchmark: checkpoints come when they come.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from benchmarks.queue.server import Server
from chunk_sync.local.pg_cluster import SUPERUSER
from chunk_sync.local.postgres import EmbeddedPostgres

_STATEMENTS = "pg_stat_statements"


@contextmanager
def running(work: Path, *, statements: bool = False) -> Iterator[Server]:
    """Start a server with an empty cluster; with `statements` it keeps count of what each statement costs."""
    folder = work / "database"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    folder.chmod(0o711)  # PostgreSQL's user walks through it when we are root
    try:
        with EmbeddedPostgres(folder / "postgres") as postgres:
            if statements:
                _count_statements(postgres)
            with psycopg.connect(postgres.url("postgres", role=SUPERUSER), autocommit=True) as admin:
                if statements:
                    admin.execute(sql.SQL("CREATE EXTENSION {}").format(sql.Identifier(_STATEMENTS)))
                yield Server(postgres, admin, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _count_statements(postgres: EmbeddedPostgres) -> None:
    with psycopg.connect(postgres.url("postgres", role=SUPERUSER), autocommit=True) as admin:
        admin.execute(f"ALTER SYSTEM SET shared_preload_libraries = '{_STATEMENTS}'")
        admin.execute(f"ALTER SYSTEM SET {_STATEMENTS}.track = 'all'")
    postgres.stop()
    while not postgres.revive():
        time.sleep(0.1)


def pid_of(postgres: EmbeddedPostgres) -> int:
    """Find the server's first process."""
    return int((postgres.data / "postmaster.pid").read_text().splitlines()[0])
