"""Dispatch: which runs to ask for, from what is due and what is at work. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MAX_SLICE = 200
"""Chunks a run at most: about a minute of work, small against the cost of a run, small enough to balance."""
MIN_SLICE = 40
"""Fewer chunks than this are not shared: starting a second run costs seconds of CPU, more than it saves."""
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
    due: Sequence[DueJob], live_runs: Mapping[int, int], *, parallel_runs: int, run_threads: int
) -> list[Slice]:
    """Choose the runs to ask for now.

    `due` comes in the order of service (priority first, then the mailbox served least); `live_runs` counts runs
    by mailbox. Mailboxes take turns, one slice each, until `parallel_runs` are asked for or at work; a mailbox
    gets no more runs than its connections can feed.
    """
    free = parallel_runs - sum(live_runs.values())
    runs = Counter(live_runs)
    slices: list[Slice] = []
    for priority in sorted({job.priority for job in due}, reverse=True):
        waiting = [(job, _pieces(job.chunk_indexes, max(free, 1))) for job in due if job.priority == priority]
        while free > 0 and waiting:
            turn, waiting = waiting, []
            for job, pieces in turn:
                room = max(1, job.connection_limit // run_threads)
                if free <= 0 or runs[job.mailbox_id] >= room or not pieces:
                    continue
                first, last, chunks, scattered = pieces[0]
                slices.append(Slice(job, first, last, chunks, scattered))
                runs[job.mailbox_id] += 1
                free -= 1
                waiting.append((job, pieces[1:]))
    return slices


def contiguous(indexes: Sequence[int]) -> list[tuple[int, int]]:
    """Join ascending indexes into closed ranges: [1, 2, 5] -> [(1, 2), (5, 5)]."""
    ranges: list[tuple[int, int]] = []
    for index in indexes:
        if ranges and index == ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], index)
        else:
            ranges.append((index, index))
    return ranges


def _pieces(indexes: Sequence[int], runs: int) -> list[tuple[int, int, int, bool]]:
    """Cut what is due into (first, last, chunks, scattered), so that `runs` runs share it evenly."""
    ranges = contiguous(indexes)
    if len(ranges) > 1 and len(indexes) / len(ranges) < SCATTERED_BELOW:
        return [(indexes[0], indexes[-1], len(indexes), True)]
    size = min(MAX_SLICE, max(MIN_SLICE, math.ceil(len(indexes) / runs)))
    return [
        (first, min(first + size - 1, last), min(size, last - first + 1), False)
        for low, last in ranges
        for first in range(low, last + 1, size)
    ]
