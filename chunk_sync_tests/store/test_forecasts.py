"""Forecasts on a real database: samples, when a forecast is made, and what came of it, once."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from chunk_sync.domain.forecast import MODEL
from chunk_sync.engine.forecasting import look_ahead
from chunk_sync.health.mailbox_progress import summarize_progress
from chunk_sync.store import forecasts, queue
from chunk_sync.store.database import Database, Row
from chunk_sync.store.health import progress_rows
from chunk_sync_tests.factory import (
    PlannedJob,
    claim,
    complete,
    fail_for_good,
    make_job,
    make_mailbox,
    move_clock,
    open_worker,
    set_clock,
)
from chunk_sync_tests.store.queue_model import NOON


@pytest.fixture
def job(database: Database) -> PlannedJob:
    """Twenty chunks of ten messages, planned at noon."""
    set_clock(database, NOON.isoformat())
    return make_job(database, make_mailbox(database), chunks=20)


def work(database: Database, job: PlannedJob, worker: int, chunks: int, each: str = "40 s", emails: int = 10) -> None:
    """Land chunks one after another, with a look after each."""
    for _ in range(chunks):
        (chunk,) = claim(database, job, worker)
        move_clock(database, each)
        complete(database, chunk, emails)
        look_ahead(database)


def tireless(database: Database) -> int:
    """A worker whose lease outlives the test."""
    return queue.open_worker(database, "w", 1e6, None)


def made(database: Database, kind: str = "job") -> list[Row]:
    """List forecasts of a kind."""
    return database.execute("SELECT * FROM forecasts WHERE kind = %s ORDER BY id", (kind,))


def samples(database: Database) -> list[Row]:
    """List samples."""
    return database.execute("SELECT * FROM progress_samples ORDER BY at")


def test_a_steady_job_is_foreseen_and_scored(database: Database, job: PlannedJob) -> None:
    """Half-way the end is foreseen to a few percent; when the job has ended every forecast is held against it, once."""
    worker = tireless(database)
    look_ahead(database)
    work(database, job, worker, 10)
    newest = made(database)[-1]
    assert (100, 200, MODEL) == (newest["landed"], newest["planned"], newest["model"])
    assert abs(newest["expected_at"] - (NOON + timedelta(seconds=800))) < timedelta(seconds=60)
    assert newest["low_at"] < newest["expected_at"] < newest["high_at"]
    work(database, job, worker, 10)
    ended = NOON + timedelta(seconds=800)
    told = made(database)
    assert {(ended, ended)} == {(row["ended_at"], row["scored_at"]) for row in told}
    one = next(row for row in told if row["id"] == newest["id"])
    left = (ended - one["made_at"]).total_seconds()
    assert round((one["expected_at"] - ended).total_seconds() / left, 6) == round(one["error"], 6)
    assert (one["low_at"] <= ended <= one["high_at"]) == one["inside"]
    assert ([], []) == (samples(database), database.execute("SELECT * FROM progress_marks"))
    move_clock(database, "1 min")
    assert 0 == forecasts.score_forecasts(database)
    assert told == made(database)
    assert len(told) == len([row for row in forecasts.scored_rows(database, 1) if row["kind"] == "job"])


def test_a_forecast_is_made_anew_after_a_part_of_the_work(database: Database, job: PlannedJob) -> None:
    """Each twentieth of the work, or some minutes, and no more often: one chunk of twenty is a twentieth."""
    worker = tireless(database)
    look_ahead(database)
    work(database, job, worker, 8)
    found = [row["landed"] for row in made(database)]
    assert [10 * number for number in range(1, 9)] == found
    before = len(found)
    for _ in range(10):
        move_clock(database, "20 s")
        look_ahead(database)
    assert len(made(database)) <= before + 1


def test_samples_lie_further_apart_with_time(database: Database, job: PlannedJob) -> None:
    """A quarter of a minute, then a hundredth of the job's age; a look in between leaves none."""
    for _ in range(8):
        look_ahead(database)
        move_clock(database, "5 s")
    assert [0, 15, 30] == [(row["at"] - NOON).seconds for row in samples(database)]
    move_clock(database, "10 hours")
    look_ahead(database)
    for _ in range(12):
        move_clock(database, "3 min")
        look_ahead(database)
    assert 3 + 1 + 4 == len(samples(database))
    assert 200 == samples(database)[-1]["planned"]


def test_what_failed_for_good_is_not_waited_for(database: Database, job: PlannedJob) -> None:
    """A dead letter's messages are no part of the plan any more."""
    worker = open_worker(database)
    fail_for_good(database, claim(database, job, worker)[0])
    look_ahead(database)
    assert [(190, 1)] == [(row["planned"], row["ended_chunks"]) for row in samples(database)]


def test_pauses_are_counted_once(database: Database, job: PlannedJob) -> None:
    """A provider that turns the mailbox away is counted once with its seconds, however often somebody looks."""
    look_ahead(database)
    move_clock(database, "6 s")
    worker = tireless(database)
    (chunk,) = claim(database, job, worker)
    queue.throttle_chunk(database, chunk, retry_after=60)
    since = NOON + timedelta(seconds=6)
    for _ in range(8):
        move_clock(database, "10 s")
        look_ahead(database)
    row = database.execute("SELECT * FROM progress_marks")[0]
    until: datetime = row["turned_away_until"]
    assert (1, (until - since).total_seconds()) == (row["pauses"], row["pause_seconds"])
    assert 60 <= row["pause_seconds"] < 80
    assert 1 == samples(database)[-1]["pauses"]


