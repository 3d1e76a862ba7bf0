"""What ops and sensors work with. Nothing is opened before it is used: loading touches no database."""

import functools

import dagster as dg

from chunk_sync.engine.connect import source_opener
from chunk_sync.engine.run_chunks import Parts
from chunk_sync.errors import UsageError
from chunk_sync.settings import Settings
from chunk_sync.store.database import Database


@functools.cache
def _database(dsn: str) -> Database:
    """One pool a process, whatever the number of ticks and ops."""
    return Database(dsn, application="chunk_sync dagster")


class ChunkSync(dg.ConfigurableResource[None]):
    """The installation: settings from the environment, its database, the way to its mailboxes."""

    def settings(self) -> Settings:
        """Read the environment."""
        return Settings.read()

    def database(self) -> Database:
        """Give the pool of this process."""
        dsn = self.settings().dsn
        if dsn is None:
            message = (
                'CHUNK_SYNC_DSN is not set: start Dagster with `./chunk-sync up`, or eval "$(./chunk-sync env)" first'
            )
            raise UsageError(message)
        return _database(dsn)

    def parts(self) -> Parts:
        """Give what a run of chunks works with."""
        settings = self.settings()
        return Parts(self.database(), settings, source_opener(settings))
