"""`python -m benchmarks.queue throughput|latency|first-claim|wal|all`: our queue beside five libraries and pgmq.

One durable PostgreSQL on disk, every system in a database of its own, worker processes of each system's own library
and language, measurements interleaved. A system that cannot be installed or fails is printed with the reason.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.queue import first_claim, latency, report, throughput, wal
from benchmarks.queue.install import NotInstalled, cache_folder
from benchmarks.queue.process import Failed
from benchmarks.queue.server import Server, running
from benchmarks.queue.systems import OUR_SYSTEM, PEERS, Ready, modes, prepare
from chunk_sync.local.signals import exit_on_signals


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured."""

    jobs: int
    seconds: float
    rounds: int
    workers: Sequence[int]
    depths: Sequence[int]
    inserts: int


def measure_throughput(systems: Sequence[Ready], effort: Effort) -> None:
    """Print jobs a second, and the ratios."""
    figures = throughput.measure(
        systems, jobs=effort.jobs, workers=effort.workers, rounds=effort.rounds, seconds=effort.seconds
    )
    report.throughput(figures, systems, effort.workers, seconds=effort.seconds)
    report.throughput_aims(figures, effort.workers)


def measure_latency(systems: Sequence[Ready], effort: Effort) -> None:
    """Print claim latencies by depth, and the ratios."""
    timed = [ready for ready in systems if ready.system.claims]
    found = latency.measure(timed, effort.depths)
    report.latencies(found, timed, effort.depths)
    report.latency_aims(found, effort.depths)


def measure_first_claim(systems: Sequence[Ready], effort: Effort) -> None:
    """Print the time from an insert to its claim."""
    found: list[tuple[str, latency.Quantiles | str]] = []
    for ready in systems:
        try:
            found.append((ready.system.name, first_claim.measure(ready, effort.inserts)))
        except Failed as failed:
            found.append((ready.system.name, str(failed)))
    report.first_claims(found, effort.inserts)


def measure_wal(systems: Sequence[Ready], effort: Effort) -> None:
    """Print bytes of log a job."""
    found: list[tuple[str, wal.Log | str]] = []
    for ready, mode in modes(systems):
        try:
            found.append((mode.label, wal.measure(ready, mode, min(effort.jobs, 10_000))))
        except Failed as failed:
            found.append((mode.label, str(failed)))
    report.wal(found)


MEASURES: dict[str, Callable[[Sequence[Ready], Effort], None]] = {
    "throughput": measure_throughput,
    "latency": measure_latency,
    "first-claim": measure_first_claim,
    "wal": measure_wal,
}


def prepare_all(server: Server, names: Sequence[str] | None, cache: Path) -> list[Ready]:
    """Install every system that was asked for; one that cannot be is printed with the reason."""
    systems: list[Ready] = []
    for system in (OUR_SYSTEM, *PEERS):
        if names is not None and system.name not in names:
            continue
        try:
            ready, line = prepare(system, server, cache)
        except (NotInstalled, Failed) as error:
            print(f"  {system.name}: NOT MEASURED: {error}")
        else:
            systems.append(ready)
            print(f"  {line}")
    return systems


def parse() -> tuple[argparse.Namespace, Effort]:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.queue", description=__doc__)
    names = [system.name for system in (OUR_SYSTEM, *PEERS)]
    parser.add_argument("measure", choices=[*MEASURES, "all"])
    parser.add_argument("--jobs", type=int, help="jobs a run at batch 100; a tenth at 1, half at 10 (50000)")
    parser.add_argument("--seconds", type=float, default=8.0, help="longest run; what is done by then counts (8)")
    parser.add_argument("--rounds", type=int, help="runs a cell, interleaved; medians are printed (3)")
    parser.add_argument("--workers", help="numbers of worker processes (1,2,4)")
    parser.add_argument("--depths", help="chunks pending in `latency` (1000,100000,1000000)")
    parser.add_argument("--peers", help=f"only these, with commas: {','.join(names)}")
    parser.add_argument("--cache", help="where the other libraries are installed, once")
    parser.add_argument(
        "--quick", action="store_true", help="a small run: 5000 jobs, one round, at most 100,000 pending"
    )
    options = parser.parse_args()
    unknown = set(options.peers.split(",") if options.peers else ()) - set(names)
    if unknown:
        parser.error(f"no such system: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    return options, Effort(
        jobs=options.jobs or (5_000 if options.quick else 50_000),
        seconds=options.seconds,
        rounds=options.rounds or (1 if options.quick else 3),
        workers=_numbers(options.workers) or (1, 2, 4),
        depths=_numbers(options.depths) or (latency.DEPTHS[:2] if options.quick else latency.DEPTHS),
        inserts=20 if options.quick else first_claim.JOBS,
    )


def _numbers(text: str | None) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(",")) if text else ()


def main() -> int:
    """Measure what was asked for, and print."""
    options, effort = parse()
    with exit_on_signals(), running() as server:
        print(server.line())
        systems = prepare_all(server, options.peers.split(",") if options.peers else None, cache_folder(options.cache))
        for name, measure in MEASURES.items():
            if options.measure in {name, "all"}:
                measure(systems, effort)
    return 0 if systems else 1


if __name__ == "__main__":
    sys.exit(main())
