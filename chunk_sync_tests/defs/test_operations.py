"""What a person does from the UI, as jobs.

Each does its one thing, says in the audit log which run it was, and refuses bad input with one line, at once.
"""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from chunk_sync.definitions import defs
from chunk_sync.defs.operations import all_operations
from chunk_sync.defs.sensors import due_chunks
from chunk_sync.store import queue
from chunk_sync.store.mailboxes import request_sync
from chunk_sync_tests import factory
from chunk_sync_tests.defs.conftest import Edge, failure, keys_of

OPS = {job.name: next(iter(job.graph.node_dict)) for job in all_operations}


def operate(
    edge: Edge, job: str, config: dict[str, object] | None = None, *, tags: dict[str, str] | None = None
) -> dg.ExecuteInProcessResult:
    """Run an operation as its launchpad would."""
    run_config: dict[str, Any] = {"ops": {OPS[job]: {"config": config or {}}}}
    return edge.run(job, run_config=run_config, tags=tags)


def told(edge: Edge, result: dg.ExecuteInProcessResult) -> dict[str, object]:
    """What a run's op has for metadata."""
    (record,) = edge.instance.get_records_for_run(result.run_id, of_type=dg.DagsterEventType.STEP_OUTPUT).records
    event = record.event_log_entry.get_dagster_event()
    return {name: value.value for name, value in event.step_output_data.metadata.items()}


def audited(edge: Edge, result: dg.ExecuteInProcessResult) -> tuple[str, str]:
    """Action and reason of what a run left in the audit log, which names the run."""
    assert result.success
    (row,) = [row for row in edge.audit() if f"dagster run {result.run_id}" in row["actor"]]
    assert result.run_id == row["run_id"]
    return row["action"], row["reason"]


def test_launchpads_open_with_nothing_but_what_can_be_filled_in() -> None:
    """Each launchpad shows its op's fields, valid as they are, and no empty key beside them."""
    for job in all_operations:
        config = defs.resolve_job_def(job.name).run_config
        assert config is not None
        assert {"ops": {OPS[job.name]: {"config": config["ops"][OPS[job.name]]["config"]}}} == config
        assert dg.validate_run_config(job, config)


def test_launchpads_name_the_choices() -> None:
    """A type or a priority that there is not is refused before anything runs."""
    for job, config in (
        ("request_sync", {"mailbox": "box", "sync_type": "full"}),
        ("change_priority", {"sync_job": 1, "priority": "31"}),
    ):
        with pytest.raises(dg.DagsterInvalidConfigError, match="not in enum type"):
            dg.validate_run_config(defs.resolve_job_def(job), {"ops": {OPS[job]: {"config": config}}})


@pytest.mark.parametrize("job", ["retry_failed_chunks", "resync_chunks", "change_priority", "archive_sync_job"])
def test_no_such_job(edge: Edge, job: str) -> None:
    """The launchpad as it opens touches nothing: it names no job yet."""
    edge.plan(2)
    result = edge.run(job)
    assert "there is no sync job 0: `./chunk-sync status` lists them" == failure(result)
    assert not any(event.is_step_up_for_retry for event in result.all_events)
    assert [] == edge.audit()


@pytest.mark.parametrize("job", ["cancel_sync", "pause_sync", "resume_sync"])
@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, "name one thing: a mailbox, or a sync_job, or whole_tenant: true"),
        ({"mailbox": "box", "sync_job": 1}, "name one thing: a mailbox, or a sync_job, or whole_tenant: true"),
        ({"mailbox": "nobody"}, "there is no mailbox 'nobody': `./chunk-sync mailbox list` says what there is"),
        ({"sync_job": 77}, "there is no sync job 77: `./chunk-sync status` says what there is"),
        ({"whole_tenant": True, "tenant": "x"}, "there is no tenant 'x': `./chunk-sync mailbox list` says"),
    ],
)
def test_no_such_target(edge: Edge, job: str, config: dict[str, object], expected: str) -> None:
    """Nothing named, two things named, or what is not there: one line, and nothing happens."""
    edge.plan(2)
    assert failure(operate(edge, job, config)).startswith(expected)
    assert [] == edge.audit()


