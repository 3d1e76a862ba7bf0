"""The views on what syncing costs: each number is that of the attempts behind it, added up and divided."""

from __future__ import annotations

import pytest

from chunk_sync.health.attempt_hours import hour_rows
from chunk_sync.store.costs import cost_rows, folder_rows, hot_spot_rows, quota_rows
from chunk_sync.store.database import Database
from chunk_sync.store.rollup import roll_up_attempts
from chunk_sync_tests.factory import PlannedJob, make_job, make_mailbox, move_clock, set_clock

NOON = "2026-11-22 12:00:00+00"
SQL_COSTS = """
SELECT sum(attempts)::int AS attempts, sum(failed_attempts)::int AS failed, sum(requests)::int AS requests,
    sum(bytes)::int AS bytes, sum(seconds)::float AS seconds, sum(messages)::int AS messages
FROM mailbox_costs WHERE mailbox = %s
"""


@pytest.fixture
def jobs(database: Database) -> list[PlannedJob]:
    """Three chunks in each of two mailboxes, at noon."""
    set_clock(database, NOON)
    return [make_job(database, make_mailbox(database, name), chunks=3) for name in ("fast", "slow")]


def attempt(database: Database, job: PlannedJob, chunk: int, status: str, ms: int, **more: object) -> None:
    """Write an attempt at a chunk of a job, some hours ago."""
    row = {"emails": 0, "bytes": 0, "requests": 2, "category": None, "hours": 1} | more
    database.execute(
        "INSERT INTO chunked_sync_health_monitoring (tenant_id, mailbox_id, sync_job_id, chunk_id, provider,"
        " attempt_number, status, error_category, processing_time_ms, emails_processed, bytes_processed, requests,"
        " created_at) VALUES (%(tenant)s, %(box)s, %(job)s, %(chunk)s, 'maildir', 1, %(status)s, %(category)s, %(ms)s,"
        " %(emails)s, %(bytes)s, %(requests)s, clock() - %(hours)s * interval '1 hour')",
        row
        | {"tenant": job.mailbox.tenant_id, "box": job.mailbox.id, "job": job.id, "chunk": job.chunk_ids[chunk]}
        | {"status": status, "ms": ms},
    )


@pytest.fixture
def history(database: Database, jobs: list[PlannedJob]) -> list[PlannedJob]:
    """Attempts of the last days, rolled up."""
    fast, slow = jobs
    attempt(database, fast, 0, "success", 1000, emails=100, bytes=5000)
    attempt(database, fast, 1, "success", 2000, emails=200, bytes=7000, hours=30)
    attempt(database, slow, 0, "success", 60_000, emails=100, bytes=5000, requests=100)
    attempt(database, slow, 1, "timeout", 30_000, category="timeout", requests=None)
    attempt(database, slow, 1, "error", 500, category="rate_limit", hours=3)
    attempt(database, slow, 1, "error", 500, category="rate_limit", hours=5)
    attempt(database, slow, 2, "recovery", 500, category="timeout", hours=30)
    roll_up_attempts(database, hour_rows, seconds=30)
    return jobs


def test_what_a_mailbox_cost(database: Database, history: list[PlannedJob]) -> None:
    """Requests, bytes, seconds and messages of its attempts, failed ones too: they cost as well."""
    assert [(2, 0, 4, 12_000, 3.0, 300)] == [tuple(row.values()) for row in database.execute(SQL_COSTS, ("fast",))]
    assert [(5, 4, 106, 5000, 91.5, 100)] == [tuple(row.values()) for row in database.execute(SQL_COSTS, ("slow",))]
    hour = database.execute(
        "SELECT seconds_per_1000_messages::float AS s, requests_per_1000_messages::float AS r FROM mailbox_costs"
        " WHERE mailbox = 'slow' AND hour = '2026-11-22 11:00+00'"
    )
    assert [{"s": 900.0, "r": 1000.0}] == hour


def test_days_of_costs(database: Database, history: list[PlannedJob]) -> None:
    """A row a mailbox and day, of as many days as were asked for, today among them."""
    assert [("fast", 21, 2.0, 200), ("fast", 22, 1.0, 100), ("slow", 21, 0.5, 0), ("slow", 22, 91.0, 100)] == sorted(
        (row["mailbox"], row["day"].day, row["seconds"], row["messages"]) for row in cost_rows(database, 7)
    )
    assert {22} == {row["day"].day for row in cost_rows(database, 1)}


def test_slowest_folders(database: Database, history: list[PlannedJob]) -> None:
    """By the time that a thousand messages take where they landed; what failed is counted apart."""
    assert [("slow", 600.0, 100, 5, 4), ("fast", 10.0, 300, 2, 0)] == [
        (row["mailbox"], row["seconds_per_1000_messages"], row["messages"], row["attempts"], row["failed_attempts"])
        for row in folder_rows(database, 10)
    ]
    assert [1.0] == [row["read_share"] for row in folder_rows(database, 1)]


def test_hot_spots(database: Database, history: list[PlannedJob]) -> None:
    """Failures of the last 7 days by category, with their share of the mailbox's attempts and their last hour."""

    def spots() -> list[tuple[object, ...]]:
        return [
            (row["mailbox"], row["category"], row["attempts"], row["share"], row["last_hour"].hour)
            for row in hot_spot_rows(database, 10)
        ]

    assert [("slow", "timeout", 2, 0.4, 11), ("slow", "rate_limit", 2, 0.4, 9)] == spots()
    move_clock(database, "7 days -150 min")
    assert [("slow", "timeout", 1, 0.5, 11)] == spots()


def test_a_mailbox_that_is_gone_has_cost_all_the_same(database: Database, history: list[PlannedJob]) -> None:
    """Its name is gone, its number is not."""
    slow = history[1].mailbox.id
    database.execute("DELETE FROM chunk_processing_queue")
    database.execute("DELETE FROM mailboxes WHERE id = %s", (slow,))
    assert {"fast", str(slow)} == {row["mailbox"] for row in cost_rows(database, 7)}
    assert [str(slow)] * 2 == [row["mailbox"] for row in hot_spot_rows(database, 10)]


def test_shares_of_quotas(database: Database, history: list[PlannedJob]) -> None:
    """What mailboxes have used lately of what their provider allows, rolled up or not, the highest share first."""
    for unit, span, amount in (("bytes", "1 day", 10_000), ("requests", "90 min", 1000), ("requests", "10 min", 10)):
        database.execute("INSERT INTO provider_quotas VALUES ('maildir', %s, %s, %s, %s)", (unit, span, amount, span))

    def shares() -> list[tuple[object, ...]]:
        return [(row["mailbox"], row["quota"], row["used"], row["share"]) for row in quota_rows(database, 10)]

    assert shares() == [
        ("fast", "1 day", 5000.0, 0.5),
        ("slow", "1 day", 5000.0, 0.5),
        ("slow", "90 min", 100.0, 0.1),
        ("fast", "90 min", 2.0, 0.002),
    ]
    attempt(database, history[1], 2, "success", 1, bytes=4000, requests=9, hours=0)
    expected = [("slow", "1 day", 9000.0, 0.9), ("slow", "10 min", 9.0, 0.9), ("fast", "1 day", 5000.0, 0.5)]
    assert expected == shares()[:3]
    roll_up_attempts(database, hour_rows, seconds=30)
    assert expected == shares()[:3]
    move_clock(database, "26 hours")
    assert [] == shares()
    database.execute("DELETE FROM provider_quotas WHERE provider = 'maildir'")
    move_clock(database, "-26 hours")
    assert [] == shares()
