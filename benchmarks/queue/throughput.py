"""Jobs a second: claim and complete, in worker processes that all start at a barrier, until the queue is empty."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import psycopg

from benchmarks.queue.process import Failed, Troupe
from benchmarks.queue.systems import BATCHES, Mode, Options, Ready, modes

SHARES = {1: 0.1, 10: 0.5, 100: 1.0}
"""Of the jobs that were asked for, those that a measurement with this batch enqueues."""
_POLL_SECONDS = 0.005

Key = tuple[str, int, int]
"""A cell: the mode's label, batch, workers."""


@dataclass
class Figures:
    """All runs of all cells: jobs a second. A failure for 0 workers is one of the enqueue."""

    rates: dict[Key, list[float]] = field(default_factory=lambda: defaultdict(list))
    enqueues: dict[tuple[str, int], list[float]] = field(default_factory=lambda: defaultdict(list))
    failures: dict[Key, str] = field(default_factory=dict)

    def rate(self, label: str, batch: int, workers: int) -> float | None:
        """Give a cell's median; None when it has none."""
        rates = self.rates.get((label, batch, workers))
        return statistics.median(rates) if rates else None

    def best(self, label: str, batches: Sequence[int] = BATCHES) -> float | None:
        """Give the best cell's rate, over all numbers of workers."""
        rates = [self.rate(*key) for key in self.rates if key[0] == label and key[1] in batches]
        return max((rate for rate in rates if rate is not None), default=None)

    def enqueued(self, label: str) -> float | None:
        """Give the median rate of enqueueing, with the most jobs."""
        rates = [self.enqueues[key] for key in sorted(self.enqueues) if key[0] == label]
        return statistics.median(rates[-1]) if rates else None

    def failed(self, label: str, batch: int, workers: int) -> bool:
        """Tell whether a cell failed, or what it starts from."""
        return (label, batch, workers) in self.failures or (label, batch, 0) in self.failures


def measure(systems: Sequence[Ready], *, jobs: int, workers: Sequence[int], rounds: int, seconds: float) -> Figures:
    """Run every cell of every system, interleaved, round by round."""
    figures = Figures()
    for _ in range(rounds):
        for batch in BATCHES:
            rows = [(ready, mode) for ready, mode in modes(systems) if batch in mode.options]
            total = max(100, int(jobs * SHARES[batch]))
            for ready, mode in rows:
                _fill(figures, ready, mode, batch, total)
            for count in workers:
                for ready, mode in rows:
                    _run(figures, ready, mode, (mode.label, batch, count), total, seconds)
    return figures


def _fill(figures: Figures, ready: Ready, mode: Mode, batch: int, jobs: int) -> None:
    """Enqueue into a database that each run then starts as a copy of."""
    try:
        dsn = ready.database(mode.label)
        seconds = ready.enqueue(dsn, jobs, mode.options[batch])
        figures.enqueues[mode.label, batch].append(jobs / seconds)
        ready.server.settle(dsn)
    except Failed as failed:
        figures.failures[mode.label, batch, 0] = f"enqueue: {failed}"


def _run(figures: Figures, ready: Ready, mode: Mode, key: Key, jobs: int, seconds: float) -> None:
    label, batch, workers = key
    if figures.failed(*key):
        return
    dsn = ready.database("bench", mode.label)
    try:
        rate, _ = drain(ready, dsn, mode.options[batch], jobs=jobs, workers=workers, seconds=seconds)
        figures.rates[key].append(rate)
    except Failed as failed:
        figures.rates.pop(key, None)
        figures.failures[label, batch, workers] = str(failed)


def drain(ready: Ready, dsn: str, options: Options, *, jobs: int, workers: int, seconds: float) -> tuple[float, int]:
    """Have so many workers work; jobs a second from the first claim to the last completion, and how many."""
    with psycopg.connect(dsn, autocommit=True) as watch, Troupe() as troupe:
        for _ in range(workers):
            troupe.start(ready.command, ready.job("work", dsn, options=options))
        troupe.expect("ready", count=workers)
        troupe.tell("go")
        until = time.time() + seconds
        first = _until_handled(troupe, jobs, until)
        at, left = _until_completed(watch, ready.system.unfinished, until)
    if first is None or left >= jobs:
        message = f"no job was done within {seconds:.0f} s"
        raise Failed(message)
    return (jobs - left) / (at - first), jobs - left


def _until_handled(troupe: Troupe, jobs: int, until: float) -> float | None:
    """Wait until the workers have handled all jobs, or time is up; when the first of them began."""
    done: dict[int, int] = {}
    first: list[float] = []
    while sum(done.values()) < jobs and (left := until - time.time()) > 0:
        heard = troupe.hear(left)
        if heard and "done" in heard[1]:
            done[heard[0]] = heard[1]["done"]
            first.append(heard[1]["first"])
    return min((moment for moment in first if moment), default=None)


def _until_completed(watch: psycopg.Connection, unfinished: str, until: float) -> tuple[float, int]:
    """Wait until the database says so too: some libraries complete behind their handlers. When, and what is left."""
    while True:
        at = time.time()
        row = watch.execute(unfinished).fetchone()  # pyright: ignore[reportArgumentType] - our own text
        assert row is not None
        if not row[0] or at > until:
            return at, row[0]
        time.sleep(_POLL_SECONDS)
