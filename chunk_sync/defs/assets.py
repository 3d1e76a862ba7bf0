"""Assets from mailboxes to messages: `mailboxes -> planned_chunks -> synced_emails`."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import dagster as dg
from pydantic import Field

from chunk_sync.defs.columns import shows
from chunk_sync.defs.ops import ASSET, claim_chunks, complete_chunks, process_chunks
from chunk_sync.defs.partitions import chunk_partitions
from chunk_sync.defs.resources import ChunkSync
from chunk_sync.engine.plan_job import PlanOutcome, plan_job
from chunk_sync.engine.worker import Worker
from chunk_sync.store import plans

OWNERS = ["team:mail-platform"]
_PLANS_AT_ONCE = 4
_PLANS_A_RUN = 20

mailboxes = dg.AssetSpec(
    "mailboxes",
    group_name="sync",
    kinds={"email"},
    owners=OWNERS,
    metadata=shows("mailboxes"),
    description="The connected mailboxes: `./chunk-sync mailbox add`, or rows of the table `mailboxes`.",
)


class PlanConfig(dg.Config):
    """Which sync jobs to plan; empty: all that wait for a plan now."""

    sync_job_ids: list[int] = Field(default_factory=list[int])


@dg.asset(
    deps=[mailboxes],
    group_name="sync",
    kinds={"python", "postgres"},
    owners=OWNERS,
    metadata=shows("chunk_processing_status"),
    description="Sync jobs cut into chunks: the mailbox is looked at once, the spans are frozen, all or nothing.",
)
def planned_chunks(
    context: dg.AssetExecutionContext, config: PlanConfig, chunk_sync: ChunkSync
) -> dg.MaterializeResult[Any]:
    """Plan sync jobs; what fails is due again by its category, a job that cannot be planned fails the run."""
    parts, run_id = chunk_sync.parts(), context.run.run_id
    ids = config.sync_job_ids or [i for i, _, _ in plans.due_plans(parts.database, limit=_PLANS_A_RUN, mark_seconds=60)]
    with (
        Worker(parts.database, f"plan-{run_id}", parts.settings.lease_seconds, run_id) as worker,
        ThreadPoolExecutor(_PLANS_AT_ONCE) as pool,
    ):
        plan = partial(plan_job, parts.database, parts.settings, parts.open_mailbox, worker)
        answers = list(pool.map(plan, ids))
    outcomes = [outcome for outcome in answers if outcome]
    for outcome in outcomes:
        context.log.info(_line(outcome))
    if failed := [outcome for outcome in outcomes if outcome.error]:
        raise dg.Failure("; ".join(_line(outcome) for outcome in failed), allow_retries=False)
    results = [outcome.result for outcome in outcomes if outcome.result]
    return dg.MaterializeResult(
        metadata={
            "sync jobs": len(results),
            "chunks": sum(r.chunks for r in results),
            "emails": sum(r.emails for r in results),
            "bytes": sum(r.bytes for r in results),
            "flags changed": sum(r.flags_changed for r in results),
            "vanished": sum(r.vanished for r in results),
        }
    )


@dg.graph_asset(
    name=ASSET,
    ins={"planned_chunks": dg.AssetIn(dagster_type=dg.Nothing)},
    partitions_def=chunk_partitions,
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name="sync",
    kinds={"email", "postgres"},
    owners=OWNERS,
    metadata=shows("emails"),
    description="Messages in PostgreSQL. A partition is a chunk: a frozen span of a folder, landed exactly once.",
)
def synced_emails(planned_chunks):  # noqa: ANN001, ANN201 - a graph's body is read, not run
    """Claim, process and complete a range of chunks."""
    return complete_chunks(process_chunks(claim_chunks(planned_chunks)))


def _line(outcome: PlanOutcome) -> str:
    if outcome.result:
        r = outcome.result
        changes = f", {r.flags_changed} changed flags, {r.vanished} vanished" if r.flags_changed or r.vanished else ""
        return f"job {outcome.job_id} ({outcome.mailbox}): {r.emails} messages in {r.chunks} chunks{changes}"
    return (
        f"job {outcome.job_id} ({outcome.mailbox}): {outcome.category or 'lost'}, now {outcome.status}: {outcome.error}"
    )
