"""Frames of forecasts: tables, sums, scores and oddities."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from chunk_sync.health.anomaly import find_anomalies
from chunk_sync.health.backlog_forecast import foresee
from chunk_sync.health.forecast_score import score

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def job(mailbox: str = "box", number: int = 1, expected: float | None = 600.0, **other: object) -> dict[str, object]:
    """A row of `forecast_open`, seconds after noon."""
    at = NOON.timestamp()
    row: dict[str, object] = {
        "tenant": "ann",
        "mailbox": mailbox,
        "sync_job_id": number,
        "status": "processing",
        "landed": 10,
        "planned": 100,
        "remaining": 90,
        "low": None if expected is None else at + expected / 2,
        "expected": None if expected is None else at + expected,
        "high": None if expected is None else at + expected * 2,
        "rate": None if expected is None else 0.15,
        "why": "why",
        "turned_away_until": None,
        "now": at,
    }
    return row | other


def promise(deadline: float, expected: float | None, high: float | None) -> dict[str, object]:
    """A row of `forecast_promises`, minutes after noon."""
    expected_at, high_at = (None if m is None else NOON + timedelta(minutes=m) for m in (expected, high))
    return {
        "tenant": "ann",
        "mailbox": f"box {deadline:g}",
        "objective": "first_sync",
        "deadline_at": NOON + timedelta(minutes=deadline),
        "expected_at": expected_at,
        "high_at": high_at,
    }


def test_a_mailbox_is_done_with_its_last_sync() -> None:
    """Its range is that of the last one; with a sync that nobody can foresee there is none."""
    found = foresee([job(), job(number=2, expected=1_800.0), job("new", 3), job("new", 4, None)], [])
    assert (4, 1, 360) == (found.jobs, found.without_forecast, found.remaining)
    boxes = found.by_mailbox.set_index("mailbox")
    assert "2026-01-01 12:30:00 UTC" == boxes.loc["box", "ends_at"]
    assert "2026-01-01 13:00:00 UTC" == boxes.loc["box", "at_the_latest"]
    assert 200 == boxes.loc["box", "planned"]
    assert "-" == boxes.loc["new", "ends_at"]
    assert [1, 2, 3] == list(found.by_job["sync_job_id"])


def test_a_forecast_that_is_over_ends_now() -> None:
    """No end lies in the past, nor before the mailbox may go on."""
    late = foresee([job(expected=-60.0), job("away", 2, turned_away_until=NOON.timestamp() + 3_600)], []).by_job
    assert ["2026-01-01 12:00:00 UTC", "2026-01-01 13:00:00 UTC"] == list(late["ends_at"])


def test_promises_in_danger() -> None:
    """One whose end is foreseen after its deadline will be broken, one whose range reaches over it may be."""
    found = foresee(
        [], [promise(10, 20, 30), promise(25, 20, 30), promise(40, 20, 30), promise(5, None, None)]
    ).breaches
    assert [("box 10", "will be broken"), ("box 25", "may be broken")] == list(
        zip(found["mailbox"], found["it"], strict=True)
    )


def test_nothing_is_open() -> None:
    """Empty tables, not errors."""
    found = foresee([], [])
    assert (0, 0, 0, 0) == (found.jobs, found.remaining, len(found.by_mailbox), len(found.breaches))


def test_a_missing_column_is_an_error() -> None:
    """Instead of a NaN further down."""
    row = job()
    del row["high"]
    with pytest.raises(KeyError):
        foresee([row], [])


def scored(share: float, error: float, *, inside: bool = True, days: int = 0, **other: object) -> dict[str, object]:
    """A row of `forecast_scored`."""
    row: dict[str, object] = {
        "kind": "job",
        "model": "m",
        "scored_at": NOON + timedelta(days=days),
        "share": share,
        "error": error,
        "inside": inside,
        "seconds": 600.0,
    }
    return row | other


def test_scores() -> None:
    """Errors by how far a sync was; what is over within half a minute is no forecast."""
    found = score(
        [
            scored(0.1, 0.5, inside=False),
            scored(0.55, -0.1),
            scored(0.6, 0.1, days=1),
            scored(1.0, 0.2, days=1),
            scored(0.9, 50.0, seconds=5.0),
        ]
    )
    assert (4, 0.15, 0.15, 0.75, 0.75) == (found.scored, found.median_error, found.bias, found.near, found.inside)
    assert ["0 to 25 %", "50 to 75 %", "75 to 100 %"] == list(found.by_age["age"])
    assert [0.5, 0.1, 0.2] == list(found.by_age["median_error"])
    assert pytest.approx([0.3, 0.15]) == found.daily
    assert 0 == score([]).scored


def hours(mailbox: str, past: list[float], now: float) -> list[dict[str, object]]:
    """Rows of `mailbox_hours`: messages a second, ten minutes of work an hour; the last hour is `now`."""
    return [
        {
            "tenant": "ann",
            "mailbox": mailbox,
            "provider": "imap:x",
            "hour": NOON - timedelta(hours=len(past) - n),
            "emails": int(speed * 600),
            "seconds": 600.0,
            "recent": n == len(past),
        }
        for n, speed in enumerate([*past, now])
    ]


def test_a_mailbox_unlike_its_past() -> None:
    """Slow by its own measure, not by that of others; with too little of a past nothing is odd."""
    usual = [10.0, 11.0, 9.0, 10.0, 10.5, 9.5, 10.0]
    found = find_anomalies(
        [
            *hours("slow", usual, 3.0),
            *hours("fast", usual, 30.0),
            *hours("same", usual, 9.0),
            *hours("always slow", [n / 4 for n in usual], 2.5),
            *hours("young", usual[:4], 1.0),
        ]
    )
    assert [("slow", 3.0, 10.0), ("fast", 30.0, 10.0)] == list(
        zip(found["mailbox"], found["emails_per_second"], found["usual"], strict=True)
    )
    assert found["score"][0] < -3.5
    assert find_anomalies([]).empty
