"""Dispatch: which runs to ask for, from what is due and what is at work. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from chunk_sync.domain.partitions import window_end

RUN_SECONDS = 120.0
"""How long a run should take at most by the mailbox's pace: small enough to balance, and to be lost."""
SHARED_SECONDS = 15.0
"""Less work than this is not shared: starting a second run costs seconds of CPU, more than it saves."""
MAX_SLICE = 400
"""Chunks a run at most, however fast: Dagster notes each of them in the tick that asks for the run."""
FIRST_MAX, FIRST_MIN = 200, 40
"""Chunks a run at most, and at least when a job is shared, while nobody knows the mailbox's pace."""
CHUNKS_A_TICK = 400
"""Chunks asked for at once: a tick stays below a second, and the next one comes in five."""
SCATTERED_BELOW = 4
"""Due chunks in pieces shorter than this, on average, are pulled by one run instead of a run a piece."""


@dataclass(frozen=True, slots=True)
class DueJob:
    """A sync job with due chunks (indexes ascending) that no live run covers."""

    job_id: int
    tenant_id: int
    mailbox_id: int
    mailbox: str
    tenant: str
    priority: int
    connection_limit: int
    chunk_indexes: Sequence[int]


@dataclass(frozen=True, slots=True)
class Slice:
    """A run to ask for: a contiguous range of partitions, or (`scattered`) due chunks in between."""

    job: DueJob
    first_index: int
    last_index: int
    chunks: int
    scattered: bool


def plan_dispatch(
    due: Sequence[DueJob],
    live_runs: Mapping[int, int],
    *,
    parallel_runs: int,
    run_threads: int,
    pace: Mapping[int, float] | None = None,
) -> list[Slice]:
    """Choose the runs to ask for now.

    `due` comes in the order of service (priority first, then the mailbox served least); `live_runs` counts runs
    by mailbox, `pace` says how many seconds a run of a mailbox takes for a chunk. Mailboxes take turns, one slice
    each, until `parallel_runs` are asked for or at work; a mailbox gets no more runs than its connections can feed.
    """
    free = parallel_runs - sum(live_runs.values())
    runs = Counter(live_runs)
    slices: list[Slice] = []
    asked = 0
    for priority in sorted({job.priority for job in due}, reverse=True):
        waiting = [
            (job, _pieces(job.chunk_indexes, max(free, 1), slice_bounds((pace or {}).get(job.mailbox_id))))
            for job in due
            if job.priority == priority
        ]
        while free > 0 and waiting:
            turn, waiting = waiting, []
            for job, pieces in turn:
                room = max(1, job.connection_limit // run_threads)
                if free <= 0 or asked >= CHUNKS_A_TICK or runs[job.mailbox_id] >= room or not pieces:
                    continue
                first, last, chunks, scattered = pieces[0]
                slices.append(Slice(job, first, last, chunks, scattered))
                runs[job.mailbox_id] += 1
                free -= 1
                asked += chunks
                waiting.append((job, pieces[1:]))
    return slices


def slice_bounds(chunk_seconds: float | None) -> tuple[int, int]:
    """Say how many chunks a shared run should have at least and at most, by what a chunk takes (None: unknown)."""
    if chunk_seconds is None:
        return FIRST_MIN, FIRST_MAX
    most = min(max(int(RUN_SECONDS / max(chunk_seconds, 0.001)), 1), MAX_SLICE)
    return min(max(int(SHARED_SECONDS / max(chunk_seconds, 0.001)), 1), most), most


def contiguous(indexes: Sequence[int]) -> list[tuple[int, int]]:
    """Join ascending indexes into closed ranges: [1, 2, 5] -> [(1, 2), (5, 5)]."""
    ranges: list[tuple[int, int]] = []
    for index in indexes:
        if ranges and index == ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], index)
        else:
            ranges.append((index, index))
    return ranges


def _pieces(indexes: Sequence[int], runs: int, bounds: tuple[int, int]) -> list[tuple[int, int, int, bool]]:
    """Cut what is due into (first, last, chunks, scattered), so that `runs` runs share it evenly within the bounds."""
    ranges = contiguous(indexes)
    if len(ranges) > 1 and len(indexes) / len(ranges) < SCATTERED_BELOW:
        some = indexes[:FIRST_MAX]
        return [(some[0], some[-1], len(some), True)]
    fewest, most = bounds
    size = min(most, max(fewest, math.ceil(len(indexes) / runs)))
    return [(first, last, last - first + 1, False) for low, high in ranges for first, last in _cut(low, high, size)]


def _cut(low: int, high: int, size: int) -> Iterator[tuple[int, int]]:
    """Cut a range into runs, none of them across the end of a window: Dagster's keys lie side by side within one."""
    first = low
    while first <= high:
        last = min(first + size, high + 1, window_end(first)) - 1
        yield first, last
        first = last + 1
