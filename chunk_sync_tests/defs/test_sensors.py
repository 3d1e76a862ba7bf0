"""What the sensors ask for, tick by tick, on a clock that the tests move."""

from __future__ import annotations

from datetime import timedelta

import dagster as dg
import pytest
from dagster._core.events import JobFailureData

from chunk_sync.defs.ops import JOB_TAG
from chunk_sync.defs.sensors import due_chunks, failed_runs, new_sync_jobs, scheduled_syncs, stuck_chunks
from chunk_sync.domain.partitions import PARTITIONS_NAME, partition_key
from chunk_sync.errors import UsageError
from chunk_sync.store import control, dispatches, queue
from chunk_sync.store.control import Decision
from chunk_sync.store.mailboxes import get_mailbox, request_sync, set_sync_every
from chunk_sync_tests import factory
from chunk_sync_tests.defs.conftest import SYNCED, Edge, keys_of, live_dispatches

RANGE = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
NOON = "2026-01-01 12:00:00+00"


def range_of(request: dg.RunRequest) -> tuple[str, str]:
    """Read the range of partitions that a run is asked for."""
    return request.tags[RANGE[0]], request.tags[RANGE[1]]


def plan_ids(request: dg.RunRequest) -> list[int]:
    """Read the sync jobs that a run is asked to plan."""
    return request.run_config["ops"]["planned_chunks"]["config"]["sync_job_ids"]


def request(edge: Edge, mailbox: str = "box") -> int:
    """Ask for a sync."""
    return request_sync(edge.database, mailbox).job_id


def end_run(edge: Edge, run_id: str, status: dg.DagsterRunStatus = dg.DagsterRunStatus.FAILURE) -> None:
    """Have Dagster know a run that is over."""
    edge.instance.add_run(dg.DagsterRun(job_name="sync_chunks", run_id=run_id, status=status))


def test_new_job_is_asked_for_once(edge: Edge) -> None:
    """One plan run for all that wait; not again while its mark holds, again when the run got lost."""
    factory.set_clock(edge.database, NOON)
    factory.make_mailbox(edge.database)
    jobs = [request(edge), request(edge)]
    (first,) = edge.tick(new_sync_jobs)
    assert jobs == sorted(plan_ids(first))
    assert [] == edge.tick(new_sync_jobs)
    factory.move_clock(edge.database, "119 s")
    assert [] == edge.tick(new_sync_jobs)
    factory.move_clock(edge.database, "2 s")
    (second,) = edge.tick(new_sync_jobs)
    assert jobs == sorted(plan_ids(second))
    # Dagster remembers run keys for ever and would drop a second request of the same key.
    assert first.run_key != second.run_key


def test_job_that_was_planned_is_not_asked_for(edge: Edge) -> None:
    """A plan run that did its work leaves nothing to ask for, however much time passes."""
    factory.set_clock(edge.database, NOON)
    factory.make_mailbox(edge.database)
    edge.mail.messages = 10
    request(edge)
    (asked,) = edge.tick(new_sync_jobs)
    assert edge.launch(asked, "plan_sync_jobs").success
    factory.move_clock(edge.database, "1 h")
    assert [] == edge.tick(new_sync_jobs)


def test_incremental_waits_for_the_sync_before_it(edge: Edge) -> None:
    """A sync from the cursor is asked for only when the one that moves the cursor is over."""
    job = edge.plan(1)
    request_sync(edge.database, "box", sync_type="incremental")
    assert [] == edge.tick(new_sync_jobs)
    edge.launch(edge.tick(due_chunks)[0])
    assert "completed" == factory.job_row(edge.database, job.id)["status"]
    assert 1 == len(edge.tick(new_sync_jobs))


