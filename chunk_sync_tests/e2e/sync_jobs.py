"""Sync jobs of whatever runs under test: reading one, stopping one half-way, and waiting for its end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TypeVar

import psycopg

from chunk_sync.local.dsn import libpq_url
from chunk_sync.store.database import Database
from chunk_sync.store.status import JobStatus, job_statuses

T = TypeVar("T")
HALF_WAY = 5
"""Chunks that are done when a job is stopped half-way."""
_GATE = f"""
CREATE OR REPLACE FUNCTION test_gate() RETURNS trigger LANGUAGE plpgsql
AS 'BEGIN PERFORM pg_advisory_xact_lock_shared({HALF_WAY}); RETURN new; END';
CREATE OR REPLACE TRIGGER test_gate BEFORE UPDATE ON sync_jobs FOR EACH ROW
WHEN (new.completed_chunks > greatest(old.completed_chunks, {HALF_WAY})) EXECUTE FUNCTION test_gate();
"""
"""Whoever completes one chunk more waits as long as somebody has the lock: however late the test comes to look."""


class SyncJobs(ABC):
    """What has a database and can wait."""

    database: Database

    @abstractmethod
    def wait_for(self, look: Callable[[], T | None], seconds: float, what: str) -> T:
        """Look again and again until there is something; fails with what is known when time is over."""

    def job(self, job_id: int) -> JobStatus:
        """Read a sync job."""
        return job_statuses(self.database, job_ids=[job_id])[0]

    @contextmanager
    def stopped_half_way(self) -> Iterator[Callable[[int], None]]:
        """While inside, no job gets further than HALF_WAY chunks; gives what waits until a job has come so far."""
        with self.database.owner_transaction() as conn:
            conn.execute(_GATE.encode(), prepare=False)
        # Closed, it goes on; also when the server has been killed meanwhile.
        with closing(psycopg.connect(libpq_url(self.database.dsn), autocommit=True)) as gate:
            gate.execute("SELECT pg_advisory_lock(%s)", (HALF_WAY,))
            yield self._wait_half_way

    def _wait_half_way(self, job_id: int) -> None:
        self.wait_for(lambda: True if self.job(job_id).completed_chunks == HALF_WAY else None, 120, "progress")

    def wait_until_ended(self, job_id: int, seconds: float = 300) -> JobStatus:
        """Wait for a sync job to complete or fail."""

        def ended() -> JobStatus | None:
            status = self.job(job_id)
            return None if status.open else status

        return self.wait_for(ended, seconds, f"end of job {job_id}")
