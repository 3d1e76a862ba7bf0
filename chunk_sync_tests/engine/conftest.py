"""Fixtures of the engine's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from chunk_sync.store.database import Database
from chunk_sync_tests.engine.world import World


@pytest.fixture
def world(database: Database, tmp_path: Path) -> World:
    """A mailbox with 100 messages, chunks of 25."""
    made = World(database, tmp_path)
    made.mail.deliver(100)
    return made
