"""A process that syncs a mailbox as a run does, with all that a run imports, and prints the most memory it ever had."""

from __future__ import annotations

import sys
from pathlib import Path

import chunk_sync.definitions  # noqa: F401 - a run's process has Dagster in it
from chunk_sync.engine.connect import source_opener
from chunk_sync.engine.memory import peak_memory
from chunk_sync.engine.run_chunks import Parts
from chunk_sync.settings import Settings
from chunk_sync.store.database import Database
from chunk_sync_tests.syncing import sync_once


def main(dsn: str, home: str, mailbox: str) -> None:
    """Request, plan and run until nothing is due."""
    settings = Settings.read({"CHUNK_SYNC_HOME": home})
    with Database(dsn) as database:
        parts = Parts(database, settings, source_opener(settings))
        sync_once(parts, mailbox)
    sys.stdout.write(f"{peak_memory()}\n")


if __name__ == "__main__":
    main(*map(str, (sys.argv[1], Path(sys.argv[2]), sys.argv[3])))
