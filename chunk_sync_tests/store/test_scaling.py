"""Scaling on a real database: what is due is seen with its limits, decisions are kept, autoscalers read them."""

from __future__ import annotations

import pytest

from chunk_sync.engine.scaling import decide_runs
from chunk_sync.store import forecasts
from chunk_sync.store.database import Database, Row
from chunk_sync.store.scaling import backlog_rows
from chunk_sync_tests.factory import (
    PlannedJob,
    claim,
    complete,
    make_job,
    make_mailbox,
    move_clock,
    open_worker,
    set_clock,
)
from chunk_sync_tests.store.queue_model import NOON


@pytest.fixture
def job(database: Database) -> PlannedJob:
    """Two hundred chunks at noon, of a mailbox whose runs take two seconds a chunk."""
    set_clock(database, NOON.isoformat())
    planned = make_job(database, make_mailbox(database), chunks=200)
    database.execute(
        "WITH w AS (INSERT INTO workers (name, started_at, lease_until)"
        " VALUES ('w', clock() - interval '200 s', clock()) RETURNING id)"
        " INSERT INTO dispatches (tenant_id, mailbox_id, sync_job_id, first_index, last_index, expires_at, ended_at,"
        " worker_id) SELECT %s, %s, %s, 0, 99, clock(), clock(), id FROM w",
        (planned.mailbox.tenant_id, planned.mailbox.id, planned.id),
    )
    return planned


def wanted(database: Database, ceiling: int = 10, threads: int = 1) -> int:
    """Decide once."""
    return decide_runs(database, {}, ceiling=ceiling, run_threads=threads)[0]


def told(database: Database) -> Row:
    """What autoscalers read."""
    (row,) = database.execute("SELECT * FROM scaling_wanted")
    return row


def test_a_decision_is_there_for_autoscalers(database: Database, job: PlannedJob) -> None:
    """Four connections of one thread are four runs; how many there are, and what is due, stand beside it."""
    assert [] == database.execute("SELECT * FROM scaling_wanted")
    assert 4 == wanted(database)
    row = told(database)
    assert (4, 4, 0, 200, 402.0, NOON) == (
        row["wanted_runs"],
        row["useful_runs"],
        row["running"],
        row["due_chunks"],
        row["backlog_seconds"],
        row["decided_at"],
    )
    assert "402 s of work in 1 mailboxes: 4 runs" == row["reason"]
    database.execute(
        "INSERT INTO dispatches (tenant_id, mailbox_id, sync_job_id, first_index, last_index, expires_at)"
        " VALUES (%s, %s, %s, 0, 9, clock() + interval '1 min')",
        (job.mailbox.tenant_id, job.mailbox.id, job.id),
    )
    assert 1 == told(database)["running"]
    assert 3 == wanted(database, ceiling=3)


@pytest.mark.parametrize(
    ("change", "runs"),
    [
        ("UPDATE mailbox_lanes SET allowed = 2", 2),
        ("UPDATE mailbox_lanes SET paused = true", 0),
        ("UPDATE mailbox_lanes SET not_before = clock() + interval '59 s'", 4),  # soon
        ("UPDATE mailbox_lanes SET not_before = clock() + interval '61 s'", 0),
        ("UPDATE sync_jobs SET paused_at = clock()", 0),
        ("UPDATE sync_jobs SET status = 'cancelled', completed_at = clock()", 0),
        ("UPDATE tenant_lanes SET chunk_limit = 3", 3),
        ("UPDATE tenant_lanes SET chunk_limit = 0", 0),
        ("UPDATE provider_lanes SET chunk_limit = 1", 1),
        ("UPDATE provider_lanes SET breaker = 'open', not_before = clock() + interval '1 hour'", 0),
        ("UPDATE provider_lanes SET breaker = 'half_open'", 1),
        ("UPDATE queue_rules SET drain_within = '150 s'", 3),
        ("UPDATE queue_rules SET drain_within = '1 hour', fewest_runs = 2", 2),
    ],
)
def test_limits_count(database: Database, job: PlannedJob, owner: Database, change: str, runs: int) -> None:
    """Of the mailbox, its tenant and its provider; pauses; and what the operator says."""
    owner.execute(change.replace("clock()", f"timestamptz '{NOON.isoformat()}'").encode())
    assert runs == wanted(database)


