"""This code at work on a database that another version has used: what Dagster's runs do, without Dagster."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from chunk_sync.domain.chunks import ChunkOutcome
from chunk_sync.domain.partitions import job_keys
from chunk_sync.engine.connect import source_opener
from chunk_sync.engine.run_chunks import Parts
from chunk_sync.engine.verify import verify_mailbox
from chunk_sync.settings import Settings
from chunk_sync.store import plans, queue
from chunk_sync.store.database import Database
from chunk_sync.store.mailboxes import get_mailbox
from chunk_sync_tests.factory import move_clock
from chunk_sync_tests.releases import RELEASE_SETTINGS
from chunk_sync_tests.syncing import plan, run_due


class NewCode:
    """What this code's runs do, without Dagster."""

    def __init__(self, database: Database, home: Path) -> None:
        self.database = database
        settings = Settings.read(dict(RELEASE_SETTINGS, CHUNK_SYNC_HOME=str(home)))
        self.parts = Parts(database, settings, source_opener(settings))

    def run(self, name: str, keys: Sequence[str] = ()) -> list[ChunkOutcome]:
        """Run whatever is due, or the named partitions."""
        return run_due(self.parts, name, keys)

    def finish(self, *dead_run_ids: str) -> None:
        """Recover, plan, run what is due, and open dead letters again, as sensors and a person would."""
        queue.recover(self.database, dead_run_ids)
        for job_id, _, _ in plans.due_plans(self.database, limit=10, mark_seconds=60):
            plan(self.parts, job_id)
        move_clock(self.database, "1 minute")  # the retry is due
        self.run("new")
        dead = self.database.execute(
            "SELECT sync_job_id, chunk_index FROM chunk_processing_queue WHERE status = 'failed'"
        )
        for row in dead:
            self.run("by-hand", job_keys(row["sync_job_id"], [row["chunk_index"]]))

    def wrong(self, *mailboxes: str) -> list[str]:
        """List what is wrong: jobs that did not complete, lanes that lie, messages that did not land as they are."""
        jobs = self.database.execute("SELECT * FROM chunk_processing_status")
        found = [
            f"job {job['sync_job_id']}: {job}"
            for job in jobs
            if (job["overall_status"], job["completed_chunks"], job["emails_processed"])
            != ("completed", job["total_chunks"], job["emails_estimated"])
        ]
        found += [f"lane: {row}" for row in self.database.execute("SELECT * FROM lane_drift()")]
        for name in mailboxes:
            box = get_mailbox(self.database, name)
            verdicts = list(verify_mailbox(self.database, self.parts.settings, self.parts.open_mailbox, box))
            found += [f"{name}: {verdict}" for verdict in verdicts if not verdict.ok]
            assert sum(verdict.in_source for verdict in verdicts), name
        return found


def chunks_of(database: Database, mailbox: str) -> list[dict[str, object]]:
    """Read attempts and status of a mailbox's chunks, job by job."""
    return database.execute(
        "SELECT q.sync_job_id, q.attempts, q.status::text FROM chunk_processing_queue AS q"
        " JOIN mailboxes AS m ON m.id = q.mailbox_id WHERE m.name = %s ORDER BY q.sync_job_id, q.chunk_index",
        (mailbox,),
    )
