"""Maintenance: what keeps the queue's tables small, its lanes true and its threads whole."""

import dagster as dg

from chunk_sync.defs.resources import ChunkSync
from chunk_sync.store.queue import repair_lanes
from chunk_sync.store.retention import run_retention
from chunk_sync.store.threads import thread_unthreaded


@dg.op(description="Count the lanes again: what was wrong is put right and audited. It is always 0.")
def check_lanes(context: dg.OpExecutionContext, chunk_sync: ChunkSync) -> None:
    """Alarm when a lane had lost count."""
    wrong = repair_lanes(chunk_sync.database())
    if wrong:
        context.log.error("%d lanes had lost count; they were put right, see audit_log", wrong)
    context.add_output_metadata({"lanes_repaired": wrong})


@dg.op(description="Delete what is past its retention, in batches that no claim waits for.")
def delete_expired(context: dg.OpExecutionContext, chunk_sync: ChunkSync) -> None:
    """Rules are rows of retention_policies."""
    context.add_output_metadata(dict(run_retention(chunk_sync.database())))


@dg.op(description="Give mail its thread that an older version landed, which knew of none.")
def thread_old_mail(context: dg.OpExecutionContext, chunk_sync: ChunkSync) -> None:
    """Nothing to do, once it is done."""
    context.add_output_metadata({"messages_threaded": thread_unthreaded(chunk_sync.database())})


@dg.job(
    name="maintenance",
    description="Keep the queue's tables small, its lanes true and threads whole. Runs every hour by itself.",
)
def maintenance() -> None:
    """Ops that do not depend on one another."""
    check_lanes()
    delete_expired()
    thread_old_mail()


maintenance_schedule = dg.ScheduleDefinition(
    name="maintenance_every_hour",
    job=maintenance,
    cron_schedule="17 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