def test_a_promise_presses(database: Database, job: PlannedJob, owner: Database) -> None:
    """A calm operator's one run becomes as many as the promised first sync needs; then it is kept, or too late."""
    owner.execute("UPDATE queue_rules SET drain_within = '1 hour'")
    assert 1 == wanted(database)
    owner.execute("INSERT INTO tenant_slas (first_sync_within) VALUES ('4 min')")
    assert 3 == wanted(database)  # 402 s of work in 192 s
    owner.execute("INSERT INTO tenant_slas (tenant_id, first_sync_within) VALUES (%s, '1 day')", (1,))
    move_clock(database, "1 s")
    wanted(database)
    move_clock(database, "121 s")
    assert 1 == wanted(database)


def test_a_scheduled_sync_is_seen_coming(database: Database) -> None:
    """A minute before it is asked for there is a run for it; not while one is open, nor for a paused mailbox."""
    set_clock(database, NOON.isoformat())
    job = make_job(database, make_mailbox(database), chunks=1)
    database.execute("UPDATE mailboxes SET sync_every = '15 min'")
    (chunk,) = claim(database, job, open_worker(database))
    move_clock(database, "14 min 30 s")
    assert [1] == [row["chunks"] for row in backlog_rows(database)]
    complete(database, chunk)
    assert (1, 1) == (wanted(database), told(database)["due_chunks"])
    database.execute("SELECT pause_sync('mailbox', public_id, 'not now') FROM mailboxes")
    assert [] == backlog_rows(database)
    database.execute("SELECT resume_sync('mailbox', public_id, 'now') FROM mailboxes")
    move_clock(database, "-1 min")
    assert [] == backlog_rows(database)


def test_down_after_a_while(database: Database, job: PlannedJob) -> None:
    """When the work is done the number stays for two minutes; a decision that stays is written once a minute."""
    assert 4 == wanted(database)
    database.execute("UPDATE sync_jobs SET status = 'completed', completed_at = clock()")
    move_clock(database, "5 s")
    assert 4 == wanted(database)
    move_clock(database, "110 s")
    assert 4 == wanted(database)
    move_clock(database, "10 s")
    assert (0, "nothing is due") == (wanted(database), told(database)["reason"])
    move_clock(database, "59 s")
    wanted(database)
    before = told(database)["decided_at"]
    move_clock(database, "2 s")
    wanted(database)
    assert 61 == (told(database)["decided_at"] - before).seconds


def test_promises_and_their_forecasts(database: Database, job: PlannedJob, owner: Database) -> None:
    """The first sync has its deadline from its request on, the next one from what has landed; each its forecast."""
    owner.execute("INSERT INTO tenant_slas (first_sync_within, freshness_within) VALUES ('1 hour', '2 hours')")
    database.execute(
        "INSERT INTO forecasts (kind, tenant_id, mailbox_id, sync_job_id, landed, planned, low_at, expected_at,"
        " high_at, rate, spread, model, why) VALUES ('job', 1, %s, %s, 0, 1, clock(), clock() + interval '5 min',"
        " clock() + interval '9 min', 1, 1, 'x', 'x')",
        (job.mailbox.id, job.id),
    )
    (first,) = forecasts.promise_rows(database)
    assert ("first_sync", 3600, 300, 540) == (
        first["objective"],
        *((first[name] - NOON).seconds for name in ("deadline_at", "expected_at", "high_at")),
    )
    small = make_job(database, make_mailbox(database, "small"), chunks=1)
    move_clock(database, "10 min")
    complete(database, claim(database, small, open_worker(database))[0])
    make_job(database, small.mailbox, chunks=1)
    next_one = forecasts.promise_rows(database)[-1]
    started = database.execute("SELECT started_at FROM sync_jobs WHERE id = %s", (small.id,))[0]["started_at"]
    assert ("small", "freshness", 7200, None) == (
        next_one["mailbox"],
        next_one["objective"],
        (next_one["deadline_at"] - started).seconds,
        next_one["expected_at"],
    )
