"""A mailbox in memory, its database, and the steps of a sync: for tests of the engine."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from chunk_sync.domain.chunks import ChunkOutcome
from chunk_sync.engine.plan_job import PlanOutcome
from chunk_sync.engine.run_chunks import Parts
from chunk_sync.engine.verify import FolderVerdict, verify_mailbox
from chunk_sync.settings import Settings
from chunk_sync.store.database import Database
from chunk_sync.store.mailboxes import Mailbox, request_sync
from chunk_sync_tests.factory import make_mailbox
from chunk_sync_tests.fake_source import FakeMailbox
from chunk_sync_tests.syncing import plan, run_due


class World:
    """A mailbox, its database, and the steps of a sync."""

    def __init__(self, database: Database, home: Path) -> None:
        self.database = database
        self.mail = FakeMailbox()
        self.box: Mailbox = make_mailbox(database)
        settings = Settings.read({"CHUNK_SYNC_HOME": str(home), "CHUNK_SYNC_CHUNK_MESSAGES": "25"})
        self.parts = Parts(database, settings, self.mail.open)

    def configure(self, **settings: object) -> None:
        """Change settings."""
        changed = dataclasses.replace(self.parts.settings, **settings)  # type: ignore[arg-type]
        self.parts = dataclasses.replace(self.parts, settings=changed)

    def request(self, **wishes: object) -> int:
        """Ask for a sync; returns the job."""
        return request_sync(self.database, self.box.name, **wishes).job_id  # type: ignore[arg-type]

    def plan(self, job_id: int) -> PlanOutcome | None:
        """Plan a job as a plan run does."""
        return plan(self.parts, job_id)

    def run(self, run_id: str = "run", keys: list[str] | None = None) -> list[ChunkOutcome]:
        """Run whatever is due, or the named partitions."""
        return run_due(self.parts, run_id, keys or [])

    def sync(self, **wishes: object) -> int:
        """Request, plan and run; returns the job."""
        job_id = self.request(**wishes)
        self.plan(job_id)
        self.run()
        return job_id

    def verdict(self) -> FolderVerdict:
        """Verify the inbox."""
        return next(iter(verify_mailbox(self.database, self.parts.settings, self.mail.open, self.box)))
