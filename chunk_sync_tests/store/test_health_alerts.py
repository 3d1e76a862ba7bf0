"""What is alarming: each signal of health_alerts, by its threshold."""

from __future__ import annotations

from datetime import UTC, datetime

import psycopg
import pytest

from chunk_sync.errors import ErrorCategory
from chunk_sync.store import plans
from chunk_sync.store.database import Database
from chunk_sync.store.mailboxes import Mailbox, request_sync
from chunk_sync_tests.factory import (
    PlannedJob,
    claim,
    make_job,
    make_mailbox,
    move_clock,
    open_worker,
    set_clock,
    system_health,
)

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def alerts(database: Database) -> dict[str, tuple[str, float]]:
    """What is alarming: level and value by signal, as both doors tell it."""
    told = system_health(database)
    listed = {row["signal"]: (row["level"], row["value"]) for row in database.execute("SELECT * FROM health_alerts")}
    assert listed == {alert["signal"]: (alert["level"], alert["value"]) for alert in told["alerts"]}
    levels = {level for level, _ in listed.values()}
    assert told["alert_level"] == ("critical" if "critical" in levels else "warn" if levels else "ok")
    return listed


@pytest.fixture
def due_job(database: Database) -> PlannedJob:
    """Three chunks that became due at noon; a worker is alive for two hours from then. No standstill is told of."""
    database.execute("DELETE FROM health_thresholds WHERE signal = 'standstill_seconds'")
    set_clock(database, NOON.isoformat())
    job = make_job(database, make_mailbox(database), chunks=3)
    database.execute("SELECT open_worker('idle', '2 hours')")
    return job


@pytest.mark.parametrize(
    ("wait", "expected"),
    [
        ("15 min", {}),
        ("15 min 1 s", {"oldest_due_seconds": ("warn", 901)}),
        ("60 min", {"oldest_due_seconds": ("warn", 3600)}),
        ("60 min 1 s", {"oldest_due_seconds": ("critical", 3601)}),
    ],
)
def test_the_oldest_due_chunk(
    database: Database, due_job: PlannedJob, wait: str, expected: dict[str, tuple[str, float]]
) -> None:
    """A chunk that waits longer than a quarter of an hour is a warning, after an hour it is critical."""
    move_clock(database, wait)
    assert expected == alerts(database)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE chunk_processing_queue SET available_at = clock() + interval '1 s'",
        "UPDATE mailbox_lanes SET not_before = clock() + interval '1 s'",
        "UPDATE mailbox_lanes SET paused = true",
        "UPDATE sync_jobs SET paused_at = clock()",
        "UPDATE mailbox_lanes SET not_before = clock() - interval '1 min'",
    ],
)
def test_what_is_not_due_does_not_wait(database: Database, due_job: PlannedJob, change: str) -> None:
    """A chunk that is due later, or of a paused mailbox or job, is not late; after a pause it is due from its end."""
    move_clock(database, "2 hours")
    assert {"oldest_due_seconds"} == set(alerts(database))
    database.execute(change.encode())
    assert {} == alerts(database)


def test_no_worker_while_work_is_due(database: Database) -> None:
    """Work that has been due for five minutes while no worker is alive is critical, until one comes."""
    set_clock(database, NOON.isoformat())
    make_job(database, make_mailbox(database), chunks=1)
    move_clock(database, "5 min")
    assert {} == alerts(database)
    move_clock(database, "1 s")
    assert {"no_worker_seconds": ("critical", 301)} == alerts(database)
    open_worker(database)
    assert {} == alerts(database)
    move_clock(database, "60 s")
    assert {} == alerts(database)
    move_clock(database, "1 s")  # its lease has run out
    assert {"no_worker_seconds": ("critical", 362)} == alerts(database)


def test_a_plan_that_nobody_makes_is_work_too(database: Database) -> None:
    """A requested sync that no planner comes for is due work; one that waits for an earlier sync is not."""
    set_clock(database, NOON.isoformat())
    job = make_job(database, make_mailbox(database), chunks=0)
    for _ in range(2):
        database.execute("INSERT INTO sync_jobs (mailbox_id, sync_type) VALUES (%s, 'incremental')", (job.mailbox.id,))
        move_clock(database, "6 min")
    assert {"no_worker_seconds": ("critical", 720)} == alerts(database)
    database.execute(
        "UPDATE sync_jobs SET plan_available_at = clock() WHERE id = (SELECT min(id) FROM sync_jobs"
        " WHERE status = 'requested')"
    )
    assert {} == alerts(database)


def test_stuck_chunks(database: Database) -> None:
    """A chunk counts as stuck a minute after its worker's lease ran out; eleven of them are critical."""
    set_clock(database, NOON.isoformat())
    job = make_job(database, make_mailbox(database, limit=20), chunks=11)
    claim(database, job, open_worker(database), limit=10)
    move_clock(database, "120 s")  # 60 s of lease, 60 s more
    assert {} == alerts(database)
    move_clock(database, "1 s")
    assert {"stuck_chunks": ("warn", 10)} == alerts(database)
    claim(database, job, open_worker(database))
    move_clock(database, "121 s")
    assert ("critical", 11) == alerts(database)["stuck_chunks"]
    database.execute("SELECT cleanup_stuck_chunks()")
    assert "stuck_chunks" not in alerts(database)