def test_due_chunks_get_disjoint_ranges(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys are registered side by side, runs share the job evenly, and their ranges never meet."""
    monkeypatch.setenv("CHUNK_SYNC_PARALLEL_RUNS", "2")
    mailbox = factory.make_mailbox(edge.database)
    job = factory.make_job(edge.database, mailbox, chunks=60)
    requests = edge.tick(due_chunks)
    assert keys_of(job) == list(edge.instance.get_dynamic_partitions(PARTITIONS_NAME))
    key = keys_of(job)
    assert [(key[0], key[39]), (key[40], key[59])] == [range_of(each) for each in requests]
    assert ["sync_chunks"] * 2 == [each.job_name for each in requests]
    assert 2 == len({each.run_key for each in requests})
    assert 2 == live_dispatches(edge.database)
    shown = {"job": str(job.id), "mailbox": "box", "tenant": "default", "attempts": "1"}
    assert shown == {name: requests[0].tags[f"chunk_sync/{name}"] for name in shown}
    assert "20" == requests[0].tags["dagster/priority"]


def test_a_run_says_which_attempts_it_makes(edge: Edge) -> None:
    """Its tag is the range of attempts that the chunks of its range are about to begin."""
    job = edge.plan(5)
    edge.database.execute("UPDATE chunk_processing_queue SET attempts = 1 WHERE chunk_id = %s", (job.chunk_ids[3],))
    (asked,) = edge.tick(due_chunks)
    assert "1-2" == asked.tags["chunk_sync/attempts"]


def test_runs_are_as_long_as_the_last_ones_were_slow(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of 10 chunks took 100 seconds: 40 chunks more are four runs of 10, where there is room for them."""
    monkeypatch.setenv("CHUNK_SYNC_PARALLEL_RUNS", "4")
    factory.set_clock(edge.database, NOON)
    job = edge.plan(10, limit=8)
    (asked,) = edge.tick(due_chunks)
    worker = queue.open_worker(edge.database, "w", 3600, "run-1")
    dispatches.take_dispatch(edge.database, int(asked.tags["chunk_sync/dispatch"]), worker)
    factory.move_clock(edge.database, "100 s")
    queue.close_worker(edge.database, worker)
    control.cancel(edge.database, control.find_target(edge.database, job_id=job.id), Decision("x", "y"))
    mailbox = get_mailbox(edge.database, "box")
    more = factory.make_job(edge.database, mailbox, chunks=40)
    keys = keys_of(more)
    assert [(keys[n], keys[n + 9]) for n in (0, 10, 20, 30)] == [range_of(each) for each in edge.tick(due_chunks)]


def test_mailboxes_with_an_interval_are_asked_for(edge: Edge) -> None:
    """Once at first, again when the interval since the last request is over; not while a job is open, nor paused."""
    factory.set_clock(edge.database, NOON)
    box = factory.make_mailbox(edge.database)
    factory.make_mailbox(edge.database, "never")
    with pytest.raises(UsageError, match=r"once a minute at most"):
        set_sync_every(edge.database, box, timedelta(seconds=59))
    set_sync_every(edge.database, box, timedelta(minutes=15))

    def asked() -> list[str]:
        edge.tick(scheduled_syncs)
        return [row["sync_type"] for row in edge.database.execute("SELECT sync_type::text FROM sync_jobs ORDER BY id")]

    assert ["initial"] == asked()
    factory.move_clock(edge.database, "1 h")
    assert ["initial"] == asked()
    edge.database.execute("UPDATE sync_jobs SET status = 'completed', total_chunks = 0, completed_at = clock()")
    control.pause(edge.database, control.find_target(edge.database, mailbox="box"), Decision("x", "y"))
    assert ["initial"] == asked()
    control.resume(edge.database, control.find_target(edge.database, mailbox="box"), Decision("x", "y"))
    assert ["initial", "incremental"] == asked()
    (job,) = edge.database.execute("SELECT requested_by FROM sync_jobs ORDER BY id DESC LIMIT 1")
    assert "scheduled_syncs" == job["requested_by"]
    edge.database.execute("UPDATE sync_jobs SET status = 'completed', completed_at = clock()")
    factory.move_clock(edge.database, "14 min")
    assert 2 == len(asked())
    factory.move_clock(edge.database, "1 min")
    assert 3 == len(asked())


def test_a_failed_run_is_noted_and_gives_back_what_it_held(edge: Edge) -> None:
    """The audit log says why, once; the run's chunks are due at once, without waiting for the lease."""
    job = edge.plan(2)
    worker = queue.open_worker(edge.database, "run-gone", 3600, "gone")
    assert queue.claim_chunks(edge.database, worker, job.chunk_ids, 2)
    run = dg.DagsterRun(
        job_name="sync_chunks", run_id="gone", status=dg.DagsterRunStatus.FAILURE, tags={JOB_TAG: str(job.id)}
    )
    event = dg.DagsterEvent(
        dg.DagsterEventType.RUN_FAILURE.value,
        "sync_chunks",
        message="killed\nby somebody",
        event_specific_data=JobFailureData(None),
    )
    for _ in range(2):
        context = dg.build_run_status_sensor_context(
            "failed_runs", event, edge.instance, run, resources={"chunk_sync": edge.resource}
        ).for_run_failure()
        failed_runs(context)
    assert ["pending", "pending"] == factory.statuses(edge.database, job)
    noted = [row for row in edge.audit() if row["action"] == "run_failed"]
    assert [("gone", job.id, "killed", {"job": "sync_chunks"})] == [
        (row["run_id"], row["sync_job_id"], row["reason"], row["details"]) for row in noted
    ]


def test_a_run_whose_machine_is_lost_is_ended(edge: Edge) -> None:
    """Dagster would keep its place in the queue for an hour; a run that said goodbye is left alone."""
    factory.set_clock(edge.database, NOON)
    for run_id in ("lost", "well"):
        edge.instance.add_run(dg.DagsterRun(job_name="sync_chunks", run_id=run_id, status=dg.DagsterRunStatus.STARTED))
    queue.open_worker(edge.database, "run-lost", 60, "lost")
    queue.close_worker(edge.database, queue.open_worker(edge.database, "run-well", 60, "well"))

    def statuses() -> list[str]:
        edge.tick(stuck_chunks)
        runs = [edge.instance.get_run_by_id(run_id) for run_id in ("lost", "well")]
        return [run.status.value for run in runs if run]

    factory.move_clock(edge.database, "5 min")
    assert ["STARTED", "STARTED"] == statuses()
    factory.move_clock(edge.database, "2 min")
    assert ["FAILURE", "STARTED"] == statuses()


def test_nothing_is_asked_twice_while_dispatches_live(edge: Edge) -> None:
    """A request that nobody has taken holds its chunks until it expires; then they are asked for again."""
    factory.set_clock(edge.database, NOON)
    edge.plan(5)
    (first,) = edge.tick(due_chunks)
    assert [] == edge.tick(due_chunks)
    factory.move_clock(edge.database, "119 s")
    edge.tick(stuck_chunks)
    assert [] == edge.tick(due_chunks)
    factory.move_clock(edge.database, "2 s")
    edge.tick(stuck_chunks)
    (second,) = edge.tick(due_chunks)
    assert range_of(first) == range_of(second)
    assert first.run_key != second.run_key


def test_dispatch_lives_as_long_as_its_worker(edge: Edge) -> None:
    """A run at work keeps its range although its request would have expired; when it ends, so does the dispatch."""
    factory.set_clock(edge.database, NOON)
    edge.plan(5)
    (asked,) = edge.tick(due_chunks)
    worker = queue.open_worker(edge.database, "w", 3600, "run-1")
    assert dispatches.take_dispatch(edge.database, int(asked.tags["chunk_sync/dispatch"]), worker)
    factory.move_clock(edge.database, "10 min")
    edge.tick(stuck_chunks)
    assert [] == edge.tick(due_chunks)
    queue.close_worker(edge.database, worker)
    assert 1 == len(edge.tick(due_chunks))


def test_second_mailbox_gets_its_turn(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mailboxes share the runs: a large one does not take them all."""
    monkeypatch.setenv("CHUNK_SYNC_PARALLEL_RUNS", "2")
    edge.plan(50, name="large")
    edge.plan(2, name="small")
    assert {"large", "small"} == {each.tags["chunk_sync/mailbox"] for each in edge.tick(due_chunks)}


def test_scattered_retries_are_pulled(edge: Edge) -> None:
    """Due chunks that lie far apart are one run without a range, not a run each."""
    factory.set_clock(edge.database, NOON)
    job = edge.plan(9)
    worker = factory.open_worker(edge.database)
    edge.database.execute(
        "UPDATE chunk_processing_queue SET available_at = clock() + interval '1 h', turn_at = NULL"
        " WHERE chunk_index %% 3 > %s",
        (0,),
    )
    (pulled,) = edge.tick(due_chunks)
    assert "retry_chunks" == pulled.job_name
    assert not set(RANGE) & pulled.tags.keys()
    result = edge.launch(pulled)
    assert result.success
    assert keys_of(job, [0, 3, 6]) == sorted(edge.materializations(result))
    assert ["MATERIALIZED", None, None] * 3 == edge.statuses(job)
    queue.close_worker(edge.database, worker)


def test_throttled_mailbox_is_left_alone(edge: Edge) -> None:
    """Nothing is asked for while the account is paused."""
    factory.set_clock(edge.database, NOON)
    edge.plan(2)
    edge.database.execute("UPDATE mailbox_lanes SET not_before = clock() + interval '1 min'")
    assert [] == edge.tick(due_chunks)
    factory.move_clock(edge.database, "2 min")
    assert 1 == len(edge.tick(due_chunks))


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED])
def test_chunks_of_a_dead_run_are_given_back(edge: Edge, status: dg.DagsterRunStatus) -> None:
    """What Dagster knows to be over is given back at once, without waiting for the lease; the attempt counts."""
    job = edge.plan(4)
    (asked,) = edge.tick(due_chunks)
    worker = queue.open_worker(edge.database, "w", 3600, "run-1")
    dispatches.take_dispatch(edge.database, int(asked.tags["chunk_sync/dispatch"]), worker)
    factory.claim(edge.database, job, worker, limit=2)
    edge.tick(stuck_chunks)
    assert ["processing"] * 2 + ["pending"] * 2 == factory.statuses(edge.database, job)
    end_run(edge, "run-1", status)
    edge.tick(stuck_chunks)
    assert ["pending"] * 4 == factory.statuses(edge.database, job)
    assert live_dispatches(edge.database) == 0
    (again,) = edge.tick(due_chunks)
    assert edge.launch(again).success
    attempts = [edge.latest(key)["attempt"] for key in keys_of(job)]
    assert [2, 2, 1, 1] == attempts


def test_live_run_keeps_its_chunks(edge: Edge) -> None:
    """A run that Dagster holds for running is not robbed while its lease is good."""
    job = edge.plan(2)
    worker = queue.open_worker(edge.database, "w", 3600, "run-1")
    factory.claim(edge.database, job, worker, limit=2)
    end_run(edge, "run-1", dg.DagsterRunStatus.STARTED)
    edge.tick(stuck_chunks)
    assert ["processing"] * 2 == factory.statuses(edge.database, job)


def test_expired_lease_is_given_back(edge: Edge) -> None:
    """A worker that Dagster knows nothing of loses its chunks when its lease is over."""
    factory.set_clock(edge.database, NOON)
    job = edge.plan(2)
    factory.claim(edge.database, job, factory.open_worker(edge.database), limit=2)
    factory.move_clock(edge.database, "59 s")
    edge.tick(stuck_chunks)
    assert ["processing"] * 2 == factory.statuses(edge.database, job)
    factory.move_clock(edge.database, "2 s")
    edge.tick(stuck_chunks)
    assert ["pending"] * 2 == factory.statuses(edge.database, job)


def test_landed_chunks_of_a_dead_run_turn_green(edge: Edge) -> None:
    """A chunk that landed before its run was killed is told to Dagster afterwards, once."""
    factory.set_clock(edge.database, NOON)
    job = edge.plan(2)
    worker = queue.open_worker(edge.database, "w", 60, "run-1")
    for chunk in factory.claim(edge.database, job, worker, limit=2):
        factory.complete(edge.database, chunk)
    end_run(edge, "run-1")
    edge.tick(stuck_chunks)
    assert [None, None] == edge.statuses(job)  # its run may be about to say so
    factory.move_clock(edge.database, "61 s")
    edge.tick(stuck_chunks)
    assert ["MATERIALIZED"] * 2 == edge.statuses(job)
    assert {"emails": 10, "bytes": 1000, "attempt": 1} == edge.latest(keys_of(job)[1])
    edge.tick(stuck_chunks)
    assert 2 == len(edge.instance.fetch_materializations(SYNCED, limit=10).records)


def test_landed_chunk_whose_key_was_pruned_is_not_reported(edge: Edge) -> None:
    """A key that Dagster does not have is not invented by a report."""
    factory.set_clock(edge.database, NOON)
    job = edge.plan(1)
    (chunk,) = factory.claim(edge.database, job, factory.open_worker(edge.database))
    factory.complete(edge.database, chunk)
    edge.instance.delete_dynamic_partition(PARTITIONS_NAME, partition_key(job.id, 0))
    factory.move_clock(edge.database, "2 min")
    edge.tick(stuck_chunks)
    assert [] == edge.instance.fetch_materializations(SYNCED, limit=10).records


@pytest.mark.parametrize("sensor", [new_sync_jobs, due_chunks, stuck_chunks], ids=lambda sensor: sensor.name)
def test_idle_sensor_asks_for_nothing(edge: Edge, sensor: dg.SensorDefinition) -> None:
    """On an empty installation every tick is skipped."""
    assert [] == edge.tick(sensor)
