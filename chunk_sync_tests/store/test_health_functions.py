"""The health functions and views: attempts counted as the contract says, and alarms by their thresholds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chunk_sync.errors import ErrorCategory
from chunk_sync.store.database import Database
from chunk_sync_tests.factory import (
    PlannedJob,
    claim,
    complete,
    make_job,
    make_mailbox,
    move_clock,
    open_worker,
    set_clock,
    system_health,
)

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
NOBODY = "00000000-0000-7000-8000-000000000000"


@dataclass(frozen=True)
class Attempt:
    """One attempt of a history."""

    minutes_ago: int
    status: str
    category: str | None = None
    ms: int = 100
    emails: int = 0

    @property
    def good(self) -> bool:
        """Whether it succeeded."""
        return self.status == "success"

    @property
    def ratio(self) -> Decimal | None:
        """Emails saved per second."""
        return None if self.ms == 0 else _round(Decimal(self.emails * 1000) / self.ms)


def _round(value: Decimal) -> Decimal:
    return value.quantize(Decimal("0.01"), ROUND_HALF_UP)


def _mean(values: Sequence[int | Decimal]) -> float | None:
    return float(_round(Decimal(sum(values)) / len(values))) if values else None


def public_ids(database: Database, job: PlannedJob) -> list[str]:
    """The public ids of a job's chunks, in the order of the index."""
    rows = database.execute("SELECT public_id FROM sync_chunks WHERE sync_job_id = %s ORDER BY chunk_index", (job.id,))
    return [str(row["public_id"]) for row in rows]


def job_public_id(database: Database, job: PlannedJob) -> str:
    """The public id of a job."""
    return str(database.execute("SELECT public_id FROM sync_jobs WHERE id = %s", (job.id,))[0]["public_id"])


def log(database: Database, chunk: str, attempts: Sequence[Attempt]) -> None:
    """Log attempts of a chunk, each at its own moment before noon, through the product's own function."""
    with database.transaction() as conn:
        for one in attempts:
            moment = NOON - timedelta(minutes=one.minutes_ago)
            conn.execute("SELECT set_config('chunk_sync.now', %s, true)", (moment.isoformat(),))
            conn.execute(
                "SELECT log_chunk_health_metrics(%s, p_status => %s::attempt_status, p_processing_time_ms => %s,"
                " p_emails_processed => %s, p_error_category => %s::error_category)",
                (chunk, one.status, one.ms, one.emails, one.category),
            )


def test_b17_the_founding_documents_sample(database: Database) -> None:
    """A success of 1200 ms at 12 emails a second and an error of 2500 ms: the numbers of contract §5, exactly."""
    job = make_job(database, make_mailbox(database), chunks=1)
    database.execute(
        "INSERT INTO chunked_sync_health_monitoring (tenant_id, mailbox_id, sync_job_id, chunk_id, attempt_number,"
        " status, processing_time_ms, efficiency_ratio, error_category) VALUES"
        " (1, %(box)s, %(job)s, %(chunk)s, 1, 'success', 1200, 12, NULL),"
        " (1, %(box)s, %(job)s, %(chunk)s, 2, 'error', 2500, 0, 'rate_limit')",
        {"box": job.mailbox.id, "job": job.id, "chunk": job.chunk_ids[0]},
    )
    told = system_health(database)
    assert "warning" == told["overall_health"]
    assert {
        "total_chunks": 2,
        "successful_chunks": 1,
        "failed_chunks": 1,
        "avg_processing_time_ms": 1850,
    } == told["last_hour_stats"]
    assert [{"error_category": "rate_limit", "count": 1, "percentage": 100}] == told["error_analysis"]
    assert {"avg_efficiency_ratio": 12, "peak_efficiency": 12, "total_chunks_processed": 2} == told[
        "performance_metrics"
    ]


def test_b17_a_decision_is_no_attempt(database: Database) -> None:
    """Asking whether to retry, and deciding it, leaves no row: as many rows as attempts were executed."""
    job = make_job(database, make_mailbox(database), chunks=2)
    one, two = claim(database, job, open_worker(database), limit=2)
    database.execute("SELECT fail_chunk(%s, %s, 'network', 'reset')", (one.chunk_id, one.lease_token))
    complete(database, two)
    for chunk in public_ids(database, job):
        database.execute("SELECT should_retry_chunk_enhanced(%s, 1, 3, 'network')", (chunk,))
    hour = system_health(database)["last_hour_stats"]
    assert (2, 1, 1) == (hour["total_chunks"], hour["successful_chunks"], hour["failed_chunks"])