def test_dead_letters(database: Database) -> None:
    """A chunk that failed for good is a warning for a day, of an open job as of an ended one."""
    set_clock(database, NOON.isoformat())
    job = make_job(database, make_mailbox(database), chunks=2)
    worker = database.execute("SELECT open_worker('w', '3 days') AS id")[0]["id"]
    for number, chunk in enumerate(claim(database, job, worker, limit=2), start=1):
        database.execute("SELECT fail_chunk(%s, %s, 'permission', 'no')", (chunk.chunk_id, chunk.lease_token))
        assert {"dead_letters": ("warn", number)} == alerts(database)
    move_clock(database, "23 hours 59 min")
    assert {"dead_letters": ("warn", 2)} == alerts(database)
    move_clock(database, "1 min")
    assert {} == alerts(database)


def test_a_dead_letter_of_a_job_that_goes_on(database: Database, due_job: PlannedJob) -> None:
    """It is told for a day too, beside what else is wrong; the worst level is the system's."""
    worker = database.execute("SELECT open_worker('w', '3 days') AS id")[0]["id"]
    chunk = claim(database, due_job, worker)[0]
    database.execute("SELECT fail_chunk(%s, %s, 'permission', 'no')", (chunk.chunk_id, chunk.lease_token))
    move_clock(database, "23 hours 59 min")
    assert {"dead_letters": "warn", "oldest_due_seconds": "critical"} == {
        signal: level for signal, (level, _) in alerts(database).items()
    }
    assert ["oldest_due_seconds", "dead_letters"] == [alert["signal"] for alert in system_health(database)["alerts"]]
    move_clock(database, "1 min")
    assert ["oldest_due_seconds"] == list(alerts(database))


def test_thresholds_are_rows(database: Database, due_job: PlannedJob) -> None:
    """A threshold that is changed holds at once; a signal without a row, or with none set, is silent."""
    move_clock(database, "2 min")
    database.execute(
        "UPDATE health_thresholds SET critical_above = 119, warn_above = 10 WHERE signal = 'oldest_due_seconds'"
    )
    assert {"oldest_due_seconds": ("critical", 120)} == alerts(database)
    database.execute("UPDATE health_thresholds SET critical_above = NULL WHERE signal = 'oldest_due_seconds'")
    assert {"oldest_due_seconds": ("warn", 120)} == alerts(database)
    reason = system_health(database)["alerts"][0]
    assert ("120 seconds since the oldest waiting chunk is due (more than 10)", 10) == (
        reason["message"],
        reason["threshold"],
    )
    database.execute("DELETE FROM health_thresholds")
    assert {} == alerts(database)
    with pytest.raises(psycopg.errors.CheckViolation):
        database.execute("INSERT INTO health_thresholds (signal, warn_above, critical_above) VALUES ('x', 2, 1)")


def end_attempts(database: Database, good: int, bad: int) -> None:
    """So many attempts end now, of a chunk that is none of ours."""
    database.execute(
        "INSERT INTO chunked_sync_health_monitoring (tenant_id, mailbox_id, attempt_number, status, error_category,"
        " processing_time_ms) SELECT 1, 1, 1, (CASE WHEN n > %(good)s THEN 'error' ELSE 'success' END)::attempt_status,"
        " CASE WHEN n > %(good)s THEN 'timeout'::error_category END, 1"
        " FROM generate_series(1, %(good)s + %(bad)s) AS n",
        {"good": good, "bad": bad},
    )


@pytest.mark.parametrize(
    ("good", "bad", "expected"),
    [
        (0, 19, {}),  # too few to say
        (16, 4, {}),
        (79, 21, {"failure_share": ("warn", 0.21)}),
        (10, 10, {"failure_share": ("warn", 0.5)}),
        (9, 11, {"failure_share": ("critical", 0.55)}),
    ],
)
def test_the_share_of_failures(database: Database, good: int, bad: int, expected: dict[str, tuple[str, float]]) -> None:
    """More than a fifth of the last hour's attempts is a warning, more than half is critical, once there are twenty."""
    set_clock(database, NOON.isoformat())
    end_attempts(database, good, bad)
    assert expected == alerts(database)
    move_clock(database, "1 hour")
    assert {} == alerts(database)


