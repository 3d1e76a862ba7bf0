"""One run over a range of chunks, in the three steps that Dagster shows: claim, process, complete.

The run object lives from the first step to the last: it holds the worker, so its lease, so its chunks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from chunk_sync.domain.chunks import ChunkOutcome, ChunkState, ClaimedChunk
from chunk_sync.domain.dispatch import contiguous
from chunk_sync.domain.partitions import parse_partition_key
from chunk_sync.engine.run_chunks import ChunkRun, Parts, Report
from chunk_sync.engine.worker import Worker
from chunk_sync.errors import LeaseLost, UsageError
from chunk_sync.store import dispatches, queue
from chunk_sync.store.queue import QueuedChunk

PULL_LIMIT = 200
"""Chunks that a run takes at most when it pulls whatever is due."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What a run was asked for: a dispatch of ours, else partitions by hand (`keys`), else anything due."""

    run_id: str
    keys: Sequence[str] = ()
    dispatch_id: int | None = None
    actor: str = "dagster"

    @property
    def by_hand(self) -> bool:
        """Whether somebody chose the chunks."""
        return self.dispatch_id is None and bool(self.keys)


@dataclass
class RangeRun:
    """A run in progress. `notes` are lines for the log."""

    worker: Worker
    run: ChunkRun
    claimed: list[ClaimedChunk]
    wanted: int
    notes: list[str] = field(default_factory=list[str])
    error: str | None = None
    by_hand: bool = False

    told: set[str] = field(default_factory=set[str])
    """Keys of which Dagster has been told."""

    def process(self, *, patient: bool = True) -> list[ChunkOutcome]:
        """Work through everything; a lost lease ends the run but not the report of what was done.

        See `ChunkRun.process` for `patient`; a later call goes on where this one came back.
        """
        first, self.claimed = self.claimed, []
        try:
            return self.run.process(first, patient=patient)
        except LeaseLost as lost:
            self.error = str(lost)
            return self.run.outcomes()

    def close(self) -> None:
        """End the worker: what is still claimed goes back unused. What somebody chose and nobody began is an error."""
        self.worker.__exit__(None, None, None)
        left = self.wanted - len(self.run.outcomes())
        if self.by_hand and left > 0 and self.error is None:
            self.error = (
                f"{left} of {self.wanted} chunks were not begun: their mailbox takes no more connections now, or is"
                " turned away (mailbox_progress says until when). They stay due, and a later run takes them"
            )


def start_run(parts: Parts, request: RunRequest, report: Report | None = None) -> RangeRun:
    """Open a worker for the run and claim its first chunks.

    Raises UsageError when a key names no chunk, or one that is paused. A dispatch that was given up, or is another
    run's by now, yields a run with nothing to do.
    """
    worker = Worker(parts.database, f"run-{request.run_id}", parts.settings.lease_seconds, request.run_id)
    worker.__enter__()
    try:
        notes: list[str] = []
        chunks = _wanted(parts, request, worker, notes)
        run = ChunkRun(parts, worker, [chunk.chunk_id for chunk in chunks], report)
        claimed = run.claim(parts.settings.run_threads)
    except BaseException:
        worker.__exit__(None, None, None)
        raise
    return RangeRun(worker, run, claimed, len(chunks), notes, by_hand=request.by_hand)


def _wanted(parts: Parts, request: RunRequest, worker: Worker, notes: list[str]) -> list[QueuedChunk]:
    if request.dispatch_id is not None:
        taken = dispatches.take_dispatch(parts.database, request.dispatch_id, worker.id)
        if taken is None:
            notes.append(f"dispatch {request.dispatch_id} was given up or is another run's: nothing to do")
            return []
        job_id, first, last = taken
        return queue.due_chunks(
            parts.database, limit=last - first + 1, job_id=job_id, first_index=first, last_index=last
        )
    if request.by_hand:
        return _by_hand(parts, request, worker, notes)
    return queue.due_chunks(parts.database, limit=PULL_LIMIT)


def _by_hand(parts: Parts, request: RunRequest, worker: Worker, notes: list[str]) -> list[QueuedChunk]:
    """Chunks that somebody chose in the UI: pending ones are due now, ended ones are opened again (audited).

    They are ours before they are due: else the sensor would ask for a run over them as well.
    """
    chunks = _look_up(parts, request.keys)
    for job_id, mailbox in queue.paused_jobs(parts.database, [chunk.chunk_id for chunk in chunks]).items():
        message = f"sync job {job_id} is paused, or its mailbox {mailbox!r} is: resume it first (job resume_sync)"
        raise UsageError(message)
    for job_id in {chunk.job_id for chunk in chunks}:
        for indexes in contiguous(sorted(chunk.chunk_index for chunk in chunks if chunk.job_id == job_id)):
            dispatches.hold_range(parts.database, worker.id, job_id, indexes)
    wanted: list[QueuedChunk] = []
    for chunk in chunks:
        was = queue.reopen_chunk(
            parts.database,
            chunk.chunk_id,
            reason="materialized by hand",
            actor=request.actor,
            run_id=request.run_id,
        )
        if was == "processing":
            notes.append(f"chunk {chunk.chunk_index} of job {chunk.job_id} is being processed by another run")
        else:
            wanted.append(chunk)
    return wanted


def _look_up(parts: Parts, keys: Sequence[str]) -> list[QueuedChunk]:
    by_job: dict[int, list[int]] = {}
    unknown: list[str] = []
    for key in keys:
        if parsed := parse_partition_key(key):
            by_job.setdefault(parsed.job_id, []).append(parsed.chunk_index)
        else:
            unknown.append(key)
    chunks: list[QueuedChunk] = []
    for job_id, indexes in by_job.items():
        found = queue.chunks_by_index(parts.database, job_id, indexes)
        chunks += found
        missing = set(indexes) - {chunk.chunk_index for chunk in found}
        unknown += [
            key for key in keys if (p := parse_partition_key(key)) and p.job_id == job_id and p.chunk_index in missing
        ]
    if unknown:
        names = ", ".join(unknown[:10])
        message = f"no chunk has the partition key {names}: keys come from planned sync jobs, they cannot be made up"
        raise UsageError(message)
    return chunks


def bad_outcomes(outcomes: Sequence[ChunkOutcome]) -> list[ChunkOutcome]:
    """Those that did not land: waiting for a retry, or dead letters."""
    return [o for o in outcomes if o.state in {ChunkState.RETRY, ChunkState.FAILED}]
