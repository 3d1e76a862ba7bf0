"""The dead-man's switch: on silence, and on a database that is gone, it says so once, and once that it is over."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from chunk_sync.alerts.deadman import Found, Verdict, Watch, look_at
from chunk_sync.alerts.evaluate import evaluate
from chunk_sync.alerts.message import Message
from chunk_sync.store import alerts
from chunk_sync.store.database import Database
from chunk_sync_tests.alerts.conftest import Desk, pick
from chunk_sync_tests.alerts.receivers import http_sink

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
AFTER = timedelta(minutes=15)
GONE = Found(None, "cannot use PostgreSQL at 127.0.0.1:1/none")


class Night:
    """A switch whose looks find what the test says, at a time that the test says."""

    def __init__(self, folder: Path) -> None:
        self.memory = folder / "deadman.json"
        self.found = Found(0)
        self.told: list[str] = []
        self.error: str | None = None
        self.now = NOON
        self.restart()

    def restart(self) -> None:
        """Another process goes on: all that it knows is in the file."""
        self.watch = Watch(lambda: self.found, self.tell, after=AFTER, memory=self.memory)

    def tell(self, message: Message) -> str | None:
        """Stand in for apprise."""
        if self.error is None:
            self.told.append(f"{message.title.removeprefix('chunk_sync ')}: {message.body.splitlines()[0]}")
        return self.error

    def check(self, minutes: float, found: Found) -> Verdict:
        """Look, so many minutes after the last time."""
        self.now += timedelta(minutes=minutes)
        self.found = found
        return self.watch.check(self.now)


@pytest.fixture
def night(tmp_path: Path) -> Night:
    """Noon, and all is well."""
    return Night(tmp_path)


ALARM = "critical: system_silent: No sign of life since 2026-11-22 12:00 UTC, for 16 min."
OVER = "resolved: system_silent: Signs of life again, after 26 min without one, since 2026-11-22 12:00 UTC."


def test_silence_is_told_once_and_so_is_its_end(night: Night) -> None:
    """However often it looks, and across a restart of its own."""
    night.check(0, Found(0))
    assert not night.check(15, Found(15 * 60)).dead
    assert night.check(1, Found(16 * 60)).dead
    night.check(5, Found(21 * 60))
    night.restart()
    night.check(1, Found(22 * 60))
    assert [ALARM] == night.told
    assert not night.check(4, Found(3)).dead
    night.check(1, Found(3))
    assert [ALARM, OVER] == night.told


def test_a_database_that_is_gone_is_silence_too(night: Night) -> None:
    """Counted from the last sign of life, so that a restart of the database alarms nobody."""
    night.check(0, Found(0))
    assert not night.check(10, GONE).dead
    night.check(1, Found(0))
    assert not night.check(14, GONE).dead
    assert [] == night.told
    verdict = night.check(3, GONE)
    assert verdict.dead
    assert verdict.said is not None
    assert "does not answer: cannot use PostgreSQL at 127.0.0.1:1/none" in verdict.said.body
    assert 1 == len(night.told)


def test_what_was_not_told_is_told_at_the_next_look(night: Night) -> None:
    """An alarm that did not arrive is none."""
    night.check(0, Found(0))
    night.error = "503"
    assert "503" == night.check(20, GONE).error
    night.error = None
    night.check(1, GONE)
    assert ["No sign of life since 2026-11-22 12:00 UTC, for 21 min."] == [one.split(": ", 2)[2] for one in night.told]


def test_a_first_look_counts_from_itself(night: Night) -> None:
    """Nothing is known yet; a file that is no use is nothing known."""
    night.memory.write_text("{")
    assert not night.check(0, GONE).dead
    assert not night.check(15, GONE).dead
    assert night.check(1, GONE).dead


def test_a_look_that_hangs_is_no_answer(tmp_path: Path) -> None:
    """And no second one is begun while it does."""
    begun, go_on = threading.Event(), threading.Event()

    def look() -> Found:
        begun.set()
        go_on.wait(60)
        return Found(0)

    watch = Watch(look, lambda _: None, after=AFTER, memory=tmp_path / "deadman.json", seconds=0.02)
    assert "no answer within 0.02 s" == watch.check(NOON).found.trouble
    first = watch._thread
    assert begun.wait(60)
    assert "no answer within 0.02 s" == watch.check(NOON).found.trouble
    assert first is watch._thread
    go_on.set()
    watch._seconds = 60
    assert 0 == watch.check(NOON).found.age


@pytest.fixture
def office(database: Database) -> Desk:
    """Alerts by the real clock, at which another process looks too."""
    return Desk(database)


def look(desk: Desk) -> Found:
    """Look as the switch's own process does; routes have the URLs that the desk knows."""
    return look_at(lambda: desk.database.dsn, desk.reveal, AFTER)


