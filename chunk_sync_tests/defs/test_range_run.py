"""A run over a range of chunks, as the due_chunks sensor asks for it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from chunk_sync.defs.sensors import due_chunks, stuck_chunks
from chunk_sync.domain.chunks import ChunkState
from chunk_sync.errors import DatabaseUnavailable, ErrorCategory, ErrorScope, ProviderError
from chunk_sync.store import queue
from chunk_sync.store.database import Database
from chunk_sync.store.status import unsettled
from chunk_sync_tests import factory
from chunk_sync_tests.defs.conftest import SYNCED, Edge, failure, keys_of, live_dispatches

CHUNKS = 20
NOON = "2026-01-01 12:00:00+00"


def test_whole_range_lands(edge: Edge) -> None:
    """Every chunk of the range is a materialized partition, with its numbers; connections are closed."""
    job = edge.plan(CHUNKS)
    (request,) = edge.tick(due_chunks)
    result = edge.launch(request)
    assert result.success
    assert ["MATERIALIZED"] * CHUNKS == edge.statuses(job)
    told = edge.materializations(result)
    assert keys_of(job) == sorted(told)
    numbers = told[keys_of(job)[7]]
    size = edge.database.execute("SELECT sum(size) AS size FROM messages WHERE subject IN ('message 15', 'message 16')")
    assert numbers.pop("duration_ms") >= 0
    assert numbers == {
        "emails": 2,
        "inserted": 2,
        "unchanged": 0,
        "absent": 0,
        "quarantined": 0,
        "bytes": size[0]["size"],
        "attempt": 1,
    }
    assert "completed" == factory.job_row(edge.database, job.id)["status"]
    assert sorted(edge.mail.fetched) == list(range(1, 2 * CHUNKS + 1))
    assert 1 <= len(edge.mail.opened) == edge.mail.closed <= 2
    assert live_dispatches(edge.database) == 0


def test_run_leaves_nothing_to_report(edge: Edge) -> None:
    """A run that told Dagster of its chunks says so in the database: nobody reports them a second time."""
    edge.plan(3)
    edge.launch(edge.tick(due_chunks)[0])
    assert 0 == unsettled(edge.database)
    factory.move_clock(edge.database, "10 min")
    edge.tick(stuck_chunks)
    assert 3 == len(edge.instance.fetch_materializations(SYNCED, limit=10).records)


def test_ops_say_what_they_did(edge: Edge) -> None:
    """The three ops run one after another and show their numbers on the run's page."""
    edge.plan(3)
    result = edge.launch(edge.tick(due_chunks)[0])
    steps = [event.step_key for event in result.all_events if event.is_step_success]
    assert ["claim_chunks", "process_chunks", "complete_chunks"] == [str(key).split(".")[-1] for key in steps]
    shown = {
        str(event.step_key).split(".")[-1]: {name: value.value for name, value in output.metadata.items()}
        for event in result.all_events
        if event.is_successful_output
        for output in [event.event_specific_data]
    }
    # complete_chunks gives no output: Dagster would take it for the whole range.
    assert shown.keys() == {"claim_chunks", "process_chunks"}
    assert shown["claim_chunks"]["wanted"] == 3
    assert shown["process_chunks"]["chunks"] == 3
    assert shown["process_chunks"]["emails"] == 6


def test_exactly_the_bad_chunks_turn_red(edge: Edge) -> None:
    """A permanent error makes its chunk a failed partition with a reason, and no other; the run fails."""
    job = edge.plan(CHUNKS)
    bad = [3, 4, 19]
    for index in bad:
        edge.mail.refuse(2 * index + 1)
    result = edge.launch(edge.tick(due_chunks)[0])
    assert not result.success
    expected = ["FAILED" if index in bad else "MATERIALIZED" for index in range(CHUNKS)]
    assert expected == edge.statuses(job)
    assert len(edge.materializations(result)) == CHUNKS - len(bad)
    told = edge.observations(result)
    assert keys_of(job, bad) == sorted(told)
    assert told[keys_of(job)[3]] == {
        "error_category": "permission",
        "reason": "the provider says permission",
        "attempt": 1,
        "next_attempt_at": "never: dead letter",
    }
    assert "3 of 20 chunks did not land: 0 due again, 3 dead letters" == failure(result)
    assert "failed" == factory.job_row(edge.database, job.id)["status"]


