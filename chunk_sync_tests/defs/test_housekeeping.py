"""Dagster's own tables stay small: keys of chunks that are over go, and runs past their retention, but none in use."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage

from chunk_sync.defs import partitions
from chunk_sync.defs.housekeeping import DEAD_EVENTS_HOURS, prune_keys, prune_runs, release_keys
from chunk_sync.defs.partitions import LiveKeys, register_new_keys
from chunk_sync.domain import partitions as windows
from chunk_sync.domain.dispatch import DueJob, Slice
from chunk_sync.domain.partitions import PARTITIONS_NAME, job_keys
from chunk_sync.store import dispatches, queue
from chunk_sync.store.database import query, sql_folder
from chunk_sync.store.mailboxes import get_mailbox
from chunk_sync_tests import factory
from chunk_sync_tests.defs.conftest import SYNCED, Edge, keys_of
from chunk_sync_tests.factory import PlannedJob

NOON = "2026-01-01 12:00:00+00"
RANGE = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
NAMES = sorted(path.stem for path in (sql_folder() / "queries" / "dagster").glob("*.sql"))


def live(edge: Edge) -> list[str]:
    """List the keys that Dagster has, in their order."""
    return list(edge.instance.get_dynamic_partitions(PARTITIONS_NAME))


def land(edge: Edge, job: PlannedJob, chunks: int = 1000, *, told: bool = True) -> None:
    """Complete chunks of a job in their order, and tell Dagster of them."""
    worker = factory.open_worker(edge.database)
    while chunks and (claimed := factory.claim(edge.database, job, worker, limit=min(chunks, 100))):
        chunks -= len(claimed)
        for chunk in claimed:
            factory.complete(edge.database, chunk)
        if told:
            queue.mark_reported(edge.database, [chunk.chunk_id for chunk in claimed])
    queue.close_worker(edge.database, worker)


def run_over(edge: Edge, keys: list[str], status: dg.DagsterRunStatus, run_id: str = "run-1") -> None:
    """Have Dagster know a run over a range of keys."""
    tags = {RANGE[0]: keys[0], RANGE[1]: keys[-1]}
    edge.instance.add_run(dg.DagsterRun(job_name="sync_chunks", run_id=run_id, status=status, tags=tags))


def slice_of(job: PlannedJob, first: int, last: int) -> Slice:
    """A run that the dispatcher would ask for."""
    due = DueJob(job.id, job.mailbox.tenant_id, job.mailbox.id, job.mailbox.name, "default", 20, 4, [])
    return Slice(due, first, last, last - first + 1, scattered=False)


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Windows of four chunks."""
    monkeypatch.setattr(windows, "KEY_WINDOW", 4)
    monkeypatch.setattr(partitions, "KEY_WINDOW", 4)
    return 4


@pytest.mark.parametrize("name", NAMES)
def test_every_statement_fits_dagsters_tables(edge: Edge, name: str) -> None:
    """It is what fails when a release of Dagster names its tables or columns in another way."""
    numbered = re.sub(r"%\((\w+)\)s", "NULL", query(f"dagster/{name}")).replace("%%", "%")
    storage = edge.instance.event_log_storage
    assert isinstance(storage, SqlEventLogStorage)
    with storage.index_connection() as conn:
        conn.exec_driver_sql(f"PREPARE q AS {numbered}")
        conn.exec_driver_sql("DEALLOCATE q")


def test_keys_go_when_their_job_ended_long_ago(edge: Edge) -> None:
    """After the keep of its row; those of jobs that ended later, failed or not, or never, stay in their order."""
    factory.set_clock(edge.database, NOON)
    old, failed, open_ = edge.plan(2, name="old"), edge.plan(2, name="failed"), edge.plan(2, name="open")
    land(edge, old)
    (chunk,) = factory.claim(edge.database, failed, factory.open_worker(edge.database))
    edge.database.execute(
        "SELECT fail_chunk(%s, %s, 'permission', 'no', 'NOPERM')", (chunk.chunk_id, chunk.lease_token)
    )
    land(edge, failed)
    factory.move_clock(edge.database, "6 days 23 hours")
    young = edge.plan(2, name="young")
    land(edge, young)
    assert (0, 8) == (prune_keys(edge.instance, edge.database), len(live(edge)))
    factory.move_clock(edge.database, "1 hour 1 s")
    assert 4 == prune_keys(edge.instance, edge.database)
    assert [*keys_of(open_), *keys_of(young)] == live(edge)
    assert 0 == prune_keys(edge.instance, edge.database)


