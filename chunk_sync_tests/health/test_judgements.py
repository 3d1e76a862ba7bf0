"""What the health assets compute, from rows to verdicts: frames in, frames out, no database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from chunk_sync.health.charts import line_chart
from chunk_sync.health.errors import HOURS, analyze_errors, attempts_by_hour
from chunk_sync.health.recoveries import rate_recoveries
from chunk_sync.health.retries import rate_retries
from chunk_sync.health.sla import judge, summarize_states
from chunk_sync.health.throughput import trace_throughput

NOW = datetime(2026, 11, 22, 12, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
Row = dict[str, object]


def hour_row(hours_ago: int, status: str, attempts: int, **more: object) -> Row:
    """An hour of the roll-up as error_hours gives it."""
    row: Row = {
        "hour": NOW.replace(minute=0) - hours_ago * HOUR,
        "tenant": "ann",
        "provider": "imap:one",
        "status": status,
        "error_category": None if status == "success" else "timeout",
        "attempts": attempts,
        "dead_letters": 0,
    }
    return row | more


def test_errors_by_category_share_and_trend() -> None:
    """Shares are of the last day's failures; the trend compares with the day before, -1 when that had none."""
    found = analyze_errors(
        [
            hour_row(1, "success", 90),
            hour_row(1, "timeout", 6),
            hour_row(30, "timeout", 3),
            hour_row(2, "error", 4, error_category="auth", dead_letters=4, provider="imap:two", tenant="bob"),
        ],
        NOW,
    )
    assert (100, 10, 0.1, 4) == (found.attempts, found.failures, found.failure_share, found.dead_letters)
    assert [("timeout", 6, 0.6, 2.0), ("auth", 4, 0.4, -1.0)] == list(found.by_category.itertuples(index=False))
    assert [("imap:one", 0.0625), ("imap:two", 1.0)] == [
        (row["provider"], row["of_attempts"]) for row in found.by_provider.to_dict("records")
    ]
    assert ["ann", "bob"] == list(found.by_tenant["tenant"])
    assert (6.0, 3.0, 9.0) == (
        found.by_hour["timeout"][-2],
        found.by_hour["timeout"][-31],
        sum(found.by_hour["timeout"]),
    )


def test_no_errors_at_all() -> None:
    """Nothing is no division by zero, and its chart has a line for each outcome."""
    found = analyze_errors([], NOW)
    assert (0, 0, 0.0, {}) == (found.attempts, found.failures, found.failure_share, dict(found.by_hour))
    assert {"success": [0.0] * HOURS, "failed": [0.0] * HOURS} == attempts_by_hour([], NOW)


def landed(hours_ago: int, emails: int) -> Row:
    """What landed in an hour, as throughput_hours gives it."""
    return {
        "hour": NOW.replace(minute=0) - hours_ago * HOUR, "provider": "imap:one", "emails": emails,
        "bytes": emails * 1000, "requests": 2, "ms_sum": emails * 10, "attempts": 1,
    }  # fmt: skip


def test_throughput_against_yesterday_and_last_week() -> None:
    """As much time is compared as is over of the last day, whose last hour is this one so far."""
    half_past = NOW.replace(minute=30)
    by_hour = {0: 400, 1: 200, 24: 300, 30: 250, 47: 1, 48: 999, 168: 1000, 190: 700}
    found = trace_throughput([landed(ago, emails) for ago, emails in by_hour.items()], half_past)
    assert (500, 600, 600_000) == (found.emails_last_hour, found.emails_last_day, found.bytes_last_day)
    assert (round(600 / (150 + 250 + 1) - 1, 4), -0.5) == (found.against_yesterday, found.against_last_week)
    assert (24 * 8, 200.0, 400.0) == (len(found.hourly), found.hourly[-2], found.hourly[-1])
    assert [("imap:one", 600, 0.6, 4, 2, 100.0)] == list(found.by_provider.itertuples(index=False))
    assert 0.0 == trace_throughput([], NOW).against_yesterday