def test_run_waits_for_its_own_retries(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks that fail twice and are due again within the run's patience land in the same run, on attempt 3."""
    monkeypatch.setenv("CHUNK_SYNC_PATIENCE_SECONDS", "30")
    edge.shorten_delays()
    job = edge.plan(6)
    for index in (0, 5):  # four errors: a sixth of one category would be stress
        edge.mail.fail(2 * index + 1, ErrorCategory.PROCESSING_ERROR, times=2)
    result = edge.launch(edge.tick(due_chunks)[0])
    assert result.success
    assert ["MATERIALIZED"] * 6 == edge.statuses(job)
    attempts = [told["attempt"] for _, told in sorted(edge.materializations(result).items())]
    assert [3, 1, 1, 1, 1, 3] == attempts
    assert edge.observations(result) == {}


def test_impatient_run_leaves_the_retry_to_another(edge: Edge) -> None:
    """Without patience a retryable error turns its chunk red until retry_chunks lands it: then it is green."""
    factory.set_clock(edge.database, NOON)
    job = edge.plan(5)
    edge.mail.fail(3, ErrorCategory.TEMPORARY)
    first = edge.launch(edge.tick(due_chunks)[0])
    assert not first.success
    assert "1 of 5 chunks did not land: 1 due again, 0 dead letters" == failure(first)
    assert edge.observations(first)[keys_of(job)[1]]["next_attempt_at"] != "never: dead letter"
    assert ["MATERIALIZED", "FAILED", "MATERIALIZED", "MATERIALIZED", "MATERIALIZED"] == edge.statuses(job)
    factory.move_clock(edge.database, "5 s")
    second = edge.run("retry_chunks")
    assert second.success
    assert 2 == edge.materializations(second)[keys_of(job)[1]]["attempt"]
    assert ["MATERIALIZED"] * 5 == edge.statuses(job)
    assert "completed" == factory.job_row(edge.database, job.id)["status"]


def test_every_chunk_fails(edge: Edge) -> None:
    """When nothing lands, nothing is green."""
    job = edge.plan(4)
    for uid in range(1, 9):
        edge.mail.refuse(uid, ErrorCategory.NOT_FOUND)
    result = edge.launch(edge.tick(due_chunks)[0])
    assert not result.success
    assert ["FAILED"] * 4 == edge.statuses(job)
    assert [ChunkState.FAILED] * 4 == factory.statuses(edge.database, job)


def test_dispatch_that_was_given_up_claims_nothing(edge: Edge) -> None:
    """A run that starts after its request expired succeeds with nothing to do, and leaves no partition red."""
    job = edge.plan(5)
    (request,) = edge.tick(due_chunks)
    factory.move_clock(edge.database, "3 min")
    edge.tick(stuck_chunks)
    result = edge.launch(request)
    assert result.success
    assert [None] * 5 == edge.statuses(job)
    assert ["pending"] * 5 == factory.statuses(edge.database, job)
    assert [] == edge.mail.opened


def test_second_execution_of_a_run_claims_nothing(edge: Edge) -> None:
    """A run that Dagster starts a second time finds its dispatch over: green partitions stay green."""
    job = edge.plan(5)
    (request,) = edge.tick(due_chunks)
    assert edge.launch(request).success
    fetched = list(edge.mail.fetched)
    again = edge.launch(request)
    assert again.success
    assert edge.materializations(again) == {}
    assert ["MATERIALIZED"] * 5 == edge.statuses(job)
    assert fetched == edge.mail.fetched


def test_run_outside_a_red_range_touches_only_its_own(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs over the halves of a job: what one of them fails does not colour the other's half."""
    monkeypatch.setenv("CHUNK_SYNC_PARALLEL_RUNS", "2")
    job = edge.plan(60)
    edge.mail.refuse(1)
    first, second = edge.tick(due_chunks)
    assert not edge.launch(first).success
    assert ["FAILED", *["MATERIALIZED"] * 39, *[None] * 20] == edge.statuses(job)
    assert edge.launch(second).success
    assert ["FAILED", *["MATERIALIZED"] * 59] == edge.statuses(job)


def test_materialization_belongs_to_the_asset(edge: Edge) -> None:
    """What the op logs is the latest materialization of `synced_emails`, under its partition."""
    job = edge.plan(1)
    edge.launch(edge.tick(due_chunks)[0])
    event = edge.instance.get_latest_materialization_event(SYNCED)
    assert event is not None
    assert event.asset_materialization is not None
    assert keys_of(job)[0] == event.asset_materialization.partition


def test_a_server_that_turns_everybody_away_is_seen_waiting(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal of the whole account makes the op wait as Dagster's own retry, with the reason, and then go on."""
    monkeypatch.setenv("CHUNK_SYNC_PATIENCE_SECONDS", "60")
    edge.shorten_delays(4000)  # longer than a busy machine needs to find out how long it is still to wait
    job = edge.plan(5)
    away = ProviderError("the server is away", ErrorCategory.NETWORK, scope=ErrorScope.ACCOUNT)
    edge.mail.failures[1] = [away]
    result = edge.launch(edge.tick(due_chunks)[0])
    assert result.success
    waits = [event for event in result.all_events if event.is_step_up_for_retry]
    assert ["process_chunks"] == [str(event.step_key).split(".")[-1] for event in waits]
    told = waits[0].step_retry_data
    assert 0 < (told.seconds_to_wait or 0) <= 4.4  # what is left of it; jitter comes on top
    assert "the server is away" in str(told.error)
    assert ["MATERIALIZED"] * 5 == edge.statuses(job)
    attempts = {key: numbers["attempt"] for key, numbers in edge.materializations(result).items()}
    assert [2, 1, 1, 1, 1] == [attempts[key] for key in keys_of(job)]


def test_a_server_that_stays_away_ends_the_run(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the retries of Dagster's are used up the op waits by itself, and the queue alone decides what is dead."""
    monkeypatch.setenv("CHUNK_SYNC_PATIENCE_SECONDS", "30")
    edge.shorten_delays(30)
    job = edge.plan(1)
    away = ProviderError("the server is away", ErrorCategory.NETWORK, scope=ErrorScope.ACCOUNT)
    edge.mail.for_ever[1] = away
    result = edge.launch(edge.tick(due_chunks)[0])
    assert not result.success
    assert ["FAILED"] == edge.statuses(job)
    assert ["failed"] == factory.statuses(edge.database, job)


def test_dagster_is_told_of_each_chunk_once_although_telling_breaks(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last op is tried again when the database was away in the middle of it; no chunk is told twice."""
    job = edge.plan(3)
    mark, refusals = queue.mark_reported, iter([DatabaseUnavailable("away")])

    def break_once(database: Database, chunk_ids: Sequence[int]) -> None:
        for refusal in refusals:
            raise refusal
        mark(database, chunk_ids)

    monkeypatch.setattr(queue, "mark_reported", break_once)
    result = edge.launch(edge.tick(due_chunks)[0])
    assert result.success
    assert keys_of(job) == sorted(edge.materializations(result))
    assert 0 == unsettled(edge.database)
