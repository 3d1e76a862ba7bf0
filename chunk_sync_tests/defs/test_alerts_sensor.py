"""The sensor of alerts: one tick, what it sends and what it says."""

from __future__ import annotations

import dagster as dg
import pytest

from chunk_sync.defs.alerts import alerts
from chunk_sync.defs.resources import ChunkSync
from chunk_sync.store import alert_rules
from chunk_sync.store.alert_rules import NewRoute
from chunk_sync.store.control import Decision
from chunk_sync.store.database import Database
from chunk_sync_tests.alerts.receivers import HttpSink, http_sink

ALARM = "INSERT INTO sla_states (tenant_id, objective, state, message) VALUES (1, 'freshness', 'broken', 'late')"


def tick() -> str | None:
    """Evaluate the sensor once; what it says."""
    with dg.build_sensor_context(resources={"chunk_sync": ChunkSync()}) as context:
        return alerts.evaluate_tick(context).skip_message


@pytest.fixture
def hook(database: Database, monkeypatch: pytest.MonkeyPatch):
    """A webhook that a route leads to, and the address of a watcher outside."""
    with http_sink() as sink:
        monkeypatch.setenv("CHUNK_SYNC_DSN", database.dsn)
        monkeypatch.setenv("HOOK", sink.url)
        monkeypatch.setenv("CHUNK_SYNC_PING_URL", f"http://127.0.0.1:{sink.port}/ping")
        alert_rules.add_route(database, NewRoute("hook", "env:HOOK"), Decision("tests", "tester"))
        yield sink


def test_a_tick_looks_sends_and_pings(database: Database, hook: HttpSink) -> None:
    """Without a run; the watcher hears of each look."""
    assert "nothing is alarming" == tick()
    database.execute(
        "INSERT INTO sla_states (tenant_id, objective, state, message) VALUES (1, 'freshness', 'broken', 'x')"
    )
    assert "1 alarming; 1 opened, 1 sent" == tick()
    assert "1 alarming; nothing new" == tick()
    assert ["/ping", "/token-77", "/ping", "/ping"] == [path.rstrip("/") for _, path, _ in hook.requests]
    assert [("sent", 1)] == [
        (row["status"], row["attempts"]) for row in database.execute("SELECT * FROM alert_deliveries")
    ]


def test_what_fails_is_tried_again_and_the_tick_goes_on(database: Database, hook: HttpSink) -> None:
    """Neither a receiver nor a watcher that refuses fails the tick."""
    database.execute(
        "INSERT INTO sla_states (tenant_id, objective, state, message) VALUES (1, 'freshness', 'broken', 'x')"
    )
    hook.answers = [500, 500]
    assert "1 alarming; 1 opened, 1 to be tried again" == tick()


def test_a_look_that_fails_is_no_ping(database: Database, owner: Database, hook: HttpSink) -> None:
    """The tick fails, as Dagster shows, and the watcher outside notices the silence."""
    owner.execute("DROP VIEW health_alerts CASCADE")
    with pytest.raises(Exception, match="health_alerts"):
        tick()
    assert [] == hook.requests
