"""`python -m benchmarks.orchestration [--chunks 200] [--single 8] [--parallel 1,2,4]`: what Dagster costs a chunk.

A throw-away installation: embedded PostgreSQL (with fsync), webserver, daemon, code server, one process a run, as
`./chunk-sync up` has them. Exit code 1 when the Partitions tab would be wrong about failed chunks.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from benchmarks.mail.usage import cpu_seconds
from benchmarks.orchestration.definitions import CHUNK_MESSAGES, REFUSING, open_empty
from benchmarks.orchestration.launch import Ended, ended, launch
from chunk_sync.defs.ops import DISPATCH_TAG
from chunk_sync.defs.partitions import chunk_partitions, register_new_keys
from chunk_sync.domain.dispatch import DueJob, Slice
from chunk_sync.domain.partitions import job_keys, partition_key
from chunk_sync.engine.plan_job import plan_job
from chunk_sync.engine.worker import Worker
from chunk_sync.local.database import dagster_environment
from chunk_sync.local.ports import choose_private_port
from chunk_sync.local.services import Stack
from chunk_sync.local.signals import exit_on_signals
from chunk_sync.settings import HOME, Settings
from chunk_sync.store import dispatches
from chunk_sync.store.database import Database
from chunk_sync.store.mailboxes import add_mailbox, request_sync
from chunk_sync.store.migrations import migrate

_POLL_SECONDS = 0.5  # a run says itself when it ended; asking more often would take the cores from it
_ROUNDS = 3
_RANGE_START, _RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


@dataclass(frozen=True, slots=True)
class Timing:
    """A run: seconds from its request to its end, and of those the seconds from claim to complete."""

    wall: float
    inside: float
    status: str


@dataclass(frozen=True, slots=True)
class Bench:
    """An installation that runs, without sensors: this asks for the runs."""

    stack: Stack
    database: Database
    instance: dg.DagsterInstance

    def plan(self, mailbox: str, chunks: int) -> DueJob:
        """Plan a job of so many chunks, its keys registered."""
        box = add_mailbox(
            self.database, name=mailbox, address=f"maildir:/nowhere/{chunks}", provider="maildir", credential=None
        )
        job_id = request_sync(self.database, mailbox, requested_by="benchmark").job_id
        with Worker(self.database, "plan", self.stack.settings.lease_seconds) as worker:
            outcome = plan_job(self.database, self.stack.settings, open_empty, worker, job_id)
        assert outcome is not None
        assert outcome.result is not None, outcome.error
        assert outcome.result.chunks == chunks
        register_new_keys(self.instance, self.database)
        return DueJob(job_id, box.tenant_id, box.id, mailbox, box.tenant, 20, box.connection_limit, range(chunks))

    def run(self, job: DueJob, first: int, last: int) -> Timing:
        """Have one run over a range of chunks, as the dispatcher would ask for it."""
        asked_at = time.time()
        end = self.wait(self.launch(job, first, last))
        return Timing(end.ended_at - asked_at, end.inside, end.status)

    def launch(self, job: DueJob, first: int, last: int) -> str:
        """Ask for one run over a range of chunks; its id."""
        dispatch = dispatches.add_dispatch(
            self.database, Slice(job, first, last, last - first + 1, scattered=False), 600
        ).id
        tags = {
            DISPATCH_TAG: str(dispatch),
            _RANGE_START: partition_key(job.job_id, first),
            _RANGE_END: partition_key(job.job_id, last),
        }
        return launch(self.stack.url, tags)

    def statuses(self, job: DueJob) -> Counter[str]:
        """Count a job's partitions by status, as Dagster does for the Partitions tab."""
        keys = job_keys(job.job_id, job.chunk_indexes)
        found = self.instance.get_status_by_partition(dg.AssetKey("synced_emails"), keys, chunk_partitions) or {}
        return Counter(status.value if (status := found.get(key)) else "MISSING" for key in keys)

    def wait(self, run_id: str) -> Ended:
        """Wait for a run's end."""
        while (end := ended(self.stack.url, run_id)) is None:
            self.stack.check()
            time.sleep(_POLL_SECONDS)
        return end


@contextmanager
def installation(definitions: str = "benchmarks.orchestration.definitions") -> Iterator[Bench]:
    """Start everything in a folder that goes away again."""
    os.environ["CHUNK_SYNC_CHUNK_MESSAGES"] = str(CHUNK_MESSAGES)
    with tempfile.TemporaryDirectory(prefix="chunk-sync-benchmark-") as folder:
        Path(folder).chmod(0o711)  # PostgreSQL's user walks through it when we are root
        os.environ[HOME] = f"{folder}/home"
        settings = Settings.read()
        with (
            Stack(settings, port=choose_private_port(), definitions=definitions) as stack,
            Database(stack.dsn) as database,
        ):
            migrate(database)
            stack.start_services()
            while not stack.ready():
                stack.check()
                time.sleep(_POLL_SECONDS)
            os.environ.update(dagster_environment(settings, stack.database))
            with dg.DagsterInstance.get() as instance:
                yield Bench(stack, database, instance)