def test_throughput_is_there_from_the_first_minute() -> None:
    """What landed in this hour counts at once."""
    found = trace_throughput([landed(0, 70)], NOW.replace(minute=1))
    assert (70, 70, 70.0) == (found.emails_last_hour, found.emails_last_day, found.hourly[-1])


def failure(category: str, attempt: int, *, dead: bool = False, then: str | None = None, waited: float = 2.0) -> Row:
    """A failed attempt as retries_recent gives it."""
    return {
        "error_category": category,
        "attempt_number": attempt,
        "dead": dead,
        "delay_ms": None if dead else 2000,
        "next_status": then,
        "waited_seconds": waited if then else None,
    }


def test_what_retries_saved() -> None:
    """A failure that a success follows was rescued; a chunk given up after one of three tries spares two."""
    found = rate_retries(
        [
            failure("network", 1, then="success", waited=2.0),
            failure("network", 1, then="error", waited=4.0),
            failure("network", 2, then="success", waited=4.0),
            failure("network", 1),  # its retry is still to come
            failure("permission", 1, dead=True),
            failure("processing_error", 3, dead=True),
        ]
    )
    assert (6, 3, 2, 0.6667) == (found.failed, found.retried, found.rescued, found.rescue_share)
    assert (2, 0.25) == (found.spared, found.spared_share)
    assert [("network", 4, 3, 2, 0, 0, 4.0), ("permission", 1, 0, 0, 1, 2, 0.0)] == list(
        found.by_category.head(2).itertuples(index=False)
    )
    assert 0.0 == rate_retries([]).rescue_share


def test_a_chunk_that_was_reopened_after_its_end_was_not_rescued_by_a_retry() -> None:
    """What somebody did by hand is not what the policy saved."""
    assert 0 == rate_retries([failure("permission", 1, dead=True, then="success")]).rescued


def test_how_good_recovery_is() -> None:
    """Medians of what is known; ten minutes are what the original needed."""
    rows: list[Row] = [
        {"created_at": NOW, "silent_seconds": 60.0, "again_seconds": 1.0, "chunk_status": "completed"},
        {"created_at": NOW, "silent_seconds": 3.0, "again_seconds": None, "chunk_status": "failed"},
        {"created_at": NOW, "silent_seconds": 9.0, "again_seconds": 3.0, "chunk_status": None},
        {"created_at": NOW, "silent_seconds": None, "again_seconds": 2.0, "chunk_status": "completed"},
    ]
    found = rate_recoveries(rows)
    assert (4, 0.75, 9.0, 2.0, 60.0, 0.985) == (
        found.recovered,
        found.by_itself,
        found.silent_seconds,
        found.again_seconds,
        found.slowest_seconds,
        found.saved_share,
    )
    assert {"completed": 2, "processing": 0, "pending": 0, "failed": 1, "cancelled": 0} == dict(found.by_status)
    assert (0, 1.0, 0.0) == (
        rate_recoveries([]).recovered,
        rate_recoveries([]).by_itself,
        rate_recoveries([]).saved_share,
    )


def rule(**more: object) -> Row:
    """What tenant 1 was promised."""
    return {
        "tenant_id": 1, "tenant": "ann", "first_sync_within": None, "freshness_within": None,
        "failure_budget": None, "span": 2592000.0,
    } | more  # fmt: skip


def box(**more: object) -> Row:
    """A mailbox of tenant 1 that was first asked for ten hours ago."""
    return {
        "tenant_id": 1, "mailbox_id": 7, "mailbox": "inbox", "paused": False, "requested_at": NOW - 10 * HOUR,
        "completed_at": None, "fresh_as_of": None, "expected_at": None,
    } | more  # fmt: skip