def test_without_its_row_keys_are_kept(edge: Edge, owner: object) -> None:
    """Retention is a row of retention_policies: without it nothing is too old."""
    job = edge.plan(2)
    land(edge, job)
    edge.database.execute("DELETE FROM retention_policies WHERE what IN ('partition_keys', 'dagster_runs')")
    factory.set_clock(edge.database, "2036-01-01 12:00:00+00")
    assert 0 == prune_keys(edge.instance, edge.database)
    assert {"runs": 0} == prune_runs(edge.instance, edge.database, SYNCED)
    assert keys_of(job) == live(edge)


def test_keys_of_no_chunk_go(edge: Edge) -> None:
    """Somebody made them up in the UI, or their job is deleted; one that a run waits for stays meanwhile."""
    job = edge.plan(2)
    invented = ["nonsense", *job_keys(job.id, [2]), *job_keys(job.id + 7, [0])]
    edge.instance.add_dynamic_partitions(PARTITIONS_NAME, invented)
    run_over(edge, invented[:1], dg.DagsterRunStatus.NOT_STARTED)
    assert 2 == prune_keys(edge.instance, edge.database)
    assert [*keys_of(job), "nonsense"] == live(edge)
    run_over(edge, invented[:1], dg.DagsterRunStatus.FAILURE, "run-2")
    edge.instance.delete_run("run-1")
    assert 1 == prune_keys(edge.instance, edge.database)


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTED])
def test_no_key_goes_under_a_run(edge: Edge, status: dg.DagsterRunStatus) -> None:
    """All that lie between the first and the last of a run's range stay while it waits or works, then they go."""
    factory.set_clock(edge.database, NOON)
    job = edge.plan(5)
    land(edge, job)
    factory.move_clock(edge.database, "8 days")
    keys = keys_of(job)
    run_over(edge, keys[1:4], status)
    assert set() == release_keys(edge.instance, edge.database, keys, 0)
    assert 2 == prune_keys(edge.instance, edge.database)
    assert keys[1:4] == live(edge)
    edge.instance.delete_run("run-1")
    assert 3 == prune_keys(edge.instance, edge.database)


def test_no_key_goes_under_a_backfill_or_a_dispatch(edge: Edge) -> None:
    """A backfill may yet ask for any of them; a dispatch is a run that Dagster does not know yet."""
    factory.set_clock(edge.database, NOON)
    job = edge.plan(3)
    land(edge, job)
    factory.move_clock(edge.database, "8 days")
    backfill = PartitionBackfill("b", BulkActionStatus.REQUESTED, from_failure=False, tags={}, backfill_timestamp=0.0)
    edge.instance.add_backfill(backfill)
    assert 0 == prune_keys(edge.instance, edge.database)
    edge.instance.update_backfill(backfill.with_status(BulkActionStatus.COMPLETED_SUCCESS))
    dispatches.add_dispatch(edge.database, slice_of(job, 1, 1), 60)
    assert 2 == prune_keys(edge.instance, edge.database)
    assert keys_of(job, [1]) == live(edge)


@pytest.mark.usefixtures("small_windows")
def test_a_large_job_gets_its_keys_by_windows(edge: Edge) -> None:
    """The first window when it is planned, each other one when a run over it is asked for; a range is whole in each."""
    box = factory.make_mailbox(edge.database)
    large, small = factory.make_job(edge.database, box, chunks=10), factory.make_job(edge.database, box, chunks=3)
    keys = LiveKeys(edge.instance, edge.database, 100)
    assert [large.id, small.id] == keys.register_new()
    assert [*keys_of(large, range(4)), *keys_of(small)] == live(edge)
    asked = [slice_of(large, 0, 3), slice_of(large, 4, 5), slice_of(large, 6, 7), slice_of(large, 9, 9)]
    assert asked == keys.prepare(asked)
    assert [*keys_of(large, range(4)), *keys_of(small), *keys_of(large, [4, 5, 6, 7, 9])] == live(edge)
    assert asked == LiveKeys(edge.instance, edge.database, 100).prepare(asked)  # a tick that was killed is made again
    assert [] == LiveKeys(edge.instance, edge.database, 100).register_new()


@pytest.mark.usefixtures("small_windows")
def test_a_run_in_a_later_window_materializes_its_own_keys(edge: Edge) -> None:
    """Dagster's range over keys that were added later is exactly the run's chunks."""
    box = factory.make_mailbox(edge.database)
    large, small = factory.make_job(edge.database, box, chunks=7), factory.make_job(edge.database, box, chunks=2)
    keys = LiveKeys(edge.instance, edge.database, 100)
    keys.register_new()
    (piece,) = keys.prepare([slice_of(large, 4, 6)])
    dispatch = dispatches.add_dispatch(edge.database, piece, 60)
    wanted = keys_of(large, [4, 5, 6])
    tags = {"chunk_sync/dispatch": str(dispatch.id), RANGE[0]: wanted[0], RANGE[1]: wanted[-1]}
    result = edge.run("sync_chunks", tags=tags)
    assert result.success
    assert wanted == sorted(edge.materializations(result))
    assert [None] * 4 + ["MATERIALIZED"] * 3 == edge.statuses(large)
    assert [None] * 2 == edge.statuses(small)


