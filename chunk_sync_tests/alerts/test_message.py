"""What a message says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from chunk_sync.alerts.message import RUNBOOK, compose, spell
from chunk_sync.domain.alerts import SILENT, DueMessage, Kind, Level
from chunk_sync.settings import PROJECT_ROOT
from chunk_sync.store.database import Database

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def due(kind: Kind = "opened", level: Level = "warn", **changes: object) -> DueMessage:
    """A message that is to be written twelve minutes after its alert opened."""
    about: dict[str, object] = {
        "delivery_id": 1,
        "attempt": 1,
        "kind": kind,
        "level": level,
        "route_id": 1,
        "route": "ops",
        "target": "env:X",
        "alert_id": 7,
        "signal": "dead_letters",
        "tenant": "acme",
        "subject": "ann",
        "message": "3 chunks that failed for good lately (more than 0)",
        "opened_at": NOON,
        "resolved_at": NOON + timedelta(minutes=10) if kind == "resolved" else None,
        "claimed_at": NOON + timedelta(minutes=12),
    }
    return DueMessage(**(about | changes))  # type: ignore[arg-type]


def test_an_opened_alert_says_what_since_when_and_what_to_do() -> None:
    """What it is about, how bad, how long, the runbook's line, and how to acknowledge it."""
    message = compose(due())
    assert "chunk_sync warn: dead_letters (tenant acme, ann)" == message.title
    assert [
        "3 chunks that failed for good lately (more than 0).",
        "Since 2026-11-22 12:00 UTC, for 12 min.",
        RUNBOOK["dead_letters"],
        "Alert 7: `./chunk-sync alert ack 7` says that you look after it.",
    ] == message.body.splitlines()
    assert "warning" == message.tone


@pytest.mark.parametrize(
    ("kind", "level", "title", "tone"),
    [
        ("opened", "critical", "chunk_sync critical: dead_letters (tenant acme, ann)", "failure"),
        ("escalated", "critical", "chunk_sync worse, critical: dead_letters (tenant acme, ann)", "failure"),
        ("repeated", "warn", "chunk_sync still warn: dead_letters (tenant acme, ann)", "warning"),
        ("resolved", "critical", "chunk_sync resolved: dead_letters (tenant acme, ann)", "success"),
    ],
)
def test_each_kind_has_its_title(kind: Kind, level: Level, title: str, tone: str) -> None:
    """One sees at a glance what it is."""
    message = compose(due(kind, level))
    assert (title, tone) == (message.title, message.tone)


def test_a_recovery_says_how_long_it_lasted() -> None:
    """From when to when."""
    message = compose(due("resolved"))
    assert "It lasted 10 min, from 2026-11-22 12:00 UTC to 2026-11-22 12:10 UTC." == message.body.splitlines()[1]


def test_the_whole_system_and_an_unknown_signal() -> None:
    """Without tenant and subject there are no brackets; a signal without a line has a line all the same."""
    message = compose(due(signal="new_thing", tenant=None, subject=""))
    assert "chunk_sync warn: new_thing" == message.title
    assert "docs/alerts.md" in message.body


def test_a_strangers_name_breaks_no_header() -> None:
    """Line ends and control characters become blanks, and a title has an end."""
    message = compose(due(subject="box\r\nBcc: all@example.org\x07\u202e" + "x" * 500))
    assert "chunk_sync warn: dead_letters (tenant acme, box Bcc: all@example.org  xxx" == message.title[:73]
    assert 150 == len(message.title)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3_600, "1 h"), (7_500, "2 h 5 min"), (187_200, "2 d 4 h"), (-5, "0 s")],
)
def test_lengths_of_time(seconds: int, expected: str) -> None:
    """In the two largest units."""
    assert expected == spell(timedelta(seconds=seconds))


def test_every_signal_has_a_line_in_the_runbook(database: Database) -> None:
    """The signals are those of health_thresholds and the dead-man's; each has a line in docs/alerts.md too."""
    signals = {row["signal"] for row in database.execute("SELECT signal FROM health_thresholds")}
    assert signals | {SILENT} == RUNBOOK.keys()
    page = (PROJECT_ROOT / "docs" / "alerts.md").read_text("utf-8")
    assert set() == {signal for signal in RUNBOOK if f"| `{signal}` |" not in page}
