"""Maintenance: what keeps the queue's tables and Dagster's own small, its lanes true and its threads whole."""

import dagster as dg

from chunk_sync.defs.housekeeping import prune_keys, prune_runs
from chunk_sync.defs.ops import ASSET
from chunk_sync.defs.resources import ChunkSync
from chunk_sync.domain.partitions import PARTITIONS_NAME
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


@dg.op(description="Delete from Dagster's own tables what is past its retention: keys of ended jobs, then old runs.")
def prune_dagster(context: dg.OpExecutionContext, chunk_sync: ChunkSync) -> None:
    """Keys first: a run goes once none of its chunks is a live partition any more."""
    keys = prune_keys(context.instance, chunk_sync.database())
    runs = prune_runs(context.instance, chunk_sync.database(), dg.AssetKey(ASSET))
    live = len(context.instance.get_dynamic_partitions(PARTITIONS_NAME))
    context.add_output_metadata({"partition_keys": keys, **runs, "partition_keys_left": live})


@dg.job(
    name="maintenance",
    description="Keep all tables small, lanes true and threads whole. Runs every hour by itself.",
)
def maintenance() -> None:
    """Ops that do not depend on one another."""
    check_lanes()
    delete_expired()
    thread_old_mail()
    prune_dagster()


maintenance_schedule = dg.ScheduleDefinition(
    name="maintenance_every_hour",
    job=maintenance,
    cron_schedule="17 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
