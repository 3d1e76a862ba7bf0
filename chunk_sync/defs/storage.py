"""Dagster's storage on PostgreSQL with connections that are kept, for the daemon, the code server and runs.

dagster-postgres keeps connections in the webserver only and opens a new one for each query elsewhere,
which is most of what an event costs. This asks every process for what the webserver asks for; the URL must
say `postgresql+psycopg2`.
"""

from typing import Self

from dagster._core.storage.config import PostgresStorageConfig
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage

_STATEMENT_TIMEOUT_MS = 60_000
# Short, so that after a restart of the server hardly anyone is handed a dead connection: Dagster's pools do
# not try a connection before they hand it out. A new one costs 10 ms.
RECYCLE_SECONDS = 2
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
                pool_recycle=RECYCLE_SECONDS,
                max_overflow=_EXTRA_CONNECTIONS,
            )
        _close_pools(storage)
        return storage


def _close_pools(storage: DagsterPostgresStorage) -> None:
    """Have the pools closed when an instance is done with its storage: Dagster, which keeps none, only lets go of it.

    The code server opens an instance at each tick, a Celery worker at each run. Of the three parts an instance disposes
    of two, the event log last.
    """
    last = storage.event_log_storage
    # There is no other way to the pools that were just made.
    engines = [vars(part)["_engine"] for part in (storage.run_storage, last, storage.schedule_storage)]
    let_go = last.dispose

    def dispose() -> None:
        let_go()
        for engine in engines:
            engine.dispose()

    vars(last)["dispose"] = dispose