def test_an_empty_system_is_healthy(database: Database) -> None:
    """Without any attempt counts are 0, means are null, lists are empty, and nothing is alarming."""
    told = system_health(database)
    assert datetime.fromisoformat(told.pop("generated_at")).tzinfo
    assert {
        "overall_health": "healthy",
        "last_hour_stats": {
            "total_chunks": 0,
            "successful_chunks": 0,
            "failed_chunks": 0,
            "avg_processing_time_ms": None,
        },
        "error_analysis": [],
        "performance_metrics": {"avg_efficiency_ratio": None, "peak_efficiency": None, "total_chunks_processed": 0},
        "alert_level": "ok",
        "alerts": [],
    } == told


@pytest.mark.parametrize(
    ("successes", "errors", "expected"),
    [
        (0, 0, "healthy"),
        (3, 0, "healthy"),
        (3, 1, "warning"),
        (3, 3, "warning"),
        (3, 4, "degraded"),
        (0, 1, "degraded"),
    ],
)
def test_overall_health_by_the_exact_rule(database: Database, successes: int, errors: int, expected: str) -> None:
    """More errors than successes: degraded; any error: warning; else healthy."""
    job = make_job(database, make_mailbox(database), chunks=1)
    set_clock(database, NOON.isoformat())
    history = [Attempt(1, "success")] * successes + [Attempt(1, "error", "network")] * errors
    log(database, public_ids(database, job)[0], history)
    assert expected == system_health(database)["overall_health"]


def test_the_windows_end_where_they_say(database: Database) -> None:
    """An attempt counts for less than an hour, a day, and two days; to the minute."""
    job = make_job(database, make_mailbox(database), chunks=1)
    set_clock(database, NOON.isoformat())
    ages = [edge * 60 + minute for edge in (1, 24, 48) for minute in (-1, 0)]
    log(database, public_ids(database, job)[0], [Attempt(age, "success") for age in ages])
    told = system_health(database)
    shown = sum(row["chunk_count"] for row in database.execute("SELECT * FROM chunked_sync_health_summary"))
    assert (1, 3, 5) == (
        told["last_hour_stats"]["total_chunks"],
        told["performance_metrics"]["total_chunks_processed"],
        shown,
    )


attempts = st.one_of(
    st.builds(Attempt, st.integers(0, 3000), st.just("success"), st.none(), st.integers(0, 10**6), st.integers(0, 500)),
    st.builds(
        Attempt,
        st.integers(0, 3000),
        st.sampled_from(["error", "timeout", "recovery"]),
        st.sampled_from([category.value for category in ErrorCategory]),
        st.integers(0, 10**6),
    ),
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(attempts, max_size=25))
def test_random_histories_agree_with_a_second_count(database: Database, history: list[Attempt]) -> None:
    """Metrics, summary and the queue's summary are what plain Python makes of the same attempts."""
    database.execute("DELETE FROM sync_jobs")
    database.execute("DELETE FROM mailboxes")
    database.execute("DELETE FROM chunked_sync_health_monitoring")
    job = make_job(database, make_mailbox(database), chunks=2)
    one, two = public_ids(database, job)
    set_clock(database, NOON.isoformat())
    log(database, one, history[::2])
    log(database, two, history[1::2])
    told = system_health(database)
    assert _expected_metrics(history) == {key: told[key] for key in _expected_metrics(history)}
    assert _expected_summary(history) == _summary(database)
    for public_id, part in ((one, history[::2]), (two, history[1::2]), (job_public_id(database, job), history)):
        summary = database.execute("SELECT get_queue_health_summary(%s) AS s", (public_id,))[0]["s"]
        if summary["last_activity"] is not None:
            summary["last_activity"] = datetime.fromisoformat(summary["last_activity"])
        assert {"queue_id": public_id, **_expected_queue(part)} == summary


