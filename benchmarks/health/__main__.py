"""`python -m benchmarks.health [--attempts 10000000] [--chunks 1000000] [--rounds 5]`: what a look at health costs.

An embedded PostgreSQL with a week of attempts and a month of chunks in it; then the health job as it runs every five
minutes, asset by asset. Exit code 1 when an asset takes two seconds or more.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
import warnings
from collections import defaultdict

import dagster as dg
from dagster_shared.utils.warnings import BetaWarning

from benchmarks.queue.server import Server, running
from benchmarks.scale import world
from chunk_sync.definitions import defs
from chunk_sync.defs.resources import ChunkSync
from chunk_sync.local.signals import exit_on_signals
from chunk_sync.settings import DSN
from chunk_sync.store.database import Database
from chunk_sync.store.migrations import migrate

_LIMIT_SECONDS = 2.0
_ATTEMPTS_A_STATEMENT = 1_000_000
# A week of attempts in the order of time, one in twenty of them failed, over the chunks that there are.
_ATTEMPTS = """
    INSERT INTO chunked_sync_health_monitoring (
        chunk_job_id, queue_id, tenant_id, mailbox_id, sync_job_id, chunk_id, lease_token, worker_id, attempt_number,
        status, processing_time_ms, chunk_size, emails_processed, efficiency_ratio, error_category, error_message,
        suggested_retry_delay_ms, provider, bytes_processed, requests, created_at
    )
    SELECT gen_random_uuid(), gen_random_uuid(), m.tenant_id, m.id, 1 + n / 500, 1 + n, 1 + n, 'worker', 1 + n %% 2,
        CASE WHEN n %% 20 > 0 THEN 'success' WHEN n %% 400 = 0 THEN 'recovery' ELSE 'error' END::attempt_status,
        50 + n %% 900, 100, CASE WHEN n %% 20 > 0 THEN 100 ELSE 0 END, 100 + n %% 50,
        CASE WHEN n %% 20 = 0 THEN (enum_range(NULL::error_category))[1 + n / 20 %% 10] END,
        CASE WHEN n %% 20 = 0 THEN 'the server said no' END, CASE WHEN n %% 20 = 0 AND n %% 60 > 0 THEN 2000 END,
        'imap:host' || n %% 5, 100000, 3,
        clock() - interval '7 days' + interval '1 minute' + n * (interval '7 days' / %(total)s)
    FROM generate_series(%(first)s::bigint, %(last)s) AS n
    INNER JOIN mailboxes AS m ON m.name = 'box' || n %% 50
"""


def fill(database: Database, attempts: int, chunks: int) -> None:
    """Write the chunks and the attempts, and say how large they are."""
    started = time.monotonic()
    world.add_mailboxes(database)
    world.add_history(database, chunks)
    for first in range(0, attempts, _ATTEMPTS_A_STATEMENT):
        last = min(first + _ATTEMPTS_A_STATEMENT, attempts) - 1
        with database.owner_transaction() as conn:
            conn.execute(_ATTEMPTS, {"first": first, "last": last, "total": attempts})
    with database.owner_transaction() as conn:
        conn.execute("ANALYZE chunked_sync_health_monitoring")
        conn.execute("INSERT INTO tenant_slas (first_sync_within, freshness_within, failure_budget)"
                     " VALUES ('1 day', '1 hour', 0.01)")  # fmt: skip
    size = database.execute("SELECT pg_total_relation_size('chunked_sync_health_monitoring') / 1048576 AS mb")[0]["mb"]
    took = time.monotonic() - started
    print(f"{attempts:,} attempts of a week ({size:,} MB), {chunks:,} chunks of a month; written in {took:.0f} s")


def look(instance: dg.DagsterInstance) -> dict[str, float]:
    """Run the health job once; seconds by asset."""
    result = defs.resolve_job_def("health").execute_in_process(instance=instance, resources={"chunk_sync": ChunkSync()})
    assert result.success
    starts, ends = (
        {entry.step_key: entry.timestamp for entry in instance.all_logs(result.run_id, kind)}
        for kind in (dg.DagsterEventType.STEP_START, dg.DagsterEventType.STEP_SUCCESS)
    )
    return {str(step): ends[step] - began for step, began in starts.items()}


def caught_up(database: Database) -> bool:
    """Tell whether the roll-up has come to the hour of the last attempt."""
    found = database.execute(
        "SELECT (SELECT max(hour) FROM attempt_hours) >="
        " (SELECT date_trunc('hour', max(created_at), 'UTC') FROM chunked_sync_health_monitoring) AS done"
    )
    return bool(found[0]["done"])


def measure(server: Server, attempts: int, chunks: int, rounds: int) -> float:
    """Fill, catch up, look; returns the slowest median of an asset, in seconds."""
    dsn = server.create("chunk_sync_health")
    found: defaultdict[str, list[float]] = defaultdict(list)
    with Database(dsn) as database, dg.DagsterInstance.ephemeral() as instance:
        migrate(database)
        fill(database, attempts, chunks)
        os.environ[DSN] = dsn
        catching_up = [look(instance)["chunk_attempts"]]
        while not caught_up(database):
            catching_up.append(look(instance)["chunk_attempts"])
        for _ in range(rounds):
            for asset, seconds in look(instance).items():
                found[asset].append(seconds)
        hours = database.execute("SELECT count(*) AS n, count(DISTINCT hour) AS hours FROM attempt_hours")[0]
    print(f"the roll-up of it all, once: {sum(catching_up):.1f} s in {len(catching_up)} looks,"
          f" {hours['n']:,} rows for {hours['hours']} hours")  # fmt: skip
    for asset, seconds in sorted(found.items(), key=lambda item: -statistics.median(item[1])):
        print(f"  {asset:<26}{statistics.median(seconds):>8.3f} s   [{' '.join(f'{one:.2f}' for one in seconds)}]")
    total = [sum(times) for times in zip(*found.values(), strict=True)]
    print(f"  {'all of them':<26}{statistics.median(total):>8.3f} s")
    return max(statistics.median(seconds) for seconds in found.values())


def main() -> int:
    """Measure and print; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.health", description=__doc__)
    parser.add_argument("--attempts", type=int, default=10_000_000, help="of the last week (10000000)")
    parser.add_argument("--chunks", type=int, default=1_000_000, help="completed ones of the last month (1000000)")
    parser.add_argument("--rounds", type=int, default=5, help="looks at health (5)")
    options = parser.parse_args()
    warnings.simplefilter("ignore", BetaWarning)
    with exit_on_signals(), running() as server:
        print(server.line(), flush=True)
        slowest = measure(server, options.attempts, options.chunks, options.rounds)
    print(f"slowest asset {slowest:.2f} s, aim below {_LIMIT_SECONDS:.0f} s")
    return 0 if slowest < _LIMIT_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
