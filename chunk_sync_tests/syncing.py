"""The two steps of a sync as Dagster's runs do them, without Dagster."""

from __future__ import annotations

from collections.abc import Sequence

from chunk_sync.domain.chunks import ChunkOutcome
from chunk_sync.engine.plan_job import PlanOutcome, plan_job
from chunk_sync.engine.range_run import RunRequest, start_run
from chunk_sync.engine.run_chunks import Parts
from chunk_sync.engine.worker import Worker
from chunk_sync.store.mailboxes import request_sync


def plan(parts: Parts, job_id: int) -> PlanOutcome | None:
    """Plan a job as a plan run does."""
    with Worker(parts.database, f"plan-{job_id}", 60) as worker:
        return plan_job(parts.database, parts.settings, parts.open_mailbox, worker, job_id)


def run_due(parts: Parts, run_id: str = "run", keys: Sequence[str] = ()) -> list[ChunkOutcome]:
    """Run whatever is due, or the named partitions."""
    run = start_run(parts, RunRequest(run_id, keys))
    try:
        return run.process()
    finally:
        run.close()


def sync_once(parts: Parts, mailbox: str) -> int:
    """Request, plan and run a sync; returns the job."""
    job_id = request_sync(parts.database, mailbox).job_id
    plan(parts, job_id)
    run_due(parts)
    return job_id