def _expected_metrics(history: list[Attempt]) -> dict[str, Any]:
    day = [one for one in history if one.minutes_ago < 24 * 60]
    hour = [one for one in day if one.minutes_ago < 60]
    good, bad = (sum(one.good is kind for one in hour) for kind in (True, False))
    errors = Counter(one.category for one in day if not one.good)
    ratios = [one.ratio for one in day if one.good and one.ratio is not None]
    order = [category.value for category in ErrorCategory]
    return {
        "overall_health": "degraded" if bad > good else "warning" if bad else "healthy",
        "last_hour_stats": {
            "total_chunks": len(hour),
            "successful_chunks": good,
            "failed_chunks": bad,
            "avg_processing_time_ms": _mean([one.ms for one in hour]),
        },
        "error_analysis": [
            {
                "error_category": category,
                "count": count,
                "percentage": float(_round(Decimal(100 * count) / errors.total())),
            }
            for category, count in sorted(errors.items(), key=lambda item: (-item[1], order.index(str(item[0]))))
        ],
        "performance_metrics": {
            "avg_efficiency_ratio": _mean(ratios),
            "peak_efficiency": float(max(ratios)) if ratios else None,
            "total_chunks_processed": len(day),
        },
    }


def _expected_queue(history: list[Attempt]) -> dict[str, Any]:
    times = [one.ms for one in history]
    return {
        "total_chunks": len(history),
        "successful_chunks": sum(one.good for one in history),
        "failed_chunks": sum(not one.good for one in history),
        "recovered_chunks": sum(one.status == "recovery" for one in history),
        "avg_processing_time_ms": _mean(times),
        "avg_efficiency_ratio": _mean([one.ratio for one in history if one.good and one.ratio is not None]),
        "error_categories": sorted({one.category for one in history if one.category}),
        "last_activity": NOON - timedelta(minutes=min(one.minutes_ago for one in history)) if history else None,
        "performance_trend": {
            "fastest_chunk_ms": min(times, default=None),
            "slowest_chunk_ms": max(times, default=None),
            "total_processing_time_ms": sum(times),
        },
    }


Hour = dict[tuple[datetime, str, str | None], tuple[int, float | None, int, int, float | None]]


def _expected_summary(history: list[Attempt]) -> Hour:
    groups: dict[tuple[datetime, str, str | None], list[Attempt]] = {}
    for one in history:
        if one.minutes_ago < 48 * 60:
            moment = NOON - timedelta(minutes=one.minutes_ago)
            groups.setdefault((moment.replace(minute=0), one.status, one.category), []).append(one)
    return {
        key: (
            len(group),
            _mean([one.ms for one in group]),
            min(one.ms for one in group),
            max(one.ms for one in group),
            _mean([one.ratio for one in group if one.ratio is not None]),
        )
        for key, group in groups.items()
    }


def _summary(database: Database) -> Hour:
    rows = database.execute("SELECT * FROM chunked_sync_health_summary")
    assert [row["hour"] for row in rows] == sorted((row["hour"] for row in rows), reverse=True)
    return {
        (row["hour"], row["status"], row["error_category"]): (
            row["chunk_count"],
            float(row["avg_processing_time_ms"]),
            row["min_processing_time_ms"],
            row["max_processing_time_ms"],
            None if row["avg_efficiency_ratio"] is None else float(row["avg_efficiency_ratio"]),
        )
        for row in rows
    }


def test_a_lost_lease_is_a_failed_attempt(database: Database) -> None:
    """An attempt whose worker died counts as failed, as recovered, and under the category timeout."""
    set_clock(database, NOON.isoformat())
    job = make_job(database, make_mailbox(database), chunks=1)
    claim(database, job, open_worker(database))
    move_clock(database, "61 s")
    database.execute("SELECT cleanup_stuck_chunks()")
    summary = database.execute("SELECT get_queue_health_summary(%s) AS s", (job_public_id(database, job),))[0]["s"]
    assert (1, 0, 1, 1) == tuple(summary[f"{word}_chunks"] for word in ("total", "successful", "failed", "recovered"))
    assert ["timeout"] == summary["error_categories"]
    assert "degraded" == system_health(database)["overall_health"]