@pytest.mark.usefixtures("small_windows")
def test_landed_chunks_make_room(edge: Edge) -> None:
    """No more keys than the limit: those of chunks that landed and were told of go first, the oldest at that."""
    first = edge.plan(4, name="first")
    second = edge.plan(4, name="second")
    land(edge, first, 3)
    land(edge, second, 2, told=False)
    third = factory.make_job(edge.database, get_mailbox(edge.database, "first"), chunks=3)
    assert [third.id] == LiveKeys(edge.instance, edge.database, 8).register_new()
    assert [*keys_of(first, [3]), *keys_of(second), *keys_of(third)] == live(edge)


@pytest.mark.usefixtures("small_windows")
def test_without_room_chunks_are_pulled(edge: Edge) -> None:
    """When nothing has landed that could go, a run has no range and no key is touched; later it has its own."""
    first = edge.plan(4, name="first")
    second = factory.make_job(edge.database, factory.make_mailbox(edge.database, "second"), chunks=4)
    keys = LiveKeys(edge.instance, edge.database, 6)
    assert [] == keys.register_new()
    assert [True] == [piece.scattered for piece in keys.prepare([slice_of(second, 0, 3)])]
    assert keys_of(first) == live(edge)
    land(edge, first)
    keys = LiveKeys(edge.instance, edge.database, 6)
    assert [second.id] == keys.register_new()
    assert keys_of(second) == live(edge)


@pytest.mark.usefixtures("small_windows")
def test_a_chunk_whose_neighbours_keys_are_gone_is_pulled(edge: Edge) -> None:
    """Added again they would lie elsewhere, and a range from here to there would be over strangers."""
    job, other = edge.plan(4, name="job"), edge.plan(2, name="other")
    land(edge, job, 2)
    assert set(keys_of(job, [0, 1])) == release_keys(edge.instance, edge.database, live(edge), 4)
    keys = LiveKeys(edge.instance, edge.database, 100)
    again, rest = keys.prepare([slice_of(job, 1, 2), slice_of(job, 2, 3)])
    assert (True, False) == (again.scattered, rest.scattered)
    assert [*keys_of(job, [2, 3]), *keys_of(other)] == live(edge)
    (back,) = keys.prepare([slice_of(job, 0, 1)])  # all of it is gone: it can lie side by side again
    assert not back.scattered
    assert [*keys_of(job, [2, 3]), *keys_of(other), *keys_of(job, [0, 1])] == live(edge)


def test_runs_past_their_retention_go_with_all_they_left(edge: Edge) -> None:
    """A run goes with its events, tags and logs once its keys are gone; while one is live it keeps its colour."""
    job, other = edge.plan(3, name="job"), edge.plan(2, name="other")
    edge.mail.refuse(5)
    first = edge.run("sync_chunks", tags={RANGE[0]: keys_of(job)[0], RANGE[1]: keys_of(job)[-1]})
    second = edge.run("sync_chunks", tags={RANGE[0]: keys_of(other)[0], RANGE[1]: keys_of(other)[-1]})
    shown = ["MATERIALIZED", "MATERIALIZED", "FAILED"]
    factory.set_clock(edge.database, "2126-01-01 12:00:00+00")  # Dagster's clock is the real one
    assert {"runs": 0, "check_results": 0, "backfills": 0} == prune_runs(edge.instance, edge.database, SYNCED)
    assert shown == edge.statuses(job)
    for key in keys_of(job):
        edge.instance.delete_dynamic_partition(PARTITIONS_NAME, key)
    logs = _log_folder(edge, first.run_id)
    assert logs.exists()
    assert 1 == prune_runs(edge.instance, edge.database, SYNCED)["runs"]
    assert (None, False) == (edge.instance.get_run_by_id(first.run_id), logs.exists())
    left = {
        table: _count(edge, f"SELECT count(*) FROM {table} WHERE run_id = '{first.run_id}'")
        for table in ("event_logs", "run_tags", "runs")
    }
    assert {"event_logs": 0, "run_tags": 0, "runs": 0} == left
    assert edge.instance.get_run_by_id(second.run_id) is not None
    assert ["MATERIALIZED"] * 2 == edge.statuses(other)