def import_seconds() -> float:
    """Time what every run's process begins with: a measure of the machine, and of its mood."""
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", "import chunk_sync.definitions"], check=True)
    return time.monotonic() - started


def measure_ranges(bench: Bench, chunks: int) -> list[Timing]:
    """Have one run over all chunks of a job, several times."""
    return [bench.run(bench.plan(f"range{n}", chunks), 0, chunks - 1) for n in range(_ROUNDS)]


def measure_singles(bench: Bench, runs: int) -> list[Timing]:
    """Have a run for each chunk, one after another."""
    job = bench.plan("single", runs)
    return [bench.run(job, index, index) for index in range(runs)]


def measure_parallel(bench: Bench, chunks: int, parallel: int) -> None:
    """Keep so many runs at work, each over a job's slice after the other, and print chunks a second."""
    jobs = [bench.plan(f"parallel{parallel}-{n}", chunks * _ROUNDS) for n in range(parallel)]

    def work(job: DueJob) -> list[Timing]:
        return [bench.run(job, first, first + chunks - 1) for first in range(0, chunks * _ROUNDS, chunks)]

    started, cpu = time.monotonic(), cpu_seconds(os.getpid())
    with ThreadPoolExecutor(parallel) as pool:
        timings = [timing for done in pool.map(work, jobs) for timing in done]
    took, cpu, count = time.monotonic() - started, cpu_seconds(os.getpid()) - cpu, parallel * _ROUNDS * chunks
    assert {timing.status for timing in timings} == {"SUCCESS"}, timings
    print(
        f"{f'{parallel} runs at a time':<26}{statistics.median(timing.wall for timing in timings):>8.2f} s a run"
        f" {took / count * 1000:>9.1f} ms a chunk   {count / took:.1f} chunks a second,"
        f" {cpu / count * 1000:.1f} ms of CPU a chunk without PostgreSQL's"
    )


def say(name: str, timings: Sequence[Timing], chunks: int) -> float:
    """Print one line of the table; returns the median milliseconds a chunk."""
    assert {timing.status for timing in timings} == {"SUCCESS"}, timings
    wall, inside = (statistics.median(t.wall for t in timings), statistics.median(t.inside for t in timings))
    each = " ".join(f"{timing.wall:.2f}" for timing in timings)
    print(
        f"{name:<26}{wall:>8.2f} s a run {wall / chunks * 1000:>9.1f} ms a chunk"
        f"   inside the run {inside / chunks * 1000:>7.1f} ms a chunk   [{each}]"
    )
    return wall / chunks * 1000


def check_statuses(bench: Bench, chunks: int) -> bool:
    """Have a run of which every tenth chunk fails; tell whether Dagster shows exactly that."""
    job = bench.plan(REFUSING, chunks)
    timing = bench.run(job, 0, chunks - 1)
    expected = Counter(MATERIALIZED=chunks - chunks // 10, FAILED=chunks // 10)
    found = bench.statuses(job)
    right = found == expected and timing.status == "FAILURE"
    print(
        f"{chunks} chunks, {chunks // 10} refused: run {timing.status}, "
        f"{', '.join(f'{count} {status.lower()}' for status, count in sorted(found.items()))}: "
        f"{'right' if right else f'WRONG, expected {dict(expected)}'}"
    )
    return right


def main() -> int:
    """Measure and print; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.orchestration", description=__doc__)
    parser.add_argument("--chunks", type=int, default=200, help="chunks a run (200); a multiple of ten")
    parser.add_argument("--single", type=int, default=8, help="runs of one chunk each (8)")
    parser.add_argument("--parallel", default="1,2,4", help="runs at a time, with commas (1,2,4); empty: none")
    options = parser.parse_args()
    if options.chunks < 10 or options.chunks % 10 or options.single < 1:
        parser.error("--chunks takes a multiple of ten, --single at least 1")
    parallels = [int(count) for count in options.parallel.split(",") if count]
    os.environ["CHUNK_SYNC_PARALLEL_RUNS"] = str(max([2, *parallels]))
    print(
        f"Dagster {dg.__version__}, Python {platform.python_version()}, "
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, definitions imported in {import_seconds():.2f} s"
    )
    with exit_on_signals(), installation() as bench:
        bench.run(bench.plan("warm", 1), 0, 0)
        together = say(f"one run, {options.chunks} chunks", measure_ranges(bench, options.chunks), options.chunks)
        apart = say(f"one run a chunk ({options.single})", measure_singles(bench, options.single), 1)
        print(f"ratio {apart / together:.0f}")
        for parallel in parallels:
            measure_parallel(bench, options.chunks, parallel)
        right = check_statuses(bench, options.chunks)
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
