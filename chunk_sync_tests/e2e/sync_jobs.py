"""Sync jobs of whatever runs under test: reading one, and waiting for its end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeVar

from chunk_sync.store.database import Database
from chunk_sync.store.status import JobStatus, job_statuses

T = TypeVar("T")


class SyncJobs(ABC):
    """What has a database and can wait."""

    database: Database

    @abstractmethod
    def wait_for(self, look: Callable[[], T | None], seconds: float, what: str) -> T:
        """Look again and again until there is something; fails with what is known when time is over."""

    def job(self, job_id: int) -> JobStatus:
        """Read a sync job."""
        return job_statuses(self.database, job_ids=[job_id])[0]

    def wait_until_ended(self, job_id: int, seconds: float = 120) -> JobStatus:
        """Wait for a sync job to complete or fail."""

        def ended() -> JobStatus | None:
            status = self.job(job_id)
            return None if status.open else status

        return self.wait_for(ended, seconds, f"end of job {job_id}")
