"""`python -m benchmarks.scale [--history 1000000] [--pending 1000,10000,100000] [--keys 1000,10000,20000]`.

A throw-away installation as `./chunk-sync up` has it, filled by statements as a month of work would leave it. Exit
code 1 when a tick took a second or more.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Sequence

import dagster as dg
from dagster_shared.utils.warnings import BetaWarning

from benchmarks.orchestration.__main__ import Bench, installation
from benchmarks.orchestration.launch import ask
from benchmarks.scale import world
from benchmarks.scale.dagster_history import RUN_CHUNKS, copy_run, megabytes, tables
from chunk_sync.definitions import defs
from chunk_sync.defs.housekeeping import prune_keys, prune_runs
from chunk_sync.defs.resources import ChunkSync
from chunk_sync.defs.sensors import due_chunks, new_sync_jobs, stuck_chunks
from chunk_sync.domain.partitions import PARTITIONS_NAME, job_keys
from chunk_sync.local.signals import exit_on_signals

_ROUNDS = 5
_LIMIT_MS = 1000
_KEPT_DAYS = 14
_FIRST_COPY = 500_000
_PRUNED_RUNS = 200
_ASSET = dg.AssetKey("synced_emails")
_SELECTOR = {"key": {"path": ["synced_emails"]}}
_STATS = """query($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
  partitionStats { numMaterialized numMaterializing numPartitions numFailed } } } }"""
_HEALTH = """query($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
  partitionKeysByDimension { name type partitionKeys }
  assetPartitionStatuses { ... on DefaultPartitionStatuses {
    materializedPartitions materializingPartitions failedPartitions } } } } }"""


def milliseconds(act: Callable[[], object]) -> float:
    """Time one call."""
    started = time.perf_counter()
    act()
    return (time.perf_counter() - started) * 1000


def tick(bench: Bench, sensor: dg.SensorDefinition) -> float:
    """Time one evaluation of a sensor; what it asked for is taken back, so that the next one has as much to do."""
    context = dg.build_sensor_context(instance=bench.instance, definitions=defs, resources={"chunk_sync": ChunkSync()})
    took = milliseconds(lambda: sensor.evaluate_tick(context))
    bench.database.execute("UPDATE dispatches SET ended_at = clock() WHERE ended_at IS NULL")
    return took


def measure_ticks(bench: Bench, pending: Sequence[int]) -> float:
    """Print a line for each number of chunks that wait in one job; returns the slowest tick."""
    slowest = 0.0
    print("ticks, ms: first / median / slowest of the next ones")
    for number, chunks in enumerate(pending):
        job = world.add_job(bench.database, f"box{number}", chunks)
        bench.database.execute("ANALYZE chunk_processing_queue")
        cells: list[str] = []
        for sensor in (new_sync_jobs, due_chunks, stuck_chunks):
            first, *others = [tick(bench, sensor) for _ in range(_ROUNDS + 1)]
            slowest = max(slowest, first, *others)
            cells.append(f"{sensor.name} {first:.0f} / {statistics.median(others):.0f} / {max(others):.0f}")
        print(f"  {chunks:>7,} pending: {', '.join(cells)}", flush=True)
        bench.database.execute(
            "SELECT cancel_sync('sync_job', (SELECT public_id FROM sync_jobs WHERE id = %s), 'measured')", (job,)
        )
    return slowest


def measure_pages(bench: Bench, live: Sequence[int]) -> None:
    """Print a line for each number of live keys: what the Partitions tab asks for, cold, again, after one more key."""
    print("Partitions tab, ms: partitionStats cold / again / after a key was added, PartitionHealthQuery")
    for count in live:
        have = len(bench.instance.get_dynamic_partitions(PARTITIONS_NAME))
        add_keys(bench, have, count)
        cold, again = (_asked(bench, _STATS) for _ in range(2))
        bench.instance.add_dynamic_partitions(PARTITIONS_NAME, [f"one-more-{count}"])
        added = _asked(bench, _STATS)
        bench.instance.delete_dynamic_partition(PARTITIONS_NAME, f"one-more-{count}")
        _asked(bench, _STATS)
        health = statistics.median(_asked(bench, _HEALTH) for _ in range(3))
        print(f"  {count:>7,} live keys: {cold:.0f} / {again:.0f} / {added:.0f}, {health:.0f}", flush=True)


def measure_pruning(bench: Bench) -> None:
    """Print what it costs to delete keys and runs."""
    bench.database.execute("UPDATE retention_policies SET keep = '1 microsecond' WHERE what = 'dagster_runs'")
    keys = len(bench.instance.get_dynamic_partitions(PARTITIONS_NAME))
    took = milliseconds(lambda: prune_keys(bench.instance, bench.database))
    left = len(bench.instance.get_dynamic_partitions(PARTITIONS_NAME))
    print(f"pruning: {keys - left:,} keys in {took:.0f} ms")
    started = time.perf_counter()
    deleted = prune_runs(bench.instance, bench.database, _ASSET, limit=_PRUNED_RUNS)
    took = (time.perf_counter() - started) * 1000
    print(
        f"pruning: {deleted['runs']} runs of {RUN_CHUNKS} chunks in {took:.0f} ms, {took / _PRUNED_RUNS:.1f} ms a run"
    )


def _asked(bench: Bench, query: str) -> float:
    return milliseconds(lambda: ask(bench.stack.url, query, {"key": _SELECTOR["key"]}))


def _fill(bench: Bench, history: int) -> None:
    job = bench.plan("template", RUN_CHUNKS)
    bench.run(job, 0, RUN_CHUNKS - 1)
    (run,) = bench.instance.get_runs(limit=1)
    world.add_mailboxes(bench.database)
    world.add_history(bench.database, history)
    before = megabytes(bench.instance)
    runs = history * _KEPT_DAYS // 30 // RUN_CHUNKS
    start = f"j{job.job_id:06d}"
    copy_run(bench.instance, run.run_id, start, first_job=_FIRST_COPY, runs=runs, days=_KEPT_DAYS)
    with tables(bench.instance) as conn:
        events = conn.exec_driver_sql("SELECT count(*) FROM event_logs").scalar_one()
    print(
        f"history: {history:,} chunks of a month in the queue; of {_KEPT_DAYS} days in Dagster {runs:,} runs,"
        f" {events:,} events, {megabytes(bench.instance) - before:,.0f} MB",
        flush=True,
    )


def main() -> int:
    """Measure and print; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--history", type=int, default=1_000_000, help="completed chunks of the last month")
    parser.add_argument("--pending", default="1000,10000,100000", help="chunks of one job that wait")
    parser.add_argument("--keys", default="1000,10000,20000", help="live keys, ascending")
    options = parser.parse_args()
    warnings.simplefilter("ignore", BetaWarning)  # Dagster's of its own, when it copies our sensors
    print(
        f"Dagster {dg.__version__}, Python {platform.python_version()}, {os.cpu_count()} cores,"
        f" load {os.getloadavg()[0]:.1f}"
    )
    with exit_on_signals(), installation() as bench:
        _fill(bench, options.history)
        slowest = measure_ticks(bench, [int(count) for count in options.pending.split(",")])
        live = [int(count) for count in options.keys.split(",")]
        prune_all(bench, max(live))
        measure_pages(bench, live)
        measure_pruning(bench)
    print(f"slowest tick {slowest:.0f} ms, aim below {_LIMIT_MS} ms")
    return 0 if slowest < _LIMIT_MS else 1


def prune_all(bench: Bench, most: int) -> None:
    """Leave Dagster's tables as the maintenance does with so many live keys, then take the keys back.

    Those that the ticks made go, because the time of cancelled jobs' keys is over now; then the events of dead keys.
    """
    bench.database.execute("UPDATE retention_policies SET keep = '1 microsecond' WHERE what = 'partition_keys'")
    prune_keys(bench.instance, bench.database)
    add_keys(bench, 0, most)
    started = time.perf_counter()
    deleted = prune_runs(bench.instance, bench.database, _ASSET)
    print(f"pruning: {deleted['events_of_dead_keys']:,} events of dead keys in {time.perf_counter() - started:.0f} s")
    prune_keys(bench.instance, bench.database)


def add_keys(bench: Bench, have: int, count: int) -> None:
    """Make the keys of copied runs live again, until there are so many."""
    for job in range(have // RUN_CHUNKS, count // RUN_CHUNKS):
        bench.instance.add_dynamic_partitions(PARTITIONS_NAME, job_keys(_FIRST_COPY + job, range(RUN_CHUNKS)))


if __name__ == "__main__":
    sys.exit(main())
