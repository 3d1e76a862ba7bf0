"""The oldest PostgreSQL that is supported, briefly; `./chunk-sync test --postgres 15` runs everything on it."""

from __future__ import annotations

import pytest

from chunk_sync.cli.testing import TOOLS
from chunk_sync.local.pg_binaries import OLDEST_MAJOR
from chunk_sync.local.postgres import EmbeddedPostgres
from chunk_sync.store.database import MINIMUM_VERSION, Database, check_server
from chunk_sync.store.migrations import check_schema, migrate
from chunk_sync_tests.factory import claim, complete, make_job, make_mailbox, open_worker
from chunk_sync_tests.postgres_plugin import scratch_folder


@pytest.mark.needs(f"postgresql-{OLDEST_MAJOR}")
def test_a_job_on_the_oldest_postgresql() -> None:
    """The schema is made, a job is planned, claimed and completed; the version is the one that we promise."""
    tool = TOOLS[f"postgresql-{OLDEST_MAJOR}"]
    with (
        scratch_folder() as folder,
        EmbeddedPostgres(folder / "postgres", pg_bin=tool.folder, test=True) as server,
        Database(server.url()) as database,
    ):
        assert OLDEST_MAJOR == check_server(database.dsn) // 10_000 == MINIMUM_VERSION // 10_000
        migrate(database)
        check_schema(database)
        job = make_job(database, make_mailbox(database), chunks=1)
        (chunk,) = claim(database, job, open_worker(database))
        assert "completed" == complete(database, chunk)