def test_request_is_audited_with_its_person(edge: Edge) -> None:
    """The run and, where its tag says so, the person; an unwanted request leaves nothing."""
    factory.make_mailbox(edge.database)
    result = operate(edge, "request_sync", {"mailbox": "box", "reason": "moving out"}, tags={"user": "ada"})
    assert ("sync_requested", "moving out") == audited(edge, result)
    (row,) = edge.audit()
    assert (f"dagster run {result.run_id} (ada)", result.run_id, 1) == (
        row["actor"],
        row["run_id"],
        row["sync_job_id"],
    )
    assert {"sync_job": 1, "type": "initial", "priority": 20} == told(edge, result)
    refused = operate(edge, "request_sync", {"mailbox": "box", "since": "2026-02-01", "until": "2026-01-01"})
    assert "since must be the earlier one" in failure(refused)
    assert 1 == len(edge.audit())


def test_failed_chunks_of_a_job_are_retried_in_one_run(edge: Edge) -> None:
    """However they lie scattered: one decision, one run of the sensor's, and all partitions are green."""
    job = edge.plan(9)
    for uid in (1, 5, 11, 17):  # two messages a chunk: chunks 0, 2, 5 and 8
        edge.mail.refuse(uid)
    assert not edge.launch(edge.tick(due_chunks)[0]).success
    red = [index for index, status in enumerate(edge.statuses(job)) if status == "FAILED"]
    assert [0, 2, 5, 8] == red
    edge.mail.for_ever.clear()
    result = operate(edge, "retry_failed_chunks", {"sync_job": job.id})
    assert ("chunks_reopened", "by hand, in Dagster") == audited(edge, result)
    assert {"chunks": 4} == told(edge, result)
    (again,) = edge.tick(due_chunks)
    done = edge.launch(again)
    assert done.success
    assert keys_of(job, red) == sorted(edge.materializations(done))
    assert ["MATERIALIZED"] * 9 == edge.statuses(job)
    assert "no failed chunks, it is completed" in failure(operate(edge, "retry_failed_chunks", {"sync_job": job.id}))


def test_whole_job_is_synced_again_and_nothing_changes(edge: Edge) -> None:
    """Every chunk is fetched again; what is there is left alone."""
    job = edge.plan(3)
    edge.launch(edge.tick(due_chunks)[0])
    result = operate(edge, "resync_chunks", {"sync_job": job.id})
    assert ("chunks_reopened", "by hand, in Dagster") == audited(edge, result)
    again = edge.launch(edge.tick(due_chunks)[0])
    metadata = edge.materializations(again)
    assert keys_of(job) == sorted(metadata)
    assert [(0, 2)] * 3 == [(told["inserted"], told["unchanged"]) for told in metadata.values()]
    assert "completed" == factory.job_row(edge.database, job.id)["status"]
    one = operate(edge, "resync_chunks", {"sync_job": job.id, "chunks": [1]})
    assert {"chunks": 1} == told(edge, one)
    assert "has no chunk 3: it has 3, counted from 0" in failure(
        operate(edge, "resync_chunks", {"sync_job": job.id, "chunks": [3]})
    )


def test_stuck_chunks_are_recovered_by_hand(edge: Edge) -> None:
    """Those of a run that Dagster knows to be over come back now, lease or no lease."""
    job = edge.plan(2)
    run = edge.instance.create_run_for_job(defs.resolve_job_def("retry_chunks"))
    edge.instance.report_run_failed(run)
    worker = queue.open_worker(edge.database, f"run-{run.run_id}", 3600.0, run.run_id)
    factory.claim(edge.database, job, worker)
    result = operate(edge, "recover_stuck_chunks")
    assert ("recovered_by_hand", "by hand, in Dagster") == audited(edge, result)
    assert {"chunks": 1, "dead_letters": 0} == told(edge, result)
    assert ["pending", "pending"] == factory.statuses(edge.database, job)
    assert {"chunks": 0, "dead_letters": 0} == told(edge, operate(edge, "recover_stuck_chunks"))


