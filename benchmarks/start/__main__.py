"""`python -m benchmarks.start [--runs 9] [--rounds 5] [--cold]`: where the time goes before a run's first line.

What the imports cost, each in a fresh process; runs of one chunk through the whole stack that `./chunk-sync up`
starts, split by their own events; what a run and a chunk leave in Dagster's tables.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import time
from collections.abc import Sequence

import dagster as dg

from benchmarks.mail.usage import cpu_seconds
from benchmarks.orchestration.__main__ import Bench, installation
from benchmarks.start.imports import WORKER, by_package, cost
from benchmarks.start.timeline import STAGES, before_first_line, marks, medians
from benchmarks.start.traces import sessions, traces
from chunk_sync.domain.dispatch import DueJob
from chunk_sync.local.signals import exit_on_signals

WARM = "benchmarks.orchestration.definitions"
COLD = "benchmarks.start.cold"
_LEAST_SHARE = 0.01
_STATEMENTS = {
    "python": "pass",
    "import dagster": "import dagster",
    "the definitions": "import chunk_sync.definitions",
    "a run's process": WORKER,
}


def print_imports(rounds: int) -> None:
    """Print what imports cost, and in which packages."""
    print("\nimports (medians; seconds)            clock      CPU")
    for name, statement in _STATEMENTS.items():
        found = cost(statement, rounds)
        print(f"{name:<34}{found.wall:>9.2f}{found.cpu:>9.2f}")
    packages = by_package(WORKER)
    total = sum(milliseconds for _, milliseconds, _ in packages)
    print(f"of a run's process, {total:.0f} ms under -X importtime:")
    for package, milliseconds, modules in packages:
        if milliseconds >= _LEAST_SHARE * total:
            print(f"  {package:<32}{milliseconds:>7.0f} ms{modules:>6} modules")


def run_once(bench: Bench, job: DueJob, first: int, last: int) -> tuple[str, float]:
    """Have one run over a range of chunks; its id and the instant at which it was asked for."""
    asked_at = time.time()
    run_id = bench.launch(job, first, last)
    end = bench.wait(run_id)
    assert end.status == "SUCCESS", end
    return run_id, asked_at


def print_runs(bench: Bench, runs: int) -> str:
    """Have runs of one chunk, print where their time went; the last one's id."""
    job = bench.plan("start", runs + 1)
    first_id, first_asked = run_once(bench, job, 0, 0)
    first = _read(bench, first_id, first_asked)
    began, opened = cpu_seconds(os.getpid()), _opened(bench)
    told = [run_once(bench, job, index, index) for index in range(1, runs + 1)]
    cpu = (cpu_seconds(os.getpid()) - began) / runs
    connections = [(after - before) / runs for before, after in zip(opened, _opened(bench), strict=True)]
    found = [_read(bench, run_id, asked_at) for run_id, asked_at in told]
    print(f"\n{runs} runs of one chunk, one after another (medians; seconds)")
    for stage, seconds in zip(STAGES, medians(found), strict=True):
        print(f"  {stage:<32}{seconds:>9.3f}")
    waits = [before_first_line(run) for run in found]
    each = " ".join(f"{wait:.2f}" for wait in waits)
    middle, cold = statistics.median(waits), before_first_line(first)
    print(f"launched -> first step{middle:>21.3f}   [{each}]; the first run {cold:.2f}")
    print(f"asked -> end          {statistics.median(run[-1] - run[0] for run in found):>21.3f}")
    print(f"CPU a run, all processes{cpu:>19.2f}")
    print(f"connections opened a run: {connections[0]:.1f} to Dagster's database, {connections[1]:.1f} to ours")
    return told[-1][0]


def print_traces(bench: Bench, run_id: str, chunks: int) -> None:
    """Print what a run of one chunk leaves in Dagster's tables, and what each further chunk adds."""
    one = traces(bench.stack.dagster_dsn, run_id)
    job = bench.plan("many", chunks)
    many = traces(bench.stack.dagster_dsn, run_once(bench, job, 0, chunks - 1)[0])
    print(f"\nin Dagster's tables: a run of one chunk, a run of {chunks}, so a chunk    rows   bytes")
    for name in sorted(many | one):
        (rows, size), (all_rows, all_size) = one.get(name, (0, 0)), many.get(name, (0, 0))
        more_rows, more = (all_rows - rows) / (chunks - 1), (all_size - size) / (chunks - 1)
        print(f"  {name:<46}{rows:>5}{size:>8}{all_rows:>7}{all_size:>9}{more_rows:>8.2f}{more:>8.0f}")


def _opened(bench: Bench) -> tuple[int, int]:
    return sessions(bench.stack.dagster_dsn), sessions(bench.stack.dsn)


def _read(bench: Bench, run_id: str, asked_at: float) -> Sequence[float]:
    return marks(bench.instance.all_logs(run_id), asked_at)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.start", description=__doc__)
    parser.add_argument("--runs", type=int, default=9, help="runs of one chunk (9)")
    parser.add_argument("--rounds", type=int, default=5, help="processes for each line of the imports (5)")
    parser.add_argument("--chunks", type=int, default=101, help="chunks of the run whose traces are counted (101)")
    parser.add_argument("--cold", action="store_true", help="an interpreter for each run, as Dagster by itself")
    options = parser.parse_args()
    print(
        f"Dagster {dg.__version__}, Python {platform.python_version()}, "
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )
    if options.rounds:
        print_imports(options.rounds)
    if options.runs:
        with exit_on_signals(), installation(COLD if options.cold else WARM) as bench:
            last = print_runs(bench, options.runs)
            print_traces(bench, last, options.chunks)


if __name__ == "__main__":
    sys.exit(main())
