"""Dagster's storage on PostgreSQL with connections that are kept, for the daemon, the code server and runs.

dagster-postgres keeps connections in the webserver only and opens a new one for each query elsewhere,
which is most of what an event costs. This asks every process for what the webserver asks for; the URL must
say `postgresql+psycopg2`.
"""

from collections.abc import Sequence
from typing import Any, Self

from dagster._core.storage.config import PostgresStorageConfig
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage

from chunk_sync.store.pools import try_connections_first

_STATEMENT_TIMEOUT_MS = 60_000
_RECYCLE_SECONDS = 600
# Threads of one process beyond this many wait for a connection; 200 is what the embedded server allows.
_EXTRA_CONNECTIONS = 20


class PooledPostgresStorage(DagsterPostgresStorage):
    """Named in dagster.yaml under `storage: custom:`, with the same configuration as `storage: postgres:`."""

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: PostgresStorageConfig) -> Self:
        """Build the storage from dagster.yaml, its three parts with pools."""
        url = config_value.get("postgres_url", "")
        storage = cls(
            postgres_url=url,
            should_autocreate_tables=config_value.get("should_autocreate_tables", True),
            inst_data=inst_data,
        )
        for part in (storage.run_storage, storage.event_log_storage, storage.schedule_storage):
            part.optimize_for_webserver(
                statement_timeout=_STATEMENT_TIMEOUT_MS,
                pool_recycle=_RECYCLE_SECONDS,
                max_overflow=_EXTRA_CONNECTIONS,
            )
        # There is no other way to the pools that were just made.
        parts = (storage.run_storage, storage.event_log_storage, storage.schedule_storage)
        engines = [vars(part)["_engine"] for part in parts]
        for engine in engines:
            try_connections_first(engine)
        _close_pools(storage, engines)
        return storage


def _close_pools(storage: DagsterPostgresStorage, engines: Sequence[Any]) -> None:
    """Have the pools closed when an instance is done with its storage: Dagster, which keeps none, only lets go of it.

    The code server opens an instance at each tick, a Celery worker at each run. Of the three parts an instance disposes
    of two, the event log last.
    """
    last = storage.event_log_storage
    let_go = last.dispose

    def dispose() -> None:
        let_go()
        for engine in engines:
            engine.dispose()

    vars(last)["dispose"] = dispose
