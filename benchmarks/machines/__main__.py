"""`python -m benchmarks.machines [--chunks 50] [--runs 8] [--rounds 3]`: one machine beside Celery's workers.

Throw-away installations, one after another: embedded PostgreSQL (with fsync), code server, daemon, webserver, and
either Dagster's own launcher (a process a run, one or two at a time) or Redis and one or two Celery workers (a run at a
time each), as deploy/compose.yaml has them. Same work for all.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

from benchmarks.machines.work import Work
from benchmarks.mail.usage import cpu_seconds
from benchmarks.orchestration.definitions import CHUNK_MESSAGES
from chunk_sync.local.postgres import APP_DATABASE, DAGSTER_DATABASE, EmbeddedPostgres
from chunk_sync.local.signals import exit_on_signals
from chunk_sync.local.webserver import definitions_loaded
from chunk_sync.settings import RUN_SLOTS
from chunk_sync.store.database import Database
from chunk_sync.store.migrations import migrate
from chunk_sync_tests.deploy.machines import START_SECONDS, Machines

_CHANGES = {"chunk_sync.definitions": "benchmarks.orchestration.definitions", "--concurrency=2": "--concurrency=1"}
"""Words of the commands: the benchmark's definitions, one run at a time a worker."""


@dataclass(frozen=True, slots=True)
class SetUp:
    """A set-up: so many runs at a time, by Celery's workers or by Dagster's own launcher."""

    name: str
    at_once: int
    celery: bool


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one set-up: seconds and CPU seconds of each run alone, chunks a second of each round."""

    alone: Sequence[float]
    cpu: Sequence[float]
    rates: Sequence[float]


SET_UPS = (
    SetUp("a process a run, 1 at a time", 1, celery=False),
    SetUp("a process a run, 2 at a time", 2, celery=False),
    SetUp("Celery, 1 worker", 1, celery=True),
    SetUp("Celery, 2 workers", 2, celery=True),
)


@contextmanager
def machines(set_up: SetUp, folder: Path) -> Iterator[tuple[Machines, dg.DagsterInstance]]:
    """Start a set-up in a folder; Dagster's instance is opened as its machines open it."""
    variables = {RUN_SLOTS: str(set_up.at_once), "CHUNK_SYNC_CHUNK_MESSAGES": str(CHUNK_MESSAGES)}
    with EmbeddedPostgres(folder / "postgres") as server, pytest.MonkeyPatch.context() as patch:
        dsn, dagster_dsn = server.url(APP_DATABASE), server.url(DAGSTER_DATABASE)
        with Database(dsn) as database:
            migrate(database)
        running = Machines(
            folder,
            dsn,
            dagster_dsn,
            workers=set_up.at_once if set_up.celery else 0,
            variables=variables,
            services=("code-server", "webserver", "daemon"),
            changes=_CHANGES,
        )
        for name, value in running.head.env.items():
            patch.setenv(name, value)
        with running, dg.DagsterInstance.get() as instance:
            address = f"http://127.0.0.1:{running.web_port}"
            running.wait_for(lambda: definitions_loaded(address) or None, START_SECONDS, "definitions")
            yield running, instance


def measure(set_up: SetUp, *, chunks: int, runs: int, rounds: int) -> Figures:
    """Measure one set-up: runs of one chunk, one after another; then rounds of runs that are all asked for at once."""
    with tempfile.TemporaryDirectory(prefix="chunk-sync-benchmark-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # PostgreSQL's user walks through it when we are root
        with machines(set_up, folder) as (running, instance):
            work = Work(f"http://127.0.0.1:{running.web_port}", running.database, instance)
            for _ in range(2 * set_up.at_once):  # warm: the workers have loaded the definitions
                work.together(work.plan(set_up.at_once), 1)
            alone: list[float] = []
            cpu: list[float] = []
            for job in (work.plan(1) for _ in range(runs)):
                before = cpu_seconds(os.getpid())
                alone.append(work.together(job, 1))
                cpu.append(cpu_seconds(os.getpid()) - before)
            rates = [runs * chunks / work.together(work.plan(runs * chunks), chunks) for _ in range(rounds)]
    return Figures(alone, cpu, rates)


def say(set_up: SetUp, figures: Figures, first: Figures) -> None:
    """Print one line; ratios are to the first set-up."""
    alone, cpu, rate = (statistics.median(x) for x in (figures.alone, figures.cpu, figures.rates))
    base = statistics.median(first.rates)
    print(
        f"{set_up.name:<30}{alone:>7.2f} s a run{cpu:>7.2f} CPU-s a run{rate:>8.1f} chunks/s   ratio {rate / base:.2f}"
        f"   [{' '.join(f'{one:.1f}' for one in figures.rates)}]",
        flush=True,
    )


def main() -> int:
    """Measure and print; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.machines", description=__doc__)
    parser.add_argument("--chunks", type=int, default=50, help="chunks a run (50)")
    parser.add_argument("--runs", type=int, default=8, help="runs a round (8)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds (3)")
    options = parser.parse_args()
    print(
        f"Dagster {dg.__version__}, Python {platform.python_version()}, {os.cpu_count()} cores, "
        f"load {os.getloadavg()[0]:.1f}; {options.rounds} rounds of {options.runs} runs of {options.chunks} chunks"
    )
    with exit_on_signals():
        found: list[Figures] = []
        for set_up in SET_UPS:
            found.append(measure(set_up, chunks=options.chunks, runs=options.runs, rounds=options.rounds))
            say(set_up, found[-1], found[0])
    return 0


if __name__ == "__main__":
    sys.exit(main())
