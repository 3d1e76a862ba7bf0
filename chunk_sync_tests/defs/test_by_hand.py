"""Partitions that a person materializes in the UI: no dispatch, only keys."""

from __future__ import annotations

import dagster as dg
import pytest

from chunk_sync.defs.sensors import due_chunks
from chunk_sync.domain.partitions import PARTITIONS_NAME
from chunk_sync.mail.source import RawMessage
from chunk_sync.store import control
from chunk_sync_tests import factory
from chunk_sync_tests.defs.conftest import Edge, failure, keys_of

START, END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
TABLES = ("messages", "message_bodies", "message_raw", "message_locations", "attachments", "quarantined_messages")


def content(edge: Edge) -> list[str]:
    """Read everything that landed, byte by byte."""
    query = " UNION ALL ".join(f"SELECT '{table}' || t::text AS line FROM {table} AS t" for table in TABLES)
    return sorted(row["line"] for row in edge.database.execute(query))


def test_pending_chunk_is_synced_now(edge: Edge) -> None:
    """One chosen chunk lands, also when it was to be tried again much later; its neighbours wait."""
    job = edge.plan(3)
    edge.database.execute("UPDATE chunk_processing_queue SET available_at = clock() + interval '1 h'")
    result = edge.run("sync_chunks", key=keys_of(job)[1])
    assert result.success
    assert [None, "MATERIALIZED", None] == edge.statuses(job)
    assert ["pending", "completed", "pending"] == factory.statuses(edge.database, job)
    assert [3, 4] == sorted(edge.mail.fetched)
    assert [] == edge.audit()


def test_failed_chunk_is_opened_again(edge: Edge) -> None:
    """A dead letter gets all its attempts again; who did it is kept, with the run. Its partition turns green."""
    job = edge.plan(3)
    edge.mail.refuse(1)
    edge.launch(edge.tick(due_chunks)[0])
    assert ["FAILED", "MATERIALIZED", "MATERIALIZED"] == edge.statuses(job)
    edge.mail.for_ever.clear()
    result = edge.run("sync_chunks", key=keys_of(job)[0], tags={"user": "ada"})
    assert result.success
    assert ["MATERIALIZED"] * 3 == edge.statuses(job)
    assert "completed" == factory.job_row(edge.database, job.id)["status"]
    (entry,) = edge.audit()
    assert ("chunk_reopened", f"dagster run {result.run_id} (ada)", job.id, result.run_id, "materialized by hand") == (
        entry["action"],
        entry["actor"],
        entry["sync_job_id"],
        entry["run_id"],
        entry["reason"],
    )
    assert {str(job.chunk_ids[0]): "failed"} == entry["details"]


def test_failed_chunk_that_fails_again_stays_red(edge: Edge) -> None:
    """Opening a chunk again does not make its mail readable."""
    job = edge.plan(2)
    edge.mail.refuse(1)
    edge.launch(edge.tick(due_chunks)[0])
    assert not edge.run("sync_chunks", key=keys_of(job)[0]).success
    assert ["FAILED", "MATERIALIZED"] == edge.statuses(job)
    assert "failed" == factory.job_row(edge.database, job.id)["status"]


def test_completed_chunk_is_synced_again_and_changes_nothing(edge: Edge) -> None:
    """A second sync of a chunk finds everything there: no row differs, and the job is complete again."""
    job = edge.plan(3)
    edge.launch(edge.tick(due_chunks)[0])
    before = content(edge)
    row = factory.job_row(edge.database, job.id)
    result = edge.run("sync_chunks", key=keys_of(job)[2])
    assert result.success
    assert before == content(edge)
    told = edge.materializations(result)[keys_of(job)[2]]
    assert (2, 0, 2) == (told["emails"], told["inserted"], told["unchanged"])
    again = factory.job_row(edge.database, job.id)
    same = ("status", "completed_chunks", "failed_chunks", "emails_processed", "bytes_processed")
    assert [row[name] for name in same] == [again[name] for name in same]
    assert ["chunk_reopened"] == [entry["action"] for entry in edge.audit()]
    assert ["MATERIALIZED"] * 3 == edge.statuses(job)


def test_chosen_range_is_one_run(edge: Edge) -> None:
    """Several partitions that were chosen together are one run, whatever status each has."""
    job = edge.plan(5)
    edge.mail.refuse(1)
    edge.launch(edge.tick(due_chunks)[0])
    edge.mail.for_ever.clear()
    first, *_, last = keys_of(job)
    result = edge.run("sync_chunks", tags={START: first, END: last})
    assert result.success
    assert keys_of(job) == sorted(edge.materializations(result))
    assert ["MATERIALIZED"] * 5 == edge.statuses(job)


