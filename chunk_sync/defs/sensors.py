"""Sensors: thin shells over the store and pure functions. The database is the truth; a lost tick costs only time."""

import dagster as dg
from dagster import DagsterRunStatus, RunsFilter

from chunk_sync.defs.jobs import plan_sync_jobs, retry_chunks, sync_chunks
from chunk_sync.defs.ops import ASSET, DISPATCH_TAG
from chunk_sync.defs.partitions import register_new_keys
from chunk_sync.defs.resources import ChunkSync
from chunk_sync.domain.dispatch import Slice, plan_dispatch
from chunk_sync.domain.partitions import PARTITIONS_NAME, partition_key
from chunk_sync.store import plans, queue

_TICK_SECONDS = 5  # Dagster's loop is no faster
_MARK_SECONDS = 120  # a request that no run has taken by then is made again
_PLANS_A_RUN = 10
_REPORTS_A_TICK = 500
_ENDED = [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED]


@dg.sensor(
    job=plan_sync_jobs,
    minimum_interval_seconds=_TICK_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Finds requested sync jobs and has them planned.",
)
def new_sync_jobs(chunk_sync: ChunkSync):  # noqa: ANN201
    """One plan run for the jobs that wait; a job whose run got lost is asked for again when its mark is over."""
    due = plans.due_plans(chunk_sync.database(), limit=_PLANS_A_RUN, mark_seconds=_MARK_SECONDS)
    if not due:
        return dg.SkipReason("no sync job waits for a plan")
    config = {"ops": {"planned_chunks": {"config": {"sync_job_ids": [job for job, _, _ in due]}}}}
    # Dagster remembers a run key for ever: the mark makes each asking its own.
    marks = ",".join(f"{job}@{until.timestamp():.3f}" for job, _, until in due)
    return dg.RunRequest(run_key=f"plan {marks}", run_config=config, tags={"dagster/priority": "10"})


@dg.sensor(
    jobs=[sync_chunks, retry_chunks],
    minimum_interval_seconds=_TICK_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Launches runs over due chunks: ranges of one sync job, as many as may run at once.",
)
def due_chunks(context: dg.SensorEvaluationContext, chunk_sync: ChunkSync):  # noqa: ANN201
    """Register new keys, then ask for runs; each request leaves a dispatch that expires unless a run takes it."""
    settings, database = chunk_sync.settings(), chunk_sync.database()
    register_new_keys(context.instance, database)
    slices = plan_dispatch(
        queue.due_jobs(database),
        queue.live_runs(database),
        parallel_runs=settings.parallel_runs,
        run_threads=settings.run_threads,
    )
    if not slices:
        return dg.SkipReason("no chunk is due, or enough runs are at work")
    return [_run_request(piece, queue.add_dispatch(database, piece, _MARK_SECONDS)) for piece in slices]


@dg.sensor(
    minimum_interval_seconds=_TICK_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Gives back chunks of dead workers, and tells Dagster of chunks whose run died before it could.",
)
def stuck_chunks(context: dg.SensorEvaluationContext, chunk_sync: ChunkSync):  # noqa: ANN201
    """Recover expired leases, and those of runs that Dagster knows are over."""
    database = chunk_sync.database()
    recovered = queue.recover(database, _dead_runs(context.instance, queue.live_run_ids(database)))
    reported = _report_landed(context.instance, chunk_sync)
    if not recovered and not reported:
        return dg.SkipReason("no chunk is stuck")
    for chunk in recovered:
        context.log.info("recovered %s: %s", partition_key(chunk.job_id, chunk.chunk_index), chunk.status)
    return dg.SkipReason(f"gave back {len(recovered)} chunks of dead workers, reported {reported} landed ones")


def _run_request(piece: Slice, dispatch_id: int) -> dg.RunRequest:
    job = piece.job
    tags = {
        DISPATCH_TAG: str(dispatch_id),
        "chunk_sync/job": str(job.job_id),
        "chunk_sync/mailbox": job.mailbox,
        "chunk_sync/tenant": job.tenant,
        "dagster/priority": str(job.priority),
    }
    if not piece.scattered:
        tags["dagster/asset_partition_range_start"] = partition_key(job.job_id, piece.first_index)
        tags["dagster/asset_partition_range_end"] = partition_key(job.job_id, piece.last_index)
    name = retry_chunks.name if piece.scattered else sync_chunks.name
    return dg.RunRequest(run_key=f"dispatch {dispatch_id}", job_name=name, tags=tags)


def _dead_runs(instance: dg.DagsterInstance, run_ids: list[str]) -> list[str]:
    if not run_ids:
        return []
    return [run.run_id for run in instance.get_runs(RunsFilter(run_ids=run_ids, statuses=_ENDED))]


def _report_landed(instance: dg.DagsterInstance, chunk_sync: ChunkSync) -> int:
    """Materialize chunks that landed but whose run was killed before it said so."""
    database, settings = chunk_sync.database(), chunk_sync.settings()
    done: list[int] = []
    for chunk in queue.unreported_chunks(database, quiet_seconds=settings.lease_seconds, limit=_REPORTS_A_TICK):
        key = partition_key(chunk.job_id, chunk.chunk_index)
        if instance.has_dynamic_partition(PARTITIONS_NAME, key):
            metadata = {"emails": chunk.emails, "bytes": chunk.bytes, "attempt": chunk.attempts}
            instance.report_runless_asset_event(dg.AssetMaterialization(ASSET, partition=key, metadata=metadata))
        done.append(chunk.chunk_id)
    if done:
        queue.mark_reported(database, done)
    return len(done)


all_sensors = [new_sync_jobs, due_chunks, stuck_chunks]
