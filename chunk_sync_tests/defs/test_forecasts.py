"""Forecasts in the Dagster room: the sensor looks and starts no run; the dispatcher asks how many are wanted."""

from __future__ import annotations

import dagster as dg

from chunk_sync.defs.forecasts import forecasts_sensor
from chunk_sync.defs.sensors import due_chunks
from chunk_sync_tests.defs.conftest import Edge


def told(edge: Edge) -> str:
    """What a tick of the sensor says."""
    context = dg.build_sensor_context(instance=edge.instance, resources={"chunk_sync": edge.resource})
    answer = forecasts_sensor(context)
    assert isinstance(answer, dg.SkipReason)
    return answer.skip_message or ""


def test_a_tick_looks_at_open_syncs(edge: Edge) -> None:
    """It says what it did; there is a sample of each open sync, and none of nothing."""
    assert "nothing is open that was not looked at just now" == told(edge)
    edge.plan(3)
    assert "looked at 1 syncs, made 0 forecasts, scored 0" == told(edge)
    assert [{"count": 1}] == edge.database.execute("SELECT count(*) FROM progress_samples")


def test_the_dispatcher_asks_how_many_runs_are_wanted(edge: Edge) -> None:
    """Each tick decides, also when nothing is due; a limit of the tenant keeps runs from starting."""
    assert [] == edge.tick(due_chunks)
    assert [(0, "nothing is due")] == decided(edge)
    edge.plan(3)
    edge.database.execute("UPDATE tenant_lanes SET chunk_limit = 0")
    assert [] == edge.tick(due_chunks)
    edge.database.execute("UPDATE tenant_lanes SET chunk_limit = NULL")
    assert 1 == len(edge.tick(due_chunks))
    assert 1 == decided(edge)[0][0]


def decided(edge: Edge) -> list[tuple[int, str]]:
    """What autoscalers read."""
    rows = edge.database.execute("SELECT wanted_runs, reason FROM scaling_wanted")
    return [(row["wanted_runs"], row["reason"]) for row in rows]
