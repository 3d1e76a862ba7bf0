"""Sensors: thin shells over the store and pure functions. The database is the truth; a lost tick costs only time."""

import dagster as dg
from dagster import DagsterRunStatus, RunsFilter

from chunk_sync.defs.jobs import plan_sync_jobs, retry_chunks, sync_chunks
from chunk_sync.defs.operations import ended_runs
from chunk_sync.defs.ops import ASSET, DISPATCH_TAG, JOB_TAG
from chunk_sync.defs.partitions import LiveKeys
from chunk_sync.defs.resources import ChunkSync
from chunk_sync.domain.dispatch import Slice, plan_dispatch
from chunk_sync.domain.partitions import PARTITIONS_NAME, partition_key
from chunk_sync.engine.scaling import decide_runs
from chunk_sync.store import dispatches, plans, queue
from chunk_sync.store.database import Database
from chunk_sync.store.dispatches import Dispatch
from chunk_sync.store.mailboxes import request_due_syncs

_TICK_SECONDS = 5  # Dagster's loop is no faster
_MARK_SECONDS = 120  # a request that no run has taken by then is made again
_SCHEDULE_SECONDS = 30
_LEASES_UNTIL_LOST = 5  # a run that lost its lease ends by itself long before
_PLANS_A_RUN = 10
_REPORTS_A_TICK = 500


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
    keys = LiveKeys(context.instance, database, settings.live_keys)
    keys.register_new()
    due, live = dispatches.due_jobs(database), dispatches.live_runs(database)
    threads = settings.run_threads
    wanted, pace = decide_runs(database, live, ceiling=settings.parallel_runs, run_threads=threads)
    slices = plan_dispatch(due, live, parallel_runs=wanted, run_threads=threads, pace=pace)
    if not slices:
        return dg.SkipReason("no chunk is due, or enough runs are at work")
    return [
        _run_request(piece, dispatches.add_dispatch(database, piece, _MARK_SECONDS)) for piece in keys.prepare(slices)
    ]


@dg.sensor(
    minimum_interval_seconds=_TICK_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Gives back chunks of dead workers, and tells Dagster of chunks whose run died before it could.",
)
def stuck_chunks(context: dg.SensorEvaluationContext, chunk_sync: ChunkSync):  # noqa: ANN201
    """Recover expired leases, and those of runs that Dagster knows are over."""
    database = chunk_sync.database()
    recovered = queue.recover(database, ended_runs(context.instance, queue.live_run_ids(database)))
    _end_lost_runs(context, database, chunk_sync.settings().lease_seconds)
    reported = _report_landed(context.instance, chunk_sync)
    if not recovered and not reported:
        return dg.SkipReason("no chunk is stuck")
    for chunk in recovered:
        context.log.info("recovered %s: %s", partition_key(chunk.job_id, chunk.chunk_index), chunk.status)
    return dg.SkipReason(f"gave back {len(recovered)} chunks of dead workers, reported {reported} landed ones")


@dg.sensor(
    minimum_interval_seconds=_SCHEDULE_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks for a sync of each mailbox whose interval is over (`./chunk-sync mailbox every`).",
)
def scheduled_syncs(chunk_sync: ChunkSync):  # noqa: ANN201
    """The new jobs are found by new_sync_jobs, as those of anybody else."""
    asked = request_due_syncs(chunk_sync.database(), "scheduled_syncs")
    return dg.SkipReason(f"asked for {asked} syncs" if asked else "no mailbox's interval is over")


@dg.run_failure_sensor(
    minimum_interval_seconds=_TICK_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    monitored_jobs=[plan_sync_jobs, sync_chunks, retry_chunks],
    description="Takes back what a failed run still held, and writes into the audit log why it failed.",
)
def failed_runs(context: dg.RunFailureSensorContext, chunk_sync: ChunkSync) -> None:
    """A run that ended by itself holds nothing any more; one that was killed may."""
    database, run = chunk_sync.database(), context.dagster_run
    queue.recover(database, [run.run_id])
    job = run.tags.get(JOB_TAG)
    reason = (context.failure_event.message or "failed").splitlines()[0]
    queue.note_failed_run(
        database, run_id=run.run_id, job_name=run.job_name, job_id=int(job) if job else None, reason=reason
    )


def _run_request(piece: Slice, dispatch: Dispatch) -> dg.RunRequest:
    job = piece.job
    first, last = dispatch.attempts
    tags = {
        DISPATCH_TAG: str(dispatch.id),
        JOB_TAG: str(job.job_id),
        "chunk_sync/mailbox": job.mailbox,
        "chunk_sync/tenant": job.tenant,
        "chunk_sync/attempts": str(first) if first == last else f"{first}-{last}",
        "dagster/priority": str(job.priority),
    }
    if not piece.scattered:
        tags["dagster/asset_partition_range_start"] = partition_key(job.job_id, piece.first_index)
        tags["dagster/asset_partition_range_end"] = partition_key(job.job_id, piece.last_index)
    name = retry_chunks.name if piece.scattered else sync_chunks.name
    return dg.RunRequest(run_key=f"dispatch {dispatch.id}", job_name=name, tags=tags)


def _end_lost_runs(context: dg.SensorEvaluationContext, database: Database, lease_seconds: float) -> None:
    """Have Dagster know that a run is over whose machine is lost: else it keeps its place in the queue for an hour."""
    lost = queue.lost_run_ids(database, quiet_seconds=_LEASES_UNTIL_LOST * lease_seconds)
    at_work = [DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING]
    for run in context.instance.get_runs(RunsFilter(run_ids=lost, statuses=at_work)) if lost else []:
        context.instance.report_run_failed(run, "its lease ran out and was not renewed: its machine is lost")
        context.log.warning("run %s is lost with its machine", run.run_id)


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


all_sensors = [new_sync_jobs, due_chunks, stuck_chunks, scheduled_syncs, failed_runs]