def test_b15_the_summary_has_the_contracts_keys_and_types(database: Database) -> None:
    """Every key is there, numbers are numbers and times are times, whichever id is given."""
    job = make_job(database, make_mailbox(database), chunks=1)
    complete(database, claim(database, job, open_worker(database))[0])
    types = {
        "queue_id": str,
        "total_chunks": int,
        "successful_chunks": int,
        "failed_chunks": int,
        "recovered_chunks": int,
        "avg_processing_time_ms": int,
        "avg_efficiency_ratio": int,
        "error_categories": list,
        "last_activity": str,
        "performance_trend": dict,
    }
    for public_id in (job_public_id(database, job), *public_ids(database, job)):
        summary = database.execute("SELECT * FROM get_queue_health_summary(%s) AS s", (public_id,))[0]["s"]
        assert types == {key: type(value) for key, value in summary.items()}
        assert {"fastest_chunk_ms": 100, "slowest_chunk_ms": 100, "total_processing_time_ms": 100} == summary[
            "performance_trend"
        ]


def test_b15_the_metrics_have_the_contracts_keys_in_order(database: Database) -> None:
    """The documents' keys come first and in their order; ours follow."""
    assert [
        "overall_health",
        "last_hour_stats",
        "error_analysis",
        "performance_metrics",
        "alert_level",
        "alerts",
        "generated_at",
    ] == list(system_health(database))


@pytest.mark.parametrize("unknown", [NOBODY, None])
def test_an_unknown_queue_is_told(database: Database, unknown: str | None) -> None:
    """An id that is no chunk's and no job's is answered with an error, as JSON."""
    answer = database.execute("SELECT get_queue_health_summary(%s::uuid) AS s", (unknown,))
    assert [{"s": {"error": "Queue not found"}}] == answer


def test_a_queue_without_attempts_is_known(database: Database) -> None:
    """A chunk that nobody has tried yet has zeros, not an error."""
    job = make_job(database, make_mailbox(database), chunks=1)
    summary = database.execute("SELECT get_queue_health_summary(%s) AS s", (public_ids(database, job)[0],))[0]["s"]
    assert (0, None, [], None) == tuple(
        summary[key] for key in ("total_chunks", "avg_processing_time_ms", "error_categories", "last_activity")
    )


def test_logging_adds_one_whole_row(database: Database) -> None:
    """All that is not given is the chunk's own; the answer is the row's id."""
    job = make_job(database, make_mailbox(database), chunks=1, emails=20)
    chunk = public_ids(database, job)[0]
    claim(database, job, open_worker(database))
    made = database.execute(
        "SELECT log_chunk_health_metrics(p_chunk_job_id => %s, p_worker_id => 'w', p_processing_time_ms => 1500,"
        """ p_emails_processed => 20, p_memory_usage => 4096, p_metadata => '{"a": 1}') AS id""",
        (chunk,),
    )[0]["id"]
    rows = database.execute(
        "SELECT h.id, h.chunk_job_id::text, h.queue_id::text, h.tenant_id, h.mailbox_id, h.sync_job_id, h.chunk_id,"
        " h.worker_id, h.attempt_number, h.status::text, h.processing_time_ms, h.chunk_size, h.emails_processed,"
        " h.efficiency_ratio::float, h.error_category, h.error_message, h.memory_usage, h.metadata,"
        " h.provider = l.provider AS providers"
        " FROM chunked_sync_health_monitoring AS h JOIN mailbox_lanes AS l USING (mailbox_id)"
    )
    assert [
        {
            "id": made,
            "chunk_job_id": chunk,
            "queue_id": chunk,
            "tenant_id": job.mailbox.tenant_id,
            "mailbox_id": job.mailbox.id,
            "sync_job_id": job.id,
            "chunk_id": job.chunk_ids[0],
            "worker_id": "w",
            "attempt_number": 1,
            "status": "success",
            "processing_time_ms": 1500,
            "chunk_size": 20,
            "emails_processed": 20,
            "efficiency_ratio": 13.33,
            "error_category": None,
            "error_message": None,
            "memory_usage": 4096,
            "metadata": {"a": 1},
            "providers": True,
        }
    ] == rows


@pytest.mark.parametrize(
    ("status", "given", "kept"),
    [
        ("success", "network", None),
        ("error", None, "unknown"),
        ("error", "auth", "auth"),
        ("timeout", None, "timeout"),
        ("recovery", None, "timeout"),
    ],
)
def test_a_logged_attempt_has_a_category_iff_it_failed(
    database: Database, status: str, given: str | None, kept: str | None
) -> None:
    """A failure without a category gets one, and a success has none."""
    job = make_job(database, make_mailbox(database), chunks=1)
    log(database, public_ids(database, job)[0], [Attempt(0, status, given)])
    rows = database.execute("SELECT error_category::text AS category FROM chunked_sync_health_monitoring")
    assert [{"category": kept}] == rows


