"""What a person decides about syncs in Dagster's UI: a job each, of one op over one call of the store.

Each run leaves a row in the audit log that names it, and its person where the run has a `user` tag.
"""

from collections.abc import Callable
from typing import Literal

import dagster as dg
from dagster import DagsterRunStatus, RunsFilter
from pydantic import Field

from chunk_sync.defs.failures import plain_failures
from chunk_sync.defs.resources import ChunkSync
from chunk_sync.domain.instants import parse_instant
from chunk_sync.errors import UsageError
from chunk_sync.store import control, queue
from chunk_sync.store.control import Decision, Target
from chunk_sync.store.database import Database

USER_TAG = "user"
_ENDED = [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED]
_BY_HAND = "by hand, in Dagster"


class Why(dg.Config):
    """What every decision has."""

    reason: str = Field(default=_BY_HAND, description="Why; it is kept in the audit log.")


class RequestConfig(Why):
    """A sync to ask for."""

    mailbox: str = Field(description="The mailbox's name, as `./chunk-sync mailbox list` has it.")
    tenant: str = Field(default="default", description="Whose mailbox it is.")
    sync_type: Literal["auto", "initial", "incremental", "manual"] = Field(
        default="auto", description="auto: initial the first time, then incremental."
    )
    since: str = Field(default="", description="Only mail received from this day or instant on; empty: no bound.")
    until: str = Field(default="", description="Only mail received up to this day (included) or instant.")
    priority: int = Field(
        default=0, description="30 urgent, 20 initial, 10 normal, 5 low, 1 cleanup, or between; 0: by the type."
    )


class JobConfig(Why):
    """A sync job by its number."""

    sync_job: int = Field(description="The sync job's number: 42 for the partitions j000042-c….")


class ResyncConfig(JobConfig):
    """Which chunks to sync again."""

    chunks: list[int] = Field(
        default_factory=list[int], description="Their indexes: 17 for the partition …-c000017; empty: all of the job."
    )


class RecoverConfig(Why):
    """Which workers to take chunks from."""

    silent_minutes: int = Field(
        default=0, description="Also from workers silent for so long, whatever their lease says; 0: only by the lease."
    )


class PriorityConfig(JobConfig):
    """How urgent a job is to be."""

    priority: Literal["urgent", "initial", "normal", "low", "cleanup"] = Field(
        default="urgent", description="urgent 30, initial 20, normal 10, low 5, cleanup 1."
    )


class TargetConfig(Why):
    """What to stop, or to go on with: exactly one of three."""

    mailbox: str = Field(default="", description="A mailbox's name; empty: not by mailbox.")
    sync_job: int = Field(default=0, description="A sync job's number; 0: not by job.")
    whole_tenant: bool = Field(default=False, description="All mailboxes of the tenant.")
    tenant: str = Field(default="default", description="Whose mailbox it is, or the whole tenant.")


@dg.op(description="Ask for a sync; the new_sync_jobs sensor finds it within seconds.")
def request(context: dg.OpExecutionContext, config: RequestConfig, chunk_sync: ChunkSync) -> None:
    """Write one row into sync_jobs."""
    with plain_failures():
        asked = control.request(
            chunk_sync.database(),
            config.mailbox,
            _decision(context, config),
            tenant=config.tenant,
            sync_type=None if config.sync_type == "auto" else config.sync_type,
            sync_from=parse_instant(config.since),
            sync_to=parse_instant(config.until, end=True),
            priority=config.priority or None,
        )
    context.log.info("sync job %d (%s, priority %d) requested", asked.job_id, asked.sync_type, asked.priority)
    context.add_output_metadata({"sync_job": asked.job_id, "type": asked.sync_type, "priority": asked.priority})


@dg.op(description="Let a job's failed chunks run again, with all their attempts; the due_chunks sensor has them run.")
def retry(context: dg.OpExecutionContext, config: JobConfig, chunk_sync: ChunkSync) -> None:
    """Re-open what failed, and nothing else."""
    with plain_failures():
        count = control.retry(chunk_sync.database(), config.sync_job, _decision(context, config))
    context.log.info("%d failed chunks of sync job %d run again", count, config.sync_job)
    context.add_output_metadata({"chunks": count})


@dg.op(description="Let chunks that have ended run again; what has not changed at the source changes nothing here.")
def resync(context: dg.OpExecutionContext, config: ResyncConfig, chunk_sync: ChunkSync) -> None:
    """Re-open what has ended, however it did."""
    with plain_failures():
        count = control.resync(chunk_sync.database(), config.sync_job, _decision(context, config), config.chunks)
    context.log.info("%d chunks of sync job %d run again", count, config.sync_job)
    context.add_output_metadata({"chunks": count})


@dg.op(
    description="Take chunks from workers that are dead: their lease ran out, or Dagster knows that their run is over."
)
def recover(context: dg.OpExecutionContext, config: RecoverConfig, chunk_sync: ChunkSync) -> None:
    """What the stuck_chunks sensor does by itself, now."""
    database = chunk_sync.database()
    with plain_failures():
        found = control.recover(
            database,
            _decision(context, config),
            silent_minutes=config.silent_minutes or None,
            dead_run_ids=ended_runs(context.instance, queue.live_run_ids(database)),
        )
    dead = sum(chunk.status == "failed" for chunk in found)
    context.log.info("%d chunks taken back, %d of them are dead letters now", len(found), dead)
    context.add_output_metadata({"chunks": len(found), "dead_letters": dead})