@pytest.mark.parametrize(
    ("within", "mailbox", "expected"),
    [
        (20, {}, "kept"),
        (12, {}, "at_risk"),  # four fifths of its time are over, and nobody can tell when it ends
        (12, {"expected_at": NOW + HOUR}, "kept"),
        (12, {"expected_at": NOW + 3 * HOUR}, "at_risk"),
        (9, {"expected_at": NOW + HOUR}, "broken"),
        (9, {"paused": True}, "kept"),
        (9, {"completed_at": NOW - 2 * HOUR}, "kept"),
        (7, {"completed_at": NOW - 2 * HOUR}, "broken"),
    ],
)
def test_a_first_sync_within_its_time(within: int, mailbox: Row, expected: str) -> None:
    """By the forecast where there is one; what ended in time is kept, what ended late is told of for a day."""
    (state,) = judge([rule(first_sync_within=within * 3600.0)], [box(**mailbox)], [], NOW)
    assert ("first_sync", 7, expected) == (state.objective, state.mailbox_id, state.state)
    assert NOW + (within - 10) * HOUR == state.deadline_at


def test_a_first_sync_that_ended_long_ago_is_told_of_no_more() -> None:
    """There is nothing left to be done about it."""
    long_ago = box(requested_at=NOW - 90 * HOUR, completed_at=NOW - 25 * HOUR)
    assert [] == judge([rule(first_sync_within=3600.0)], [long_ago], [], NOW)


@pytest.mark.parametrize(("age", "expected"), [(1, "kept"), (9, "at_risk"), (11, "broken")])
def test_freshness(age: int, expected: str) -> None:
    """Counted from when the last complete sync began to look; before the first one there is none to judge."""
    rules = [rule(freshness_within=10 * 3600.0)]
    (state,) = judge(rules, [box(completed_at=NOW - 48 * HOUR, fresh_as_of=NOW - age * HOUR)], [], NOW)
    assert ("freshness", expected) == (state.objective, state.state)
    assert [] == judge(rules, [box()], [], NOW)


@pytest.mark.parametrize(
    ("counts", "state", "left", "burn"),
    [
        ((1000, 5, 100, 0, 50, 0), "kept", 0.5, 0.0),
        ((1000, 5, 100, 7, 50, 4), "at_risk", 0.5, 8.0),
        ((1000, 5, 100, 1, 50, 4), "kept", 0.5, 8.0),  # a bad hour is not a bad day
        ((1000, 5, 10, 4, 10, 4), "kept", 0.5, 40.0),  # ten chunks prove nothing
        ((1000, 11, 0, 0, 0, 0), "broken", -0.1, 0.0),
        ((0, 0, 0, 0, 0, 0), "kept", 1.0, 0.0),
    ],
)
def test_failure_budgets(counts: tuple[int, ...], state: str, left: float, burn: float) -> None:
    """One percent may fail: what is left of that, and how fast it goes in the last hour and six hours."""
    names = ("ended", "dead", "ended_6h", "dead_6h", "ended_1h", "dead_1h")
    row: Row = {"tenant_id": 1, **dict(zip(names, counts, strict=True))}
    (found,) = judge([rule(failure_budget=0.01)], [], [row], NOW)
    assert (state, left, burn) == (found.state, found.budget_left, found.burn_rate)


def test_a_summary_of_promises() -> None:
    """Counted by state and tenant; what is broken comes first."""
    boxes = [box(mailbox_id=n, mailbox=f"box{n}", requested_at=NOW - n * HOUR) for n in (1, 9, 11)]
    found = summarize_states(judge([rule(first_sync_within=36000.0)], boxes, [], NOW))
    assert {"broken": 1, "at_risk": 1, "kept": 1} == found.by_state
    assert {1: {"broken": 1, "at_risk": 1, "kept": 1}} == found.by_tenant
    assert ["broken", "at_risk"] == list(found.not_kept["state"])
    assert summarize_states([]).not_kept.empty


def test_a_line_chart_bears_anything() -> None:
    """No line, no point, one point, strange names: a picture each time, and nothing of a name is markup."""
    for lines in ({}, {"a": []}, {"a": [0.0]}, {"<script>": [1.0, 2.0, 0.5]}):
        assert line_chart(lines, "t<b>").startswith("![t&lt;b&gt;](data:image/svg+xml;base64,")