def test_a_paused_job_has_no_forecast_and_scores_none(database: Database, job: PlannedJob) -> None:
    """None is made while it is paused; those from before say nothing about the end, those from after do."""
    worker = tireless(database)
    work(database, job, worker, 5)
    before = len(made(database))
    assert before
    database.execute("UPDATE sync_jobs SET paused_at = clock()")
    for _ in range(4):
        move_clock(database, "10 min")
        look_ahead(database)
    assert before == len(made(database))
    database.execute("UPDATE sync_jobs SET paused_at = NULL")
    work(database, job, worker, 15)
    told = made(database)
    assert [None] * before == [row["error"] for row in told[:before]]
    assert all(row["scored_at"] for row in told)
    assert [] == [row for row in told[before:] if row["error"] is None or abs(row["error"]) > 0.5]


def test_a_cancelled_job_scores_nothing(database: Database, job: PlannedJob) -> None:
    """Its forecasts are closed without an error."""
    worker = tireless(database)
    work(database, job, worker, 5)
    database.execute("UPDATE sync_jobs SET status = 'cancelled', completed_at = clock() WHERE id = %s", (job.id,))
    look_ahead(database)
    assert {(True, None)} == {(row["scored_at"] is not None, row["error"]) for row in made(database)}
    assert [] == database.execute("SELECT * FROM progress_marks")


def test_the_backlog_is_foreseen_with_what_waits(database: Database, job: PlannedJob) -> None:
    """A sync that nobody has begun comes on top of the one that moves; it is scored when both are over."""
    other = make_job(database, make_mailbox(database, "other"), chunks=4, emails=50)
    worker = tireless(database)
    work(database, job, worker, 4)
    (backlog,) = made(database, "backlog")
    assert (None, None, other.id, 400) == (
        backlog["tenant_id"],
        backlog["mailbox_id"],
        backlog["sync_job_id"],
        backlog["planned"],
    )
    assert backlog["expected_at"] > NOON + timedelta(seconds=1100)
    work(database, job, worker, 16)
    assert made(database, "backlog")[0]["scored_at"] is None
    work(database, other, worker, 4, "200 s", 50)
    (first, *_) = made(database, "backlog")
    assert NOON + timedelta(seconds=1600) == first["ended_at"]
    assert first["error"] is not None
    assert abs(first["error"]) < 0.3


def test_a_mailbox_with_two_syncs(database: Database, job: PlannedJob) -> None:
    """It has a forecast of its own: all of its syncs."""
    database.execute("UPDATE sync_jobs SET sync_from = 'epoch' WHERE id = %s", (job.id,))
    make_job(database, job.mailbox, chunks=20)
    work(database, job, tireless(database), 4)
    assert [(job.mailbox.id, 400)] == [(row["mailbox_id"], row["planned"]) for row in made(database, "mailbox")]


def test_a_mailboxs_past_is_a_beginning(database: Database, job: PlannedJob) -> None:
    """Before anything has landed, what the mailbox did last week says when it will be over."""
    database.execute(
        "INSERT INTO attempt_hours SELECT date_trunc('hour', clock()) - interval '2 days', m.tenant_id, m.id,"
        " 'maildir', 'success', NULL, 10, 10, 0, 1000, 1000, 0, 0, 100000, 1, 1, 1, 1, 1, 1, 1 FROM mailboxes AS m"
    )
    look_ahead(database)
    (first,) = made(database)
    assert abs((first["expected_at"] - NOON).total_seconds() - 20) < 2  # 200 messages at 10 a second


def test_only_open_jobs_are_read(database: Database, job: PlannedJob) -> None:
    """Nothing is sampled of a job that is over, nor of one that waits for its plan."""
    database.execute("UPDATE sync_jobs SET status = 'requested'")
    assert (0, 0, 0) == tuple(getattr(look_ahead(database), name) for name in ("samples", "forecasts", "scored"))


def test_a_mailboxs_progress_has_the_range(database: Database, job: PlannedJob) -> None:
    """Of the newest forecast, none of it in the past; a paused one has no range, nor has one that landed nothing."""
    (nothing,) = progress_rows(database)
    assert (None, None, None) == (nothing["ends_from"], nothing["ends_at"], nothing["ends_until"])
    look_ahead(database)
    work(database, job, tireless(database), 5)
    newest = made(database)[-1]
    expected = (newest["low_at"], newest["expected_at"], newest["high_at"])
    (row,) = progress_rows(database)
    assert expected == (row["ends_from"], row["ends_at"], row["ends_until"])
    table = summarize_progress([row]).table
    assert f"{expected[2]:%Y-%m-%d %H:%M:%S} UTC" == table["ends_until"][0]
    move_clock(database, "1 day")
    (late,) = progress_rows(database)
    assert {NOON + timedelta(days=1, seconds=200)} == {late["ends_from"], late["ends_at"], late["ends_until"]}
    database.execute("UPDATE sync_jobs SET paused_at = clock()")
    (paused,) = progress_rows(database)
    assert (None, None, None) == (paused["ends_from"], paused["ends_at"], paused["ends_until"])
