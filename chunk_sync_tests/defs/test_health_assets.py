"""The health lineage as a user sees it: what each asset shows, what its checks say, what is kept for trends."""

from __future__ import annotations

import dagster as dg

from chunk_sync.defs.sensors import due_chunks
from chunk_sync_tests import factory
from chunk_sync_tests.defs.conftest import Edge
from chunk_sync_tests.defs.test_jobs import records, values


def checks(edge: Edge, run: dg.ExecuteInProcessResult) -> dict[str, tuple[bool, str]]:
    """What the checks of a run said: passed and severity, by name."""
    events = edge.instance.all_logs(run.run_id, dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    found = [entry.dagster_event.asset_check_evaluation_data for entry in events if entry.dagster_event]
    return {check.check_name: (check.passed, check.severity.value) for check in found}


def test_all_is_well(edge: Edge) -> None:
    """After a sync without a fault every check passes, and the numbers are those of the sync."""
    edge.plan(5)
    edge.launch(edge.tick(due_chunks)[0])
    run = edge.run("health")
    assert run.success
    assert {True} == {passed for passed, _ in checks(edge, run).values()}
    assert values(run, "chunk_attempts")["hours_written"].value in {1, 2}  # it may strike meanwhile
    assert 5 == values(run, "chunk_attempts")["success_this_hour"].value
    assert (5, 0, 0.0) == tuple(
        values(run, "error_analysis")[name].value for name in ("attempts", "failures", "failure_share")
    )
    verdict = values(run, "system_health")
    assert ("healthy", "ok", 0) == tuple(verdict[name].value for name in ("overall_health", "alert_level", "level"))
    assert 5 == verdict["attempts_last_hour"].value


def test_what_is_wrong_is_told_by_the_checks(edge: Edge) -> None:
    """A dead letter, a broken promise and a job that does not add up: each fails its own check, as severe as it is."""
    edge.plan(5)
    edge.mail.refuse(1)
    edge.launch(edge.tick(due_chunks)[0])
    edge.database.execute("INSERT INTO tenant_slas (failure_budget) VALUES (0.01)")
    edge.database.execute("INSERT INTO tenant_slas (tenant_id, first_sync_within) VALUES (1, '1 hour')")
    edge.database.execute(
        "UPDATE sync_jobs SET status = 'completed', emails_processed = emails_processed + 1, completed_at = NULL"
    )
    edge.database.execute("UPDATE sync_jobs SET completed_at = clock(), created_at = clock() - interval '2 hours'")
    run = edge.run("health")
    found = checks(edge, run)
    assert (False, "WARN") == found["no_dead_letters"]
    assert (False, "ERROR") == found["landed_as_planned"]
    assert (False, "ERROR") == found["promises_kept"]
    assert {"no_dead_letters", "landed_as_planned", "promises_kept"} == {
        name for name, (passed, _) in found.items() if not passed
    }
    (told,) = records(values(run, "tenant_sla")["not_kept"])
    assert ("broken", "first_sync") == (told["state"], told["objective"])
    assert ("warning", "critical") == tuple(
        values(run, "system_health")[name].value for name in ("overall_health", "alert_level")
    )
    assert 1 == records(values(run, "retry_effectiveness")["by_category"])[0]["dead_letters"]


def test_a_chunk_that_landed_twice_is_told_of(edge: Edge) -> None:
    """The same lease completed twice cannot be: when it is, it is an error."""
    edge.plan(1)
    edge.launch(edge.tick(due_chunks)[0])
    edge.database.execute(
        "INSERT INTO chunked_sync_health_monitoring (tenant_id, mailbox_id, chunk_id, lease_token, attempt_number,"
        " status, processing_time_ms) SELECT tenant_id, mailbox_id, chunk_id, lease_token, 1, 'success', 1"
        " FROM chunked_sync_health_monitoring"
    )
    assert (False, "ERROR") == checks(edge, edge.run("health"))["no_duplicate_landings"]


def test_recoveries_are_measured(edge: Edge) -> None:
    """How long the dead worker had been silent, and how soon its chunk was at work again."""
    factory.set_clock(edge.database, "2026-11-22 12:00:00+00")
    job = edge.plan(2)
    factory.claim(edge.database, job, factory.open_worker(edge.database))
    factory.move_clock(edge.database, "90 s")
    edge.database.execute("SELECT cleanup_stuck_chunks()")
    factory.move_clock(edge.database, "10 s")
    edge.launch(edge.tick(due_chunks)[0])
    shown = values(edge.run("health"), "recovery_effectiveness")
    assert (1, 1.0, 90.0) == tuple(shown[name].value for name in ("recovered", "by_itself", "silent_seconds"))
    assert 0.85 == shown["saved_share_of_ten_minutes"].value


def test_history_is_kept_for_trends(edge: Edge) -> None:
    """Each computation leaves its numbers; two at the same moment leave one."""
    factory.set_clock(edge.database, "2026-11-22 12:00:00+00")
    edge.run("health")
    edge.run("health")
    factory.move_clock(edge.database, "5 min")
    edge.run("health")
    rows = edge.database.execute("SELECT asset, count(*) AS n FROM health_history GROUP BY asset")
    assert {2} == {row["n"] for row in rows}
    assert {"queue_health", "system_health", "mailbox_progress", "error_analysis", "throughput_trend"} <= {
        row["asset"] for row in rows
    }