def test_b50_the_ratio_is_emails_saved_per_second(database: Database) -> None:
    """It is made of what was saved and how long it took, whatever the estimate was; null at 0 ms."""
    job = make_job(database, make_mailbox(database), chunks=1, emails=500)
    log(database, public_ids(database, job)[0], [Attempt(0, "success", None, ms, 30) for ms in (0, 1, 1000, 60_000)])
    rows = database.execute(
        "SELECT efficiency_ratio::float AS ratio FROM chunked_sync_health_monitoring ORDER BY processing_time_ms"
    )
    assert [None, 30_000.0, 30.0, 0.5] == [row["ratio"] for row in rows]


def test_b50_an_attempt_of_no_time_has_no_ratio(database: Database) -> None:
    """The engine's own rows too: a chunk completed within 0 ms has no speed, neither 0 nor a huge one."""
    job = make_job(database, make_mailbox(database), chunks=1)
    chunk = claim(database, job, open_worker(database))[0]
    database.execute("SELECT complete_chunk(%s, %s, 10, 0, 0, 0, 1000, 0)", (chunk.chunk_id, chunk.lease_token))
    rows = database.execute("SELECT emails_processed, efficiency_ratio FROM chunked_sync_health_monitoring")
    assert [{"emails_processed": 10, "efficiency_ratio": None}] == rows


def test_logging_for_no_chunk_is_refused(database: Database) -> None:
    """An attempt at a chunk that is not there leaves no row behind."""
    with pytest.raises(psycopg.Error, match="no chunk") as caught:
        database.execute("SELECT log_chunk_health_metrics(%s)", (NOBODY,))
    assert "CS004" == caught.value.sqlstate
    assert [{"n": 0}] == database.execute("SELECT count(*) AS n FROM chunked_sync_health_monitoring")


def test_b18_under_row_security_a_tenant_sees_its_own_numbers(database: Database) -> None:
    """Functions and views run with the caller's rights: rows of others are neither counted nor named."""
    jobs = [make_job(database, make_mailbox(database, name, tenant=name), chunks=2) for name in ("ours", "theirs")]
    worker = open_worker(database)
    complete(database, claim(database, jobs[0], worker)[0])
    bad = claim(database, jobs[1], worker)[0]
    database.execute("SELECT fail_chunk(%s, %s, 'permission', 'no')", (bad.chunk_id, bad.lease_token))
    ours, theirs = (public_ids(database, job)[0] for job in jobs)
    with database.transaction() as conn:
        conn.execute("SET LOCAL ROLE chunk_sync_tenant")
        conn.execute("SELECT set_config('app.tenant_id', %s, true)", (str(jobs[0].mailbox.tenant_id),))
        told = conn.execute("SELECT get_system_health_metrics() AS m").fetchall()[0]["m"]
        summary = conn.execute("SELECT * FROM chunked_sync_health_summary").fetchall()
        answers = conn.execute(
            "SELECT get_queue_health_summary(%s) AS ours, get_queue_health_summary(%s) AS theirs", (ours, theirs)
        ).fetchall()[0]
    assert (1, 1, 0) == tuple(told["last_hour_stats"][f"{word}_chunks"] for word in ("total", "successful", "failed"))
    assert ("healthy", []) == (told["overall_health"], told["error_analysis"])
    assert ["success"] == [row["status"] for row in summary]
    assert (1, {"error": "Queue not found"}) == (answers["ours"]["total_chunks"], answers["theirs"])


def test_b40_nothing_here_runs_with_its_owners_rights(database: Database) -> None:
    """No function of the schema is SECURITY DEFINER, and every view reads with the rights of who asks."""
    rows = database.execute(
        "SELECT proname AS name FROM pg_proc WHERE pronamespace = 'chunk_sync'::regnamespace AND prosecdef UNION ALL"
        " SELECT relname FROM pg_class WHERE relnamespace = 'chunk_sync'::regnamespace AND relkind IN ('v', 'm')"
        " AND NOT coalesce(reloptions @> '{security_invoker=true}', false)"
    )
    assert [] == rows