def test_nothing_moves_while_work_is_due(database: Database) -> None:
    """Since the last attempt ended, or since the work fell due after that; not while the mailbox is turned away."""
    set_clock(database, NOON.isoformat())
    make_job(database, make_mailbox(database), chunks=3)
    database.execute("SELECT open_worker('idle', '2 hours')")
    database.execute("UPDATE health_thresholds SET warn_above = 86400, critical_above = NULL"
        " WHERE signal = 'oldest_due_seconds'")  # fmt: skip
    move_clock(database, "10 min")
    assert {} == alerts(database)
    move_clock(database, "1 s")
    assert {"standstill_seconds": ("warn", 601)} == alerts(database)
    end_attempts(database, 1, 0)
    assert {} == alerts(database)
    move_clock(database, "30 min 1 s")
    assert {"standstill_seconds": ("critical", 1801)} == alerts(database)
    database.execute("UPDATE mailbox_lanes SET not_before = clock() + interval '1 min'")
    assert {} == alerts(database)


def test_forecasts_that_do_not_hold(database: Database) -> None:
    """When half of the last day's forecasts, at least fifty, were off by more than half of the remaining time."""
    set_clock(database, NOON.isoformat())
    job = make_job(database, make_mailbox(database))
    for number in range(49):
        add_forecast(database, job, -0.6 if number % 2 else 0.6)
    assert {} == alerts(database)
    add_forecast(database, job, 0.6)
    assert {"forecast_drift": ("warn", 0.6)} == alerts(database)
    for _ in range(60):
        add_forecast(database, job, 0.1)
    assert {} == alerts(database)


def add_forecast(database: Database, job: PlannedJob, error: float) -> None:
    """A forecast that was just scored."""
    database.execute(
        "INSERT INTO forecasts (kind, tenant_id, mailbox_id, sync_job_id, landed, planned, low_at, expected_at,"
        " high_at, rate, spread, model, why, ended_at, error, inside, scored_at)"
        " SELECT 'job', 1, %s, %s, 1, 2, clock(), clock(), clock(), 1, 1, 'm', 'w', clock(), %s, true, clock()",
        (job.mailbox.id, job.id, error),
    )


def fail_planning(database: Database, mailbox: Mailbox, category: ErrorCategory) -> None:
    """Ask for a sync whose plan cannot be made."""
    job = request_sync(
        database, mailbox.name, tenant=mailbox.tenant, sync_type="initial", priority=None, requested_by="test"
    )
    worker = open_worker(database)
    assert plans.claim_plan(database, job.job_id, worker) is not None
    ended = plans.fail_plan(database, job.job_id, worker, category=category, message="no", retry_after=None)
    assert "failed" == ended


def test_syncs_that_fail_before_their_first_chunk(database: Database) -> None:
    """Each tenant's mailboxes are counted until a later sync of theirs gets further, or for a day."""
    set_clock(database, NOON.isoformat())
    ann, old, bob = (make_mailbox(database, "ann"), make_mailbox(database, "old"), make_mailbox(database, tenant="bob"))
    permission, gone = ErrorCategory.PERMISSION, ErrorCategory.NOT_FOUND
    for box, category in ((old, permission), (ann, permission), (ann, gone), (bob, gone)):
        fail_planning(database, box, category)
        move_clock(database, "1 s")
    told = "SELECT value, message, tenant_id FROM health_alerts WHERE signal = 'failed_plans' ORDER BY tenant_id"
    what = "mailboxes whose sync failed before its first chunk, the last:"
    assert [
        (2.0, f"2 {what} ann (not_found) (more than 0)", ann.tenant_id),
        (1.0, f"1 {what} box (not_found) (more than 0)", bob.tenant_id),
    ] == [tuple(row.values()) for row in database.execute(told)]
    make_job(database, ann)
    assert [1.0, 1.0] == [row["value"] for row in database.execute(told)]
    move_clock(database, "1 day")
    assert [] == database.execute(told)


def test_promises_of_tenants(database: Database) -> None:
    """One row for a tenant and how bad it is, with the most urgent promise; a tenant's alert bears its id."""
    bob = make_mailbox(database, "b", tenant="bob")
    states = [
        (1, "first_sync", None, "at_risk", "the later one", "2026-01-02"),
        (1, "failures", None, "broken", "the budget", None),
        (bob.tenant_id, "first_sync", bob.id, "at_risk", "of b", "2026-01-02"),
        (bob.tenant_id, "freshness", bob.id, "at_risk", "the first", "2026-01-01"),
        (bob.tenant_id, "failures", None, "kept", "well", None),
    ]
    for state in states:
        database.execute(
            "INSERT INTO sla_states (tenant_id, objective, mailbox_id, state, message, deadline_at)"
            " VALUES (%s, %s, %s, %s, %s, %s::timestamptz)",
            state,
        )
    rows = database.execute("SELECT signal, level, value, message, tenant_id FROM health_alerts ORDER BY 2, 5")
    assert [
        ("sla_broken", "critical", 1.0, "1 promises, the first: the budget (more than 0)", 1),
        ("sla_at_risk", "warn", 1.0, "1 promises, the first: the later one (more than 0)", 1),
        ("sla_at_risk", "warn", 2.0, "2 promises, the first: the first (more than 0)", bob.tenant_id),
    ] == [tuple(row.values()) for row in rows]
