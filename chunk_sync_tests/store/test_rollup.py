"""The roll-up of attempts by hour, and that what pandas says is what the SQL functions say."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chunk_sync.health.attempt_hours import hour_rows
from chunk_sync.health.errors import analyze_errors
from chunk_sync.health.queue_health import summarize
from chunk_sync.health.system_health import judge_system
from chunk_sync.store import health as rows
from chunk_sync.store.database import Database
from chunk_sync.store.retention import delete_expired
from chunk_sync.store.rollup import roll_up_attempts
from chunk_sync_tests.factory import make_mailbox, move_clock, set_clock, system_health

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
CATEGORIES = ("timeout", "rate_limit", "network", "permission", "unknown", None)
STATUSES = ("success", "success", "success", "error", "timeout", "recovery")


def add(database: Database, at: datetime, **more: object) -> None:
    """Add an attempt that ended then."""
    row: dict[str, object] = {
        "tenant_id": 1,
        "mailbox_id": 1,
        "provider": "imap:one",
        "attempt_number": 1,
        "status": "success",
        "error_category": None,
        "processing_time_ms": 100,
        "chunk_size": 10,
        "emails_processed": 10,
        "efficiency_ratio": 100,
        "suggested_retry_delay_ms": None,
        "bytes_processed": 1000,
        "requests": 3,
        "created_at": at,
    } | more
    database.execute(
        "INSERT INTO chunked_sync_health_monitoring (tenant_id, mailbox_id, provider, attempt_number, status,"
        " error_category, processing_time_ms, chunk_size, emails_processed, efficiency_ratio, suggested_retry_delay_ms,"
        " bytes_processed, requests, created_at) VALUES (%(tenant_id)s, %(mailbox_id)s, %(provider)s,"
        " %(attempt_number)s, %(status)s::attempt_status, %(error_category)s::error_category, %(processing_time_ms)s,"
        " %(chunk_size)s, %(emails_processed)s, %(efficiency_ratio)s, %(suggested_retry_delay_ms)s,"
        " %(bytes_processed)s, %(requests)s, %(created_at)s)",
        row,
    )


def roll_up(database: Database) -> int:
    """Roll up whatever is to be rolled up; how many hours were written."""
    return roll_up_attempts(database, hour_rows, seconds=60)


def hours(database: Database) -> list[dict[str, Any]]:
    """The roll-up, without what tells of times."""
    return database.execute(
        "SELECT hour, status::text AS status, error_category::text AS error_category, attempts, first_attempts,"
        " dead_letters, emails, bytes, requests FROM attempt_hours ORDER BY hour, status"
    )


@pytest.fixture
def history(database: Database) -> Database:
    """Noon, and a mailbox."""
    set_clock(database, NOON.isoformat())
    make_mailbox(database)
    return database


def test_attempts_are_summed_by_hour_and_outcome(history: Database) -> None:
    """Each hour apart; first attempts and dead letters are counted, NULL is no category of its own making."""
    add(history, NOON - timedelta(hours=2, minutes=1))
    add(history, NOON - timedelta(minutes=1), emails_processed=5, attempt_number=2)
    add(history, NOON - timedelta(minutes=2), bytes_processed=None, requests=None)
    add(history, NOON, status="error", error_category="auth", emails_processed=0, efficiency_ratio=None)
    add(history, NOON, status="error", error_category="auth", emails_processed=0, suggested_retry_delay_ms=5)
    assert 3 == roll_up(history)
    told = [tuple(row.values()) for row in hours(history)]
    assert [
        (NOON - timedelta(hours=3), "success", None, 1, 1, 0, 10, 1000, 3),
        (NOON - timedelta(hours=1), "success", None, 2, 1, 0, 15, 1000, 3),
        (NOON, "error", "auth", 2, 2, 1, 0, 2000, 6),
    ] == told


def test_an_hour_that_grows_is_written_anew(history: Database) -> None:
    """What was committed late is found in the hour before as well; nothing is counted twice."""
    add(history, NOON - timedelta(minutes=1))
    add(history, NOON)
    assert 2 == roll_up(history)
    add(history, NOON - timedelta(minutes=2))
    add(history, NOON + timedelta(minutes=1))
    move_clock(history, "2 min")
    assert 2 == roll_up(history)
    assert [2, 2] == [row["attempts"] for row in hours(history)]
    move_clock(history, "30 days")
    assert 0 == len([row for row in hours(history) if row["attempts"] != 2])


def test_the_roll_up_outlives_its_attempts(history: Database) -> None:
    """Retention takes the attempts, and the next roll-up does not take that for a change."""
    add(history, NOON - timedelta(minutes=1))
    add(history, NOON - timedelta(days=6))
    roll_up(history)
    before = hours(history)
    move_clock(history, "6 days 23 hours 30 min")
    delete_expired(history, 1000)
    assert 1 == history.execute("SELECT count(*) AS n FROM chunked_sync_health_monitoring")[0]["n"]
    move_clock(history, "29 min 30 s")  # the attempt is there still, others of its hour may be gone
    assert 0 == roll_up(history)
    assert before == hours(history)
    move_clock(history, "400 days")
    delete_expired(history, 1000)
    assert [] == hours(history)


def test_empty_months_cost_nothing(history: Database) -> None:
    """Hours without an attempt are passed over, not looked at."""
    history.execute("DELETE FROM retention_policies WHERE what = 'attempts'")
    add(history, NOON - timedelta(days=3000))
    add(history, NOON)
    assert 2 == roll_up(history)
    assert 1 == roll_up(history)  # the last hour, once more


def test_what_is_not_done_in_time_is_left_for_the_next_call(history: Database) -> None:
    """An hour a call at least; the calls after it finish."""
    for back in range(4):
        add(history, NOON - timedelta(hours=back))
    assert 1 == roll_up_attempts(history, hour_rows, seconds=0)
    assert [NOON - timedelta(hours=3)] == [row["hour"] for row in hours(history)]
    assert 4 == roll_up(history)


@pytest.mark.parametrize("seed", range(6))
def test_pandas_and_sql_agree(history: Database, seed: int) -> None:
    """On a random history the assets and the SQL functions and views tell the same numbers."""
    dice = random.Random(seed)
    for _ in range(dice.choice((0, 1, 40, 150))):
        status = dice.choice(STATUSES if seed else ("success",))
        good = status == "success"
        ms = dice.choice((0, 1, 250, 1234, 99999))
        add(
            history,
            NOON - timedelta(minutes=dice.uniform(0, 150)),
            status=status,
            error_category=None if good else dice.choice(CATEGORIES),
            processing_time_ms=ms,
            emails_processed=dice.randrange(200) if good else 0,
            efficiency_ratio=round(dice.random() * 100, 2) if ms else None,
            attempt_number=dice.randrange(1, 4),
        )
    roll_up(history)
    told = system_health(history)
    asset = summarize(rows.queue_rows(history), rows.attempt_rows(history, hours=1))
    verdict = judge_system(asset, rows.alert_rows(history))
    last = told["last_hour_stats"]
    assert (told["overall_health"], told["alert_level"]) == (verdict.overall_health, verdict.alert_level)
    assert (last["successful_chunks"], last["failed_chunks"]) == (asset.successes, asset.errors)
    assert (last["avg_processing_time_ms"] or 0.0) == pytest.approx(asset.average_ms, abs=0.005)

    analysis = analyze_errors(rows.error_rows(history, 48), NOON)
    assert {e["error_category"]: (e["count"], e["percentage"]) for e in told["error_analysis"]} == {
        row["error_category"]: (row["failures"], pytest.approx(row["share"] * 100, abs=0.011))
        for row in analysis.by_category.to_dict("records")
    }
    summary = history.execute(
        "SELECT hour, status, error_category, chunk_count, avg_processing_time_ms::float8 AS mean,"
        " min_processing_time_ms AS least, max_processing_time_ms AS most, avg_efficiency_ratio::float8 AS ratio"
        " FROM chunked_sync_health_summary ORDER BY 1, 2, 3"
    )
    rolled = history.execute(
        "SELECT hour, status, error_category, attempts AS chunk_count, round(ms_sum::numeric / attempts, 2)::float8"
        " AS mean, ms_min AS least, ms_max AS most, round((ratio_sum / nullif(ratio_count, 0))::numeric, 2)::float8"
        " AS ratio FROM attempt_hours ORDER BY 1, 2, 3"
    )
    assert [row | {"ratio": pytest.approx(row["ratio"], abs=0.011)} for row in summary] == rolled
