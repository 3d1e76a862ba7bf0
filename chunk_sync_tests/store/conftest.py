"""Two tenants for the tests of who may see and change what, a queue for races, and migrations to be changed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from chunk_sync.local.dsn import libpq_url
from chunk_sync.store import migrations
from chunk_sync.store.database import Database, sql_folder
from chunk_sync_tests.store.queue_model import NOON, faults
from chunk_sync_tests.store.races import Queue
from chunk_sync_tests.two_tenants import World


@pytest.fixture
def world(database: Database, owner: Database) -> Iterator[World]:
    """Two tenants, ann and bob."""
    with psycopg.connect(libpq_url(database.dsn), autocommit=True) as connection:
        yield World(database, owner, connection)


@pytest.fixture
def queue(database: Database) -> Iterator[Queue]:
    """The queue of an empty database; nothing may be wrong with it at the end."""
    queue = Queue(database.dsn)
    yield queue
    try:
        assert [] == faults(queue.connect(NOON + timedelta(hours=1)))
        assert 0 == queue.one("SELECT sum(deadlocks) FROM pg_stat_database WHERE datname = current_database()")
    finally:
        queue.close()


@pytest.fixture
def own_sql(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of sql/ that a test may change."""
    copy = tmp_path / "sql"
    shutil.copytree(sql_folder(), copy)
    monkeypatch.setattr(migrations, "sql_folder", lambda: copy)
    return copy
