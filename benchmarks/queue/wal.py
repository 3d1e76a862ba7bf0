"""Bytes of write-ahead log a job: its enqueue, then its claim and completion at the largest batch up to 100."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.queue.systems import Mode, Ready
from benchmarks.queue.throughput import drain

_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Log:
    """Bytes a job. `paged` is claim and completion right after a checkpoint: with the full pages that it asks for."""

    batch: int
    enqueue: float
    work: float
    paged: float

    @property
    def total(self) -> float:
        """Enqueue, claim and completion."""
        return self.enqueue + self.work


def measure(ready: Ready, mode: Mode, jobs: int) -> Log:
    """Measure one mode of a system, with one worker. Raises Failed."""
    batch = max(mode.options)
    enqueued, worked = _bytes(ready, mode, batch, jobs, checkpoint=False)
    _, paged = _bytes(ready, mode, batch, jobs, checkpoint=True)
    return Log(batch, enqueued, worked, paged)


def _bytes(ready: Ready, mode: Mode, batch: int, jobs: int, *, checkpoint: bool) -> tuple[float, float]:
    server, options = ready.server, mode.options[batch]
    dsn = ready.database("bench")
    start = server.wal_position()
    ready.enqueue(dsn, jobs, options)
    enqueued = server.wal_position() - start
    server.settle(dsn, checkpoint=checkpoint)
    start = server.wal_position()
    _, done = drain(ready, dsn, options, jobs=jobs, workers=1, seconds=_SECONDS)
    return enqueued / jobs, (server.wal_position() - start) / done
