"""Two tenants for the tests of who may see and change what."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from chunk_sync.local.dsn import libpq_url
from chunk_sync.store.database import Database
from chunk_sync_tests.two_tenants import World


@pytest.fixture
def world(database: Database, owner: Database) -> Iterator[World]:
    """Two tenants, ann and bob."""
    with psycopg.connect(libpq_url(database.dsn), autocommit=True) as connection:
        yield World(database, owner, connection)