def test_silence_is_counted_in_minutes(edge: Edge) -> None:
    """A worker with a long lease that is not heard any more, only when somebody says so."""
    factory.set_clock(edge.database, "2026-01-01 12:00:00+00")
    job = edge.plan(1)
    factory.claim(edge.database, job, queue.open_worker(edge.database, "far", 3600.0, None))
    factory.move_clock(edge.database, "10 minutes")
    assert {"chunks": 0, "dead_letters": 0} == told(edge, operate(edge, "recover_stuck_chunks"))
    assert {"chunks": 1, "dead_letters": 0} == told(edge, operate(edge, "recover_stuck_chunks", {"silent_minutes": 5}))
    assert "give 1 or more" in failure(operate(edge, "recover_stuck_chunks", {"silent_minutes": -5}))


def test_priority_is_changed(edge: Edge) -> None:
    """The next run that the sensor asks for is the urgent job's, and carries its priority."""
    slow, urgent = edge.plan(2, name="slow"), edge.plan(2, name="urgent")
    result = operate(edge, "change_priority", {"sync_job": urgent.id})
    assert ("sync_prioritized", "by hand, in Dagster") == audited(edge, result)
    assert {"priority": 30, "chunks": 2} == told(edge, result)
    first = edge.tick(due_chunks)[0]
    assert (str(urgent.id), "30") == (first.tags["chunk_sync/job"], first.tags["dagster/priority"])
    assert slow.id != urgent.id
    edge.launch(first)
    assert "has ended, it is completed" in failure(operate(edge, "change_priority", {"sync_job": urgent.id}))


@pytest.mark.parametrize("named", ["mailbox", "sync_job", "whole_tenant"])
def test_pause_resume_and_cancel(edge: Edge, named: str) -> None:
    """Of a mailbox, a job or a tenant: nothing is dispatched while it is paused, nothing ever after a cancel."""
    job = edge.plan(3)
    config: dict[str, object] = {named: {"mailbox": "box", "sync_job": job.id, "whole_tenant": True}[named]}
    (held,) = factory.claim(edge.database, job, factory.open_worker(edge.database))
    paused = operate(edge, "pause_sync", config)
    assert ("sync_paused", "by hand, in Dagster") == audited(edge, paused)
    assert {"chunks": 1} == told(edge, paused)
    assert not queue.is_held(edge.database, held)
    assert [] == edge.tick(due_chunks)
    resumed = operate(edge, "resume_sync", config)
    assert ("sync_resumed", "by hand, in Dagster") == audited(edge, resumed)
    assert {"mailboxes": 1} == told(edge, resumed)
    assert 1 == len(edge.tick(due_chunks))
    cancelled = operate(edge, "cancel_sync", config)
    assert ("sync_cancelled", "by hand, in Dagster") == audited(edge, cancelled)
    assert {"chunks": 3} == told(edge, cancelled)
    assert ["cancelled"] * 3 == factory.statuses(edge.database, job)


def test_job_is_archived(edge: Edge) -> None:
    """Once it has ended."""
    job = edge.plan(2)
    assert "has not ended, it is processing: cancel it first, or wait" in failure(
        operate(edge, "archive_sync_job", {"sync_job": job.id})
    )
    edge.mail.refuse(1)
    edge.launch(edge.tick(due_chunks)[0])
    result = operate(edge, "archive_sync_job", {"sync_job": job.id, "reason": "the mailbox is gone"})
    assert ("sync_job_archived", "the mailbox is gone") == audited(edge, result)
    (kept,) = edge.database.execute("SELECT sync_job_id, reason FROM archived_sync_jobs")
    assert {"sync_job_id": job.id, "reason": "the mailbox is gone"} == kept


def test_retry_of_a_job_without_a_plan(edge: Edge) -> None:
    """There is nothing to retry yet: the line says what it waits for."""
    factory.make_mailbox(edge.database)
    asked = request_sync(edge.database, "box")
    expected = f"sync job {asked.job_id} has no chunks yet, it is requested: wait for its plan"
    assert expected == failure(operate(edge, "retry_failed_chunks", {"sync_job": asked.job_id}))
