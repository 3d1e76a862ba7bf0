"""How long a claim takes at a depth: committed claims on one connection, their completions off the clock.

All queues are filled first; then every kind of claim has its turn at every depth, round after round, so that what is
compared ran within seconds of each other.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.queue.process import Failed, ask
from benchmarks.queue.systems import Options, Ready

DEPTHS = (1_000, 100_000, 1_000_000)
_ROUNDS = 5
_CLAIMS = 60
_WARM = 10
_SECONDS = 4.0
_USED_UP = 0.4
"""Of a queue, the most that is claimed before it is filled anew."""
_NOTICED = 0.1
"""Of a queue, what all claims together may take from it and it still counts as that deep."""

Key = tuple[str, int, int]
"""A cell: label, depth, batch."""


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Milliseconds a claim."""

    p50: float
    p99: float

    @classmethod
    def of(cls, times: Sequence[float]) -> Quantiles:
        """Take them from a list."""
        ordered = sorted(times)
        return cls(statistics.median(ordered), ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))])


@dataclass
class Latencies:
    """All cells: milliseconds, claim by claim."""

    times: dict[Key, list[float]] = field(default_factory=lambda: defaultdict(list))
    failures: dict[Key, str] = field(default_factory=dict)

    def cell(self, label: str, depth: int, batch: int) -> Quantiles | None:
        """Give a cell's quantiles; None when it has none."""
        times = self.times.get((label, depth, batch))
        return Quantiles.of(times) if times else None


def measure(systems: Sequence[Ready], depths: Sequence[int]) -> Latencies:
    """Fill the queues of all systems to all depths, then time their claims by turns."""
    found = Latencies()
    filled = {
        (ready.system.name, depth): _fill(ready, depth, found)
        for depth in depths
        for ready in systems
        if depth <= ready.system.deepest
    }
    for _ in range(_ROUNDS):
        for depth in depths:
            for ready in systems:
                if dsn := filled.get((ready.system.name, depth)):
                    _round(ready, depth, dsn, found)
    return found


def _fill(ready: Ready, depth: int, found: Latencies) -> str | None:
    """Fill a queue, vacuumed and analyzed; its URL."""
    dsn = ready.database(str(depth))
    try:
        ready.enqueue(dsn, depth, {}, verb=ready.system.seed)
    except Failed as failed:
        for label, batches in ready.system.claims:
            found.failures |= dict.fromkeys(((label, depth, batch) for batch in batches), str(failed))
        return None
    ready.server.settle(dsn)
    return dsn


def _round(ready: Ready, depth: int, dsn: str, found: Latencies) -> None:
    for label, batches in ready.system.claims:
        for batch, options in batches.items():
            key = (label, depth, batch)
            try:
                if key not in found.failures:
                    found.times[key] += _claims(ready, depth, dsn, batch, options)
            except Failed as failed:
                found.failures[key] = str(failed)


def _claims(ready: Ready, depth: int, dsn: str, batch: int, options: Options) -> list[float]:
    """Time some claims: on the queue itself where they are few beside its depth, else on a copy."""
    count = min(_CLAIMS, int(depth * _USED_UP / batch) - _WARM)
    if depth * _NOTICED < _ROUNDS * (_CLAIMS + _WARM) * (1 + 10):
        dsn = ready.database("bench", str(depth))
    job = ready.job("claims", dsn, batch=batch, count=count, warm=_WARM, seconds=_SECONDS, options=options)
    times = ask(ready.command, job, "milliseconds")
    if not times:
        message = f"no claim within {_SECONDS:.0f} s"
        raise Failed(message)
    return times
