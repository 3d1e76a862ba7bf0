"""The benchmark of forecasts with few jobs, in simulated time: what it has reached holds."""

from __future__ import annotations

import pytest

from benchmarks.forecast.candidates import ours, since_start
from benchmarks.forecast.replay import errors, inside, learned
from benchmarks.forecast.workloads import KINDS, Run, simulate

JOBS = 20


@pytest.fixture(scope="module")
def runs() -> dict[str, list[Run]]:
    """A few jobs of each kind, the same each time."""
    return {kind: [simulate(kind, 50_000 + seed) for seed in range(JOBS)] for kind in KINDS}


def test_most_jobs_are_foreseen_to_a_fifth_half_way(runs: dict[str, list[Run]]) -> None:
    """Nine of ten of the even, throttled and failing ones. Of all 85 %, which is less than the aim of 90 %."""
    for kind in ("steady", "throttled", "failing"):
        assert errors(ours, runs[kind], 0.5).near >= 0.9, kind
    every = [run for found in runs.values() for run in found]
    assert errors(ours, every, 0.5).near >= 0.85
    assert errors(since_start, every, 0.5).near < 0.8


def test_ranges_hold_four_of_five(runs: dict[str, list[Run]]) -> None:
    """Once they are scaled by what came of others."""
    every = [run for found in runs.values() for run in found]
    assert 0.7 <= inside(every[1::2], 0.5, learned(every[::2], 0.5)) <= 0.92