def age(desk: Desk, interval: str = "16 min") -> None:
    """Let the last look at alerts be so long ago."""
    desk.database.execute("UPDATE alert_pulse SET at = clock() - %s::interval", (interval,))


def test_the_routes_hear_of_it_while_nobody_looks(office: Desk) -> None:
    """Through a real receiver, and as rows; a tenant's route does not; its end is told as soon as it is over."""
    with http_sink() as hook:
        office.route("all", hook.url)
        office.route("tenants", hook.url, tenant="default")
        evaluate(office.database)
        look(office)
        age(office)
        found = look(office)
        assert found.outcome is not None
        assert 16 <= (found.age or 0) / 60 < 17
        assert 1 == found.outcome.statuses["sent"]
        look(office)
        assert ["chunk_sync critical: system_silent"] == hook.titles
        (alert,) = office.rows("alerts")
        assert ("system_silent", "no sign of life for 16 min (more than 15 min)") == pick(alert, "signal", "message")
        evaluate(office.database)
        assert office.rows("alerts", resolved_at=None)  # whoever looks at alerts waits a while, the switch does not
        look(office)
    assert "chunk_sync resolved: system_silent" == hook.titles[-1]
    assert [("all", "sent", 1)] * 2 == office.statuses()


def test_the_sensor_ends_it_when_the_switch_is_gone(office: Desk) -> None:
    """Whoever looks at alerts resolves what nobody sees any more."""
    office.route()
    evaluate(office.database)
    age(office)
    look(office)
    office.database.execute("UPDATE alerts SET last_seen_at = last_seen_at - interval '4 min'")
    office.look()
    assert [("opened", "waiting")] == [pick(row, "kind", "status") for row in office.rows()]
    office.database.execute("UPDATE alerts SET last_seen_at = last_seen_at - interval '1 min'")
    office.look()
    assert ["opened", "resolved"] == [row["kind"] for row in office.rows()]


def test_it_sends_its_own_messages_only(office: Desk) -> None:
    """What waits of other alerts is the sensor's, whose environment has all the routes' URLs."""
    office.route(url="json://127.0.0.1:1")
    office.alarm()
    office.look()
    age(office)
    look(office)
    attempts = {row["id"]: row["signal"] for row in office.rows("alerts")}
    assert {"sla_at_risk": 0, "system_silent": 1} == {
        attempts[row["alert_id"]]: row["attempts"] for row in office.rows()
    }


def test_before_the_first_look_it_counts_from_the_migration(database: Database, owner: Database) -> None:
    """An installation that never came up is silent too."""
    owner.execute("UPDATE schema_migrations SET applied_at = clock() - interval '1 hour'")
    assert 60 <= alerts.pulse_age(database) / 60 < 61


@pytest.mark.parametrize(
    "dsn", ["postgresql://u:geheim@127.0.0.1:1/none", "postgresql://u:geheim@127.0.0.1:{port}/none"]
)
def test_no_database(database: Database, dsn: str) -> None:
    """A closed port, and a login that is refused: it says which, without the password."""
    port = database.dsn.rpartition(":")[2].partition("/")[0]
    found = look_at(lambda: dsn.format(port=port), lambda _: None, AFTER)
    assert found.age is None
    assert found.trouble is not None
    assert found.trouble.startswith("cannot use PostgreSQL at 127.0.0.1:")
    assert "geheim" not in found.trouble


def test_a_database_without_our_tables(empty_database: Database) -> None:
    """It answers, but is of no use."""
    found = look_at(lambda: empty_database.dsn, lambda _: None, AFTER)
    assert found.trouble is not None
    assert "does not exist" in found.trouble
