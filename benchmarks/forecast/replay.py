"""Replay: ask each candidate at parts of the way, and hold what it says against what came."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.forecast.candidates import Candidate
from benchmarks.forecast.workloads import Run, simulate
from chunk_sync.domain.forecast import Forecast, calibrate, forecast

SHARES = (0.25, 0.5, 0.75)
NEAR = 0.2


@dataclass(frozen=True, slots=True)
class Errors:
    """Of one candidate at one part of the way: the median of |foreseen - real| / real, and the share within 20 %."""

    median: float
    near: float

    def __str__(self) -> str:
        return f"{self.median:6.1%} {self.near:5.0%}"


def errors(candidate: Candidate, runs: Sequence[Run], share: float) -> Errors:
    """Ask at a part of the way of each run."""
    return sum_up(misses(candidate, runs, share))


def misses(candidate: Candidate, runs: Sequence[Run], share: float) -> list[float]:
    """List |foreseen - real| / real at a part of the way; who says nothing is wrong by all of it."""
    found: list[float] = []
    for run in runs:
        samples = run.at(share)
        left = run.ended - samples[-1].at
        if left > 0:
            said = candidate(samples)
            found.append(1.0 if said is None else abs(said - left) / left)
    return found


def sum_up(found: Sequence[float]) -> Errors:
    """Say how large errors are, and how many of them are small."""
    return Errors(statistics.median(found), sum(error <= NEAR for error in found) / len(found))


def inside(runs: Sequence[Run], share: float, scale: float) -> float:
    """Say how many runs ended within the range that was foreseen at a part of the way."""
    made = [(run, forecast(run.at(share), scale=scale)) for run in runs]
    return sum(isinstance(m, Forecast) and m.low <= run.ended <= m.high for run, m in made) / len(made)


def learned(runs: Sequence[Run], share: float) -> float:
    """Find the scale that past outcomes ask for."""
    outcomes: list[tuple[float, float]] = []
    for run in runs:
        samples = run.at(share)
        made = forecast(samples)
        left = run.ended - samples[-1].at
        if isinstance(made, Forecast) and left > 1 and made.expected > samples[-1].at:
            outcomes.append((made.spread, abs(math.log(left / (made.expected - samples[-1].at)))))
    return calibrate(outcomes)


def limits(kind: str, seeds: Sequence[int], others: int = 9) -> tuple[Errors, Errors]:
    """Say how near somebody would be at half-way who knows the mailbox's nature, and not its luck.

    The second one knows all of its nature but how fast it is, and has to learn that from what was done so far.
    """
    knowing: list[float] = []
    learning: list[float] = []
    for seed in seeds:
        run = simulate(kind, seed)
        now = run.at(0.5)[-1]
        left = max(run.ended - now.at, 1.0)
        ends = statistics.median(simulate(kind, seed, (now.landed, 1_000 + other)).ended for other in range(others))
        knowing.append(abs(ends - run.ended) / left)
        pasts = [simulate(kind, seed, (0, 1_000 + other)) for other in range(others)]
        halves = [(past.at(0.5)[-1].at, past.ended) for past in pasts]
        slower = now.at / statistics.median(half for half, _ in halves)
        foreseen = slower * statistics.median(ended - half for half, ended in halves)
        learning.append(abs(foreseen - left) / left)
    return sum_up(knowing), sum_up(learning)