def test_runs_that_are_young_or_at_work_stay(edge: Edge) -> None:
    """Whatever their age, runs that have not ended stay; ended ones stay for the keep of their row."""
    statuses = set(dg.DagsterRunStatus) - {dg.DagsterRunStatus.QUEUED}  # which needs a code location
    for number, status in enumerate(statuses):
        edge.instance.add_run(dg.DagsterRun(job_name="plan_sync_jobs", run_id=f"r{number}", status=status))
    assert 0 == prune_runs(edge.instance, edge.database, SYNCED)["runs"]
    factory.set_clock(edge.database, "2126-01-01 12:00:00+00")
    assert 3 == prune_runs(edge.instance, edge.database, SYNCED)["runs"]
    ended = {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}
    assert statuses - ended == {run.status for run in edge.instance.get_runs()}


def test_the_last_run_of_an_asset_stays(edge: Edge) -> None:
    """An asset without partitions keeps what it shows: the last materialization, also when a later run failed."""
    runs = [edge.run("plan_sync_jobs") for _ in range(2)]
    edge.mail.listing_error = None
    assert all(run.success for run in runs)
    factory.set_clock(edge.database, "2126-01-01 12:00:00+00")
    assert 1 == prune_runs(edge.instance, edge.database, SYNCED)["runs"]
    assert [runs[1].run_id] == [run.run_id for run in edge.instance.get_runs()]
    assert edge.instance.get_latest_materialization_event(dg.AssetKey("planned_chunks")) is not None


def test_events_go_hours_after_their_key(edge: Edge) -> None:
    """Events of a chunk go when they are six hours old and its key is gone, and not before; their run stays longer."""
    job = edge.plan(2)
    for key in keys_of(job):
        edge.instance.report_runless_asset_event(dg.AssetMaterialization(SYNCED, partition=key))
    edge.instance.delete_dynamic_partition(PARTITIONS_NAME, keys_of(job)[0])
    assert 0 == prune_runs(edge.instance, edge.database, SYNCED)["events_of_dead_keys"]
    factory.set_clock(edge.database, f"{datetime.now(UTC) + timedelta(hours=DEAD_EVENTS_HOURS, minutes=1)}")
    assert 1 == prune_runs(edge.instance, edge.database, SYNCED)["events_of_dead_keys"]
    assert [None, "MATERIALIZED"] == edge.statuses(job)


def test_backfills_that_are_over_go(edge: Edge) -> None:
    """When they have ended long ago and no run of theirs is left."""
    for name, status in (("over", BulkActionStatus.COMPLETED_SUCCESS), ("open", BulkActionStatus.REQUESTED)):
        edge.instance.add_backfill(
            PartitionBackfill(name, status, from_failure=False, tags={"a": "b"}, backfill_timestamp=0.0)
        )
    assert 1 == prune_runs(edge.instance, edge.database, SYNCED)["backfills"]
    assert ["open"] == [backfill.backfill_id for backfill in edge.instance.get_backfills()]
    assert 1 == _count(edge, "SELECT count(*) FROM backfill_tags")


def test_the_maintenance_job_does_both(edge: Edge) -> None:
    """Keys first, so that their runs can go in the same hour; what it did is in its metadata."""
    for name in ("first", "second"):  # the last one is the asset's own, and stays
        keys = keys_of(edge.plan(2, name=name))
        assert edge.run("sync_chunks", tags={RANGE[0]: keys[0], RANGE[1]: keys[-1]}).success
    factory.set_clock(edge.database, "2126-01-01 12:00:00+00")
    result = edge.run("maintenance")
    assert result.success
    (event,) = [e for e in result.all_node_events if e.is_successful_output and e.node_name == "prune_dagster"]
    shown = {name: value.value for name, value in event.step_output_data.metadata.items()}
    gone = {"partition_keys": 4, "runs": 1, "events_of_dead_keys": 4}
    assert gone | {"check_results": 0, "backfills": 0, "partition_keys_left": 0} == shown


def _count(edge: Edge, statement: str) -> int:
    storage = edge.instance.event_log_storage
    assert isinstance(storage, SqlEventLogStorage)
    with storage.index_connection() as conn:
        return conn.exec_driver_sql(statement).scalar_one()


def _log_folder(edge: Edge, run_id: str) -> Path:
    path = edge.instance.compute_log_manager.get_captured_local_path([run_id, "compute_logs", "step"], "out")
    return Path(path).parent


def test_register_new_keys_gives_all_at_once(edge: Edge) -> None:
    """What tests and benchmarks use knows no limit."""
    job = factory.make_job(edge.database, factory.make_mailbox(edge.database), chunks=3)
    assert [job.id] == register_new_keys(edge.instance, edge.database)
    assert keys_of(job) == live(edge)