def test_chunk_that_another_run_processes_is_left_to_it(edge: Edge) -> None:
    """A chunk in progress is not taken away from its worker: the run says so and does nothing."""
    job = edge.plan(2)
    (held,) = factory.claim(edge.database, job, factory.open_worker(edge.database))
    result = edge.run("sync_chunks", key=held.key)
    assert result.success
    assert edge.materializations(result) == {}
    assert [] == edge.mail.opened
    said = [entry.user_message for entry in edge.instance.all_logs(result.run_id)]
    assert f"chunk {held.chunk_index} of job {job.id} is being processed by another run" in said
    factory.complete(edge.database, held, emails=2)  # its lease is good still
    assert ["completed", "pending"] == factory.statuses(edge.database, job)


def test_chosen_chunks_are_not_dispatched_as_well(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a run works on what somebody chose, the sensor asks for no run over the same chunks; the others are due."""
    monkeypatch.setenv("CHUNK_SYNC_PARALLEL_RUNS", "2")
    job = edge.plan(60)
    asked: list[dg.RunRequest] = []
    take = edge.mail.take

    def look(uid: int) -> RawMessage:
        if uid == 1:
            asked.extend(edge.tick(due_chunks))
        return take(uid)

    monkeypatch.setattr(edge.mail, "take", look)
    keys = keys_of(job)
    assert edge.run("sync_chunks", tags={START: keys[0], END: keys[9]}).success
    assert [(keys[10], keys[59])] == [(piece.tags[START], piece.tags[END]) for piece in asked]
    assert ["completed"] * 10 + ["pending"] * 50 == factory.statuses(edge.database, job)


@pytest.mark.parametrize("scope", ["mailbox", "sync_job", "tenant"])
def test_chunk_of_something_paused_says_so(edge: Edge, scope: str) -> None:
    """Choosing a partition does not override a pause: the run fails with what to do, and the chunk stays as it was."""
    job = edge.plan(2)
    edge.mail.refuse(1)
    edge.launch(edge.tick(due_chunks)[0])
    named = {"mailbox": {"mailbox": "box"}, "sync_job": {"job_id": job.id}, "tenant": {}}[scope]
    target = control.find_target(edge.database, **named)  # type: ignore[arg-type]
    control.pause(edge.database, target, control.Decision("", "ann"))
    result = edge.run("sync_chunks", key=keys_of(job)[0])
    expected = f"sync job {job.id} is paused, or its mailbox 'box' is: resume it first (job resume_sync)"
    assert expected == failure(result)
    assert ["failed", "completed"] == factory.statuses(edge.database, job)
    control.resume(edge.database, target, control.Decision("", "ann"))
    edge.mail.for_ever.clear()
    assert edge.run("sync_chunks", key=keys_of(job)[0]).success


@pytest.mark.parametrize("key", ["tomorrow", "j000001-c000099", "j000777-c000000"])
def test_invented_key_fails_with_a_clear_message(edge: Edge, key: str) -> None:
    """The UI's dialog can add any key: one without a chunk fails at once, and says why."""
    edge.plan(1)
    edge.instance.add_dynamic_partitions(PARTITIONS_NAME, [key])
    result = edge.run("sync_chunks", key=key)
    assert not result.success
    expected = f"no chunk has the partition key {key}: keys come from planned sync jobs, they cannot be made up"
    assert expected == failure(result)
    assert not any(event.is_step_up_for_retry for event in result.all_events)


def test_a_mailbox_that_is_turned_away_says_so(edge: Edge) -> None:
    """Chunks that somebody chose and nobody could begin are no success; they stay due for a later run."""
    job = edge.plan(3)
    edge.database.execute("UPDATE mailbox_lanes SET not_before = clock() + interval '1 hour'")
    result = edge.run("sync_chunks", key=keys_of(job)[1])
    assert "1 of 1 chunks were not begun: their mailbox takes no more connections now" in failure(result)
    assert ["pending"] * 3 == factory.statuses(edge.database, job)
    edge.database.execute("UPDATE mailbox_lanes SET not_before = 'epoch'")
    assert edge.run("sync_chunks", key=keys_of(job)[1]).success
