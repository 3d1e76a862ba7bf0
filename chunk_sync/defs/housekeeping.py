"""Housekeeping of Dagster's own tables: keys of chunks that are over, and runs that are past their retention.

Dagster's API where it has one. It deletes runs; for keys in bulk, for what to delete, and for what a run leaves
behind there is SQL in one place (store/dagster_tables.py).
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager

import dagster as dg
from dagster import RunsFilter
from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
)

from chunk_sync.domain.partitions import PARTITIONS_NAME, between, parse_partition_key
from chunk_sync.store import dagster_tables
from chunk_sync.store.dagster_tables import Connection
from chunk_sync.store.database import Database
from chunk_sync.store.partition_keys import KeyState, key_states
from chunk_sync.store.retention import expired_before, hours_ago

_KEYS_A_BATCH = 2000
_KEYS_LOOKED_AT = 4000
_EVENTS_A_BATCH = 5000
RUNS_A_TIME = 2000
"""So many runs at most in one go of the maintenance: minutes, and more than a day makes."""
DEAD_EVENTS_HOURS = 6
"""So long a chunk that Dagster does not know any more stays in its run's log: each costs the next page some time."""
_BACKFILLS_AT_WORK = [BulkActionStatus.REQUESTED, BulkActionStatus.CANCELING, BulkActionStatus.FAILING]


def keys_at_work(instance: dg.DagsterInstance, keys: Sequence[str]) -> Collection[str]:
    """Give the keys that a run of Dagster's is about, waiting or running; all of them while a backfill is at work.

    A backfill keeps its keys for itself until it has made its runs.
    """
    if instance.get_backfills(BulkActionsFilter(statuses=_BACKFILLS_AT_WORK), limit=1):
        return set(keys)
    places = {key: place for place, key in enumerate(keys)}
    busy: set[str] = set()
    for run in instance.get_runs(RunsFilter(statuses=NOT_FINISHED_STATUSES)):
        if single := run.tags.get(PARTITION_NAME_TAG):
            busy.add(single)
        first, last = run.tags.get(ASSET_PARTITION_RANGE_START_TAG), run.tags.get(ASSET_PARTITION_RANGE_END_TAG)
        if first and last:
            busy.update(between(keys, places, first, last))
    return busy


def release_keys(instance: dg.DagsterInstance, database: Database, keys: Sequence[str], count: int) -> set[str]:
    """Delete up to `count` of the live keys, the oldest first: of chunks that landed and were told of.

    `keys` are all live ones in their order; returns those that went.
    """
    gone: list[str] = []
    for start in range(0, len(keys), _KEYS_LOOKED_AT):
        if len(gone) >= count:
            break
        some = keys[start : start + _KEYS_LOOKED_AT]
        gone += _chosen(instance, database, keys, some, lambda state: state is None or state.landed)
    _delete(instance, gone[:count])
    return set(gone[:count])


def prune_keys(instance: dg.DagsterInstance, database: Database) -> int:
    """Delete the keys of jobs that ended long ago, and those that are of no chunk; returns how many."""
    keys = instance.get_dynamic_partitions(PARTITIONS_NAME)
    gone = _chosen(instance, database, keys, keys, lambda state: state is None or state.expired)
    _delete(instance, gone)
    return len(gone)


def prune_runs(
    instance: dg.DagsterInstance, database: Database, asset: dg.AssetKey, limit: int = RUNS_A_TIME
) -> Counter[str]:
    """Delete runs that are past their retention with all that they left; returns how many of what.

    A run stays while it is what gives a live partition, an asset or a check its colour. Events of keys that are gone go
    after hours, before their run does.
    """
    deleted: Counter[str] = Counter(runs=0)
    before = expired_before(database, "dagster_runs")
    if before is None:
        return deleted
    with _tables(instance) as conn:
        runs = dagster_tables.expired_runs(conn, PARTITIONS_NAME, before, limit) if conn else []
    for run_id in runs:
        instance.event_log_storage.delete_events(run_id)  # first: if we are killed now, the run is found again
        instance.delete_run(run_id)
        instance.compute_log_manager.delete_logs(prefix=[run_id])
        deleted["runs"] += 1
    with _tables(instance) as conn:
        if conn:
            deleted.update(dagster_tables.delete_orphans(conn, before))
            young = max(before, hours_ago(database, DEAD_EVENTS_HOURS))
            while count := dagster_tables.delete_dead_events(
                conn, PARTITIONS_NAME, asset.to_string(), young, _EVENTS_A_BATCH
            ):
                deleted["events_of_dead_keys"] += count
    return deleted


def _chosen(
    instance: dg.DagsterInstance,
    database: Database,
    keys: Sequence[str],
    some: Sequence[str],
    choose: Callable[[KeyState | None], bool],
) -> list[str]:
    """Choose some of all keys by what became of their chunks (None: there is no such chunk); none a run is about."""
    parsed = [(key, parse_partition_key(key)) for key in some]
    states = key_states(database, [chunk for _, chunk in parsed if chunk])
    found = [key for key, chunk in parsed if choose(states.get(chunk) if chunk else None)]
    if not found:
        return []
    busy = keys_at_work(instance, keys)
    return [key for key in found if key not in busy]


def _delete(instance: dg.DagsterInstance, keys: Sequence[str]) -> None:
    for start in range(0, len(keys), _KEYS_A_BATCH):
        batch = keys[start : start + _KEYS_A_BATCH]
        with _tables(instance) as conn:
            if conn:
                dagster_tables.delete_keys(conn, PARTITIONS_NAME, batch)
                continue
        for key in batch:
            instance.delete_dynamic_partition(PARTITIONS_NAME, key)


@contextmanager
def _tables(instance: dg.DagsterInstance) -> Iterator[Connection | None]:
    """Give a connection to Dagster's tables, each statement its own transaction; None when that is no PostgreSQL."""
    from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage  # noqa: PLC0415 - it brings Alembic

    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        yield None
        return
    with storage.index_connection() as conn:
        yield conn if conn.dialect.name == "postgresql" else None