@dg.op(description="Change how urgent an open job is, also for its chunks that wait already.")
def prioritize(context: dg.OpExecutionContext, config: PriorityConfig, chunk_sync: ChunkSync) -> None:
    """One update of the job and its chunks."""
    priority = control.PRIORITIES[config.priority]
    with plain_failures():
        count = control.prioritize(chunk_sync.database(), config.sync_job, priority, _decision(context, config))
    context.log.info("sync job %d has priority %d, %d chunks wait", config.sync_job, priority, count)
    context.add_output_metadata({"priority": priority, "chunks": count})


@dg.op(description="Cancel open sync jobs: what has landed stays, nothing more is fetched.")
def cancel(context: dg.OpExecutionContext, config: TargetConfig, chunk_sync: ChunkSync) -> None:
    """Of a job, a mailbox or a tenant."""
    target, chunks = _decide(context, config, chunk_sync, control.cancel)
    context.log.info("cancelled %s: %d chunks will not be synced", target.name, chunks)
    context.add_output_metadata({"chunks": chunks})


@dg.op(description="Stop syncing until it is resumed; running chunks go back without using an attempt.")
def pause(context: dg.OpExecutionContext, config: TargetConfig, chunk_sync: ChunkSync) -> None:
    """Of a job, a mailbox or a tenant."""
    target, chunks = _decide(context, config, chunk_sync, control.pause)
    context.log.info("paused %s: %d running chunks were given back", target.name, chunks)
    context.add_output_metadata({"chunks": chunks})


@dg.op(description="Go on with what was paused.")
def resume(context: dg.OpExecutionContext, config: TargetConfig, chunk_sync: ChunkSync) -> None:
    """Of a job, a mailbox or a tenant."""
    target, mailboxes = _decide(context, config, chunk_sync, control.resume)
    context.log.info("resumed %s: %d mailboxes go on", target.name, mailboxes)
    context.add_output_metadata({"mailboxes": mailboxes})


@dg.op(description="Archive an ended job: its status and why its chunks failed are kept, the rest goes by retention.")
def archive(context: dg.OpExecutionContext, config: JobConfig, chunk_sync: ChunkSync) -> None:
    """One row into archived_sync_jobs."""
    with plain_failures():
        control.archive(chunk_sync.database(), config.sync_job, _decision(context, config))
    context.log.info("sync job %d is archived", config.sync_job)


def ended_runs(instance: dg.DagsterInstance, run_ids: list[str]) -> list[str]:
    """Of these runs, those that Dagster knows to be over."""
    if not run_ids:
        return []
    return [run.run_id for run in instance.get_runs(RunsFilter(run_ids=run_ids, statuses=_ENDED))]


def actor_of(context: dg.OpExecutionContext) -> str:
    """Name who acts: the run, and its person where it has one."""
    user = context.run.tags.get(USER_TAG)
    return f"dagster run {context.run_id}" + (f" ({user})" if user else "")


def _decision(context: dg.OpExecutionContext, config: Why) -> Decision:
    return Decision(reason=config.reason, actor=actor_of(context), run_id=context.run_id)


def _decide(
    context: dg.OpExecutionContext,
    config: TargetConfig,
    chunk_sync: ChunkSync,
    call: Callable[[Database, Target, Decision], int],
) -> tuple[Target, int]:
    with plain_failures():
        if sum((bool(config.mailbox), bool(config.sync_job), config.whole_tenant)) != 1:
            message = "name one thing: a mailbox, or a sync_job, or whole_tenant: true"
            raise UsageError(message)
        database = chunk_sync.database()
        target = control.find_target(
            database, job_id=config.sync_job or None, mailbox=config.mailbox or None, tenant=config.tenant
        )
        return target, call(database, target, _decision(context, config))


def _job(name: str, op: dg.OpDefinition, filled: Why, description: str) -> dg.JobDefinition:
    """Make the job of one op, whose launchpad opens with `filled` in.

    As a dict: a `RunConfig` would show empty keys for execution, loggers and resources beside it.
    """

    @dg.job(name=name, description=description, config={"ops": {op.name: {"config": filled.model_dump()}}})
    def job() -> None:
        op()

    return job


all_operations = [
    _job(
        "request_sync",
        request,
        RequestConfig(mailbox="demo"),
        "Ask for a sync of a mailbox. priority 0: by the type (30 urgent, 20 initial, 10 normal, 5 low, 1 cleanup).",
    ),
    _job("retry_failed_chunks", retry, JobConfig(sync_job=0), "Run the failed chunks of a sync job again, in one go."),
    _job("resync_chunks", resync, ResyncConfig(sync_job=0), "Sync chunks again that have ended, or a whole sync job."),
    _job("recover_stuck_chunks", recover, RecoverConfig(), "Take chunks from dead workers now, without the sensor."),
    _job("change_priority", prioritize, PriorityConfig(sync_job=0), "Change how urgent an open sync job is."),
    _job("cancel_sync", cancel, TargetConfig(), "Cancel a sync job, or all open ones of a mailbox or a tenant."),
    _job("pause_sync", pause, TargetConfig(), "Pause a sync job, a mailbox or a tenant."),
    _job("resume_sync", resume, TargetConfig(), "Go on with a sync job, a mailbox or a tenant that was paused."),
    _job("archive_sync_job", archive, JobConfig(sync_job=0), "Archive a sync job that has ended."),
]
