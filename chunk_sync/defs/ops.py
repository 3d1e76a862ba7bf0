"""The three ops of a run of chunks. They pass one object in memory: the run, which holds the lease."""

from collections.abc import Iterator

import dagster as dg

from chunk_sync.defs.failures import plain_failures
from chunk_sync.defs.operations import actor_of
from chunk_sync.defs.resources import ChunkSync
from chunk_sync.domain.chunks import ChunkOutcome, ChunkState
from chunk_sync.engine.range_run import RangeRun, RunRequest, bad_outcomes, start_run
from chunk_sync.store import queue

ASSET = "synced_emails"
DISPATCH_TAG = "chunk_sync/dispatch"
JOB_TAG = "chunk_sync/job"
MAIL_POOL = "chunk_sync_mail"
"""Its limit, set on Dagster's Deployment page, bounds how many runs fetch mail at once, whatever asks for them."""
_INFRASTRUCTURE = dg.RetryPolicy(max_retries=2, delay=2, backoff=dg.Backoff.EXPONENTIAL)
_TURNED_AWAY_RETRIES = 5
"""So often Dagster shows that a run waits for a mail server that turned it away; later waits are inside the op."""
_IN_MEMORY = "in_memory"
_SHOWN = 50


@dg.op(
    ins={"planned_chunks": dg.In(dg.Nothing)},
    out=dg.Out(io_manager_key=_IN_MEMORY),
    retry_policy=_INFRASTRUCTURE,
    description="Open a worker with a lease and claim the first chunks of the run's range.",
)
def claim_chunks(context: dg.OpExecutionContext, chunk_sync: ChunkSync):  # noqa: ANN201 - Dagster types it
    """Claim: SKIP LOCKED, a lease with a fencing token, up to the mailbox's connection limit."""
    dispatch = context.run.tags.get(DISPATCH_TAG)
    request = RunRequest(
        run_id=context.run_id,
        keys=_partition_keys(context),
        dispatch_id=int(dispatch) if dispatch else None,
        actor=actor_of(context),
    )
    with plain_failures():
        run = start_run(chunk_sync.parts(), request)
    for note in run.notes:
        context.log.info(note)
    context.add_output_metadata({"wanted": run.wanted, "claimed first": len(run.claimed), "worker": run.worker.name})
    return run


@dg.op(
    out=dg.Out(io_manager_key=_IN_MEMORY),
    pool=MAIL_POOL,
    description="Fetch, parse and land every chunk: a transaction each, which also completes it. A server that turns "
    "the whole mailbox away (login refused, throttled, gone) is tried again after its category's delay.",
)
def process_chunks(context: dg.OpExecutionContext, run):  # noqa: ANN001, ANN201
    """Process: each chunk commits on its own, so a run that dies loses only what is in its threads."""
    try:
        outcomes = run.process(patient=context.retry_number >= _TURNED_AWAY_RETRIES)
    except BaseException:
        run.close()
        raise
    if away := run.run.turned_away():
        seconds = away.seconds()
        context.log.warning("%s: %s; again in %.1f s", away.error.category, away.error, seconds)
        raise dg.RetryRequested(_TURNED_AWAY_RETRIES, seconds_to_wait=seconds) from away.error
    landed = [o.counts for o in outcomes if o.counts]
    context.add_output_metadata(
        {
            "chunks": len(outcomes),
            "emails": sum(c.emails for c in landed),
            "bytes": sum(c.bytes for c in landed),
        }
    )
    return run


@dg.op(
    # An output that is never given: else Dagster would mark the whole range as materialized.
    out=dg.Out(dg.Nothing, is_required=False),
    retry_policy=_INFRASTRUCTURE,
    description="Settle: give back what is left, tell Dagster of every chunk, fail the run when chunks are bad.",
)
def complete_chunks(context: dg.OpExecutionContext, run, chunk_sync: ChunkSync):  # noqa: ANN001, ANN201
    """Complete: exactly the chunks that did not land turn red."""
    run.close()
    outcomes = run.run.outcomes()
    done = [o for o in outcomes if o.state is ChunkState.COMPLETED]
    for outcome in _untold(run, done):
        context.log_event(dg.AssetMaterialization(ASSET, partition=outcome.key, metadata=_metadata(outcome)))
    queue.mark_reported(chunk_sync.database(), [o.chunk_id for o in done])
    bad = bad_outcomes(outcomes)
    for outcome in _untold(run, bad):
        context.log_event(dg.AssetObservation(ASSET, partition=outcome.key, metadata=_reason(outcome)))
    yield from ()
    if bad or run.error:
        raise _failure(run, outcomes, bad)


def _untold(run: RangeRun, outcomes: list[ChunkOutcome]) -> Iterator[ChunkOutcome]:
    """Give what Dagster has not been told of: the op may be tried again in the middle of it."""
    for outcome in outcomes:
        if outcome.key not in run.told:
            yield outcome
            run.told.add(outcome.key)


def _partition_keys(context: dg.OpExecutionContext) -> list[str]:
    if context.has_partition_key or context.has_partition_key_range:
        return list(context.partition_keys)
    return []


def _metadata(outcome: ChunkOutcome) -> dict[str, int]:
    counts = outcome.counts
    if counts is None:
        return {"attempt": outcome.attempt}
    return {
        "emails": counts.emails,
        "inserted": counts.inserted,
        "unchanged": counts.unchanged,
        "absent": counts.absent,
        "quarantined": counts.quarantined,
        "bytes": counts.bytes,
        "duration_ms": outcome.duration_ms,
        "attempt": outcome.attempt,
    }


def _reason(outcome: ChunkOutcome) -> dict[str, str | int]:
    return {
        "error_category": str(outcome.category),
        "reason": outcome.reason or "",
        "attempt": outcome.attempt,
        "next_attempt_at": outcome.next_attempt_at.isoformat() if outcome.next_attempt_at else "never: dead letter",
    }


def _failure(run: RangeRun, outcomes: list[ChunkOutcome], bad: list[ChunkOutcome]) -> dg.Failure:
    dead = sum(o.state is ChunkState.FAILED for o in bad)
    text = f"{len(bad)} of {len(outcomes)} chunks did not land: {len(bad) - dead} due again, {dead} dead letters"
    table = (
        dg.MetadataValue.table(
            records=[dg.TableRecord({"chunk": o.key, **_reason(o)}) for o in bad[:_SHOWN]],
            schema=dg.TableSchema(
                columns=[
                    dg.TableColumn(name) for name in ("chunk", "error_category", "reason", "attempt", "next_attempt_at")
                ]
            ),
        )
        if bad
        else dg.MetadataValue.text("none")
    )
    return dg.Failure(run.error or text, metadata={"chunks": table}, allow_retries=False)
