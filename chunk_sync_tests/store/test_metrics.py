"""Numbers for Prometheus: each sample says what the tables say, counters never go down, nothing large is read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from chunk_sync.local.dsn import libpq_url
from chunk_sync.settings import PROJECT_ROOT
from chunk_sync.store.database import Database, sql_folder
from chunk_sync.store.isolation import OPERATOR_ROLE
from chunk_sync.store.metrics import Sample, read_samples
from chunk_sync_tests.factory import (
    PlannedJob,
    claim,
    complete,
    fail_for_good,
    make_job,
    make_mailbox,
    move_clock,
    open_worker,
    set_clock,
)

NOON = "2026-11-22 12:00:00+00"
OUTSIDE = {"chunk_sync_up", "chunk_sync_read_seconds", "chunk_sync_alerts"}
"""Metrics that are not in the view."""
COUNTERS = {
    "chunk_sync_attempts_total",
    "chunk_sync_landed_messages_total",
    "chunk_sync_landed_bytes_total",
    "chunk_sync_requests_total",
    "chunk_sync_work_seconds_total",
}


def values(database: Database, name: str, *labels: str) -> dict[Any, float]:
    """Read a metric's values, by the values of one or more labels."""
    found = [sample for sample in read_samples(database) if sample.name == name]
    return {tuple(sample.labels[label] for label in labels): sample.value for sample in found}


@pytest.fixture
def job(database: Database) -> PlannedJob:
    """At noon: of seven chunks one has landed, one is a dead letter, one is running."""
    set_clock(database, NOON)
    planned = make_job(database, make_mailbox(database), chunks=7)
    landed, dead, _ = claim(database, planned, open_worker(database), 3)
    complete(database, landed)
    fail_for_good(database, dead)
    return planned


def test_open_chunks_by_status(database: Database, job: PlannedJob) -> None:
    """Counted like the rows of the queue; a job that has ended is in no sample."""
    expected = {("pending",): 4, ("processing",): 1, ("completed",): 1, ("failed",): 1}
    assert expected == values(database, "chunk_sync_chunks", "status")
    rows = database.execute("SELECT status::text, count(*) AS n FROM chunk_processing_queue GROUP BY status")
    assert expected == {(row["status"],): row["n"] for row in rows}
    database.execute("SELECT cancel_sync('sync_job', public_id, 'enough') FROM sync_jobs")
    assert {} == values(database, "chunk_sync_chunks", "status")


def test_what_is_due_and_since_when(database: Database, job: PlannedJob) -> None:
    """A chunk that is due later, or of a paused mailbox or job, is not due; the age is that of health_alerts."""

    def due() -> tuple[float, float]:
        found = {sample.name: sample.value for sample in read_samples(database)}
        return found["chunk_sync_due_chunks"], found["chunk_sync_oldest_due_seconds"]

    move_clock(database, "20 min")
    alert = database.execute("SELECT value FROM health_alerts WHERE signal = 'oldest_due_seconds'")[0]
    assert (4, alert["value"]) == due() == (4, 1200)
    later = claim(database, job, open_worker(database, "another"), 1)[0]
    database.execute("SELECT fail_chunk(%s, %s, 'network', 'cut', NULL, 3600000)", (later.chunk_id, later.lease_token))
    database.execute("UPDATE mailbox_lanes SET not_before = 'epoch'")
    assert (3, 1200) == due()
    move_clock(database, "2 hours")
    assert (4, 8400) == due()  # it has fallen due, and nobody has looked at the lane yet
    for change, undo in (("paused = true", "paused = false"), ("not_before = 'infinity'", "not_before = 'epoch'")):
        database.execute(f"UPDATE mailbox_lanes SET {change}".encode())
        assert (0, 0) == due(), change
        database.execute(f"UPDATE mailbox_lanes SET {undo}".encode())
    assert (4, 8400) == due()
    database.execute("SELECT pause_sync('sync_job', public_id, 'wait') FROM sync_jobs")
    assert (0, 0) == due()


def test_labels_are_bounded(database: Database) -> None:
    """The twenty mailboxes with the most to do are named, the others added up; nothing is lost."""
    for number in range(23):
        make_job(database, make_mailbox(database, f"box {number}"), chunks=number + 1)
    found = {
        mailbox: n
        for (mailbox, s), n in values(database, "chunk_sync_chunks", "mailbox", "status").items()
        if s == "pending"
    }
    assert {f"box {n}": n + 1 for n in range(3, 23)} | {"other": 1 + 2 + 3} == found
    for number in range(60):
        box = make_mailbox(database, "inbox", tenant=f"tenant {number}")
        attempt(database, box.tenant_id, box.id, emails=1)
    tenants = values(database, "chunk_sync_landed_messages_total", "tenant")
    assert {(f"tenant {n}",) for n in range(49)} | {("other",)} == tenants.keys()
    assert 11 == tenants["other",]


def attempt(database: Database, tenant_id: int, mailbox_id: int, *, emails: int) -> None:
    """Write an attempt that landed some messages."""
    database.execute(
        "INSERT INTO chunked_sync_health_monitoring (tenant_id, mailbox_id, attempt_number, status, processing_time_ms,"
        " emails_processed, bytes_processed, requests) VALUES (%s, %s, 1, 'success', 1500, %s, 4000, 3)",
        (tenant_id, mailbox_id, emails),
    )


def test_mailboxes_by_state(database: Database) -> None:
    """Each mailbox is in one state: free, paused, throttled, or stopped by its breaker."""
    for name in "abcde":
        make_mailbox(database, name)
    later = "not_before = clock() + interval '1 min'"
    for number, change in enumerate(("paused = true", later, f"breaker = 'open', {later}"), 1):
        database.execute(f"UPDATE mailbox_lanes SET {change} WHERE mailbox_id = {number}".encode())
    expected = {("free",): 2, ("paused",): 1, ("throttled",): 1, ("breaker_open",): 1}
    assert expected == values(database, "chunk_sync_mailboxes", "state")


def test_jobs_workers_and_alerts(database: Database, job: PlannedJob) -> None:
    """Open jobs by status, those of the last hour by their end, live workers, and alerts by level."""
    make_job(database, make_mailbox(database, "empty"), chunks=0)
    assert 1 == values(database, "chunk_sync_open_jobs", "status")["processing",]
    assert 1 == values(database, "chunk_sync_ended_jobs", "status")["completed",]
    assert {(): 1} == values(database, "chunk_sync_workers")
    assert {("warn",): 1, ("critical",): 0} == values(database, "chunk_sync_alerts", "level")
    move_clock(database, "2 hours")
    assert 0 == values(database, "chunk_sync_ended_jobs", "status")["completed",]
    assert {(): 0} == values(database, "chunk_sync_workers")


FORECAST = (
    "INSERT INTO forecasts (kind, tenant_id, mailbox_id, sync_job_id, landed, planned, low_at, expected_at, high_at,"
    " rate, spread, model, why, made_at) SELECT %(kind)s, %(tenant)s, %(box)s, 1, 0, 1,"
    " clock() + %(s)s * interval '1 s', clock() + %(s)s * interval '2 s',"
    " clock() + %(s)s * interval '3 s', 1, 1, 'test', 'test', clock()"
)


def test_forecasts_and_runs(database: Database, job: PlannedJob) -> None:
    """Of each mailbox with open jobs and of the backlog the newest forecast, for an hour; runs wanted and there."""
    tenant, box = job.mailbox.tenant_id, job.mailbox.id
    for seconds in (600, 100):
        database.execute(FORECAST, {"kind": "mailbox", "tenant": tenant, "box": box, "s": seconds})
        database.execute(FORECAST, {"kind": "backlog", "tenant": None, "box": None, "s": 2 * seconds})
        database.execute(FORECAST, {"kind": "job", "tenant": tenant, "box": box, "s": 5})
    move_clock(database, "30 s")
    expected = {("box", "low"): 70, ("box", "expected"): 170, ("box", "high"): 270}
    assert expected == values(database, "chunk_sync_forecast_seconds", "mailbox", "bound")
    of_all = values(database, "chunk_sync_backlog_forecast_seconds", "bound")
    assert {("low",): 170, ("expected",): 370, ("high",): 570} == of_all
    assert {} == values(database, "chunk_sync_wanted_runs")  # before the dispatcher's first tick
    database.execute(
        "INSERT INTO scaling_state (wanted_runs, useful_runs, running, due_chunks, backlog_seconds, reason, decided_at)"
        " VALUES (3, 5, 0, 2, 10, 'test', clock())"
    )
    assert ({(): 3}, {(): 0}) == (values(database, "chunk_sync_wanted_runs"), values(database, "chunk_sync_runs"))
    move_clock(database, "1 hour")
    assert {} == values(database, "chunk_sync_backlog_forecast_seconds", "bound")


def test_attempts_by_status_and_category(database: Database, job: PlannedJob) -> None:
    """What has ended, and how; the category of a success is empty."""
    expected = {("success", ""): 1, ("error", "permission"): 1}
    assert expected == values(database, "chunk_sync_attempts_total", "status", "category")


def counters(database: Database) -> dict[tuple[str, str], float]:
    """Read all counters."""
    return {
        (sample.name, json.dumps(sample.labels, sort_keys=True)): sample.value
        for sample in read_samples(database)
        if sample.kind == "counter"
    }


def roll_up(database: Database) -> None:
    """Write attempt_hours anew from the attempts that are there, as the health assets do."""
    database.execute(
        "DELETE FROM attempt_hours WHERE hour >= (SELECT date_trunc('hour', min(created_at), 'UTC')"
        " FROM chunked_sync_health_monitoring)"
    )
    database.execute(
        "INSERT INTO attempt_hours SELECT date_trunc('hour', created_at, 'UTC'), tenant_id, mailbox_id,"
        " coalesce(provider, ''), status, error_category, count(*), 0, 0, sum(emails_processed), 0,"
        " coalesce(sum(bytes_processed), 0), coalesce(sum(requests), 0), sum(processing_time_ms), 0, 0, 0, 0, 0, 0, 0"
        " FROM chunked_sync_health_monitoring GROUP BY 1, 2, 3, 4, 5, 6"
    )


def test_counters_never_go_down(database: Database) -> None:
    """Through roll-ups, folding, the end of attempts and of hours they only grow, and count each attempt once."""
    set_clock(database, NOON)
    box = make_mailbox(database)
    before: dict[tuple[str, str], float] = {}
    fold = "SELECT fold_attempt_hours() AS n"
    for step in range(4 * 8):
        for _ in range(2):
            attempt(database, box.tenant_id, box.id, emails=5)
        if step % 3 == 0:
            roll_up(database)
        if step % 4 == 3:
            roll_up(database)
            database.execute(fold)
            database.execute(
                "DELETE FROM chunked_sync_health_monitoring WHERE created_at < clock() - interval '3 days'"
            )
            database.execute("DELETE FROM attempt_hours WHERE hour < clock() - interval '4 days'")
        now = counters(database)
        assert 10 * (step + 1) == now["chunk_sync_landed_messages_total", '{"tenant": "default"}'], step
        assert [] == [name for name, value in before.items() if now[name] < value]
        before = now
        move_clock(database, "6 hours")
    assert COUNTERS == {name for name, _ in before}


def test_folding_is_done_once(database: Database) -> None:
    """An hour is added up when a day is over, and not again; without any hour there is nothing to do."""
    fold = "SELECT fold_attempt_hours() AS n"
    assert [{"n": 0}] == database.execute(fold)
    set_clock(database, NOON)
    box = make_mailbox(database)
    attempt(database, box.tenant_id, box.id, emails=10)
    roll_up(database)
    assert [{"n": 0}] == database.execute(fold)
    move_clock(database, "26 hours")
    attempt(database, box.tenant_id, box.id, emails=1)
    roll_up(database)
    assert [{"n": 1}] == database.execute(fold)
    assert [{"n": 0}] == database.execute(fold)
    assert [{"emails": 10}] == database.execute("SELECT emails FROM attempt_totals")


def whole_reads(database: Database, statement: str) -> set[str]:
    """Name the tables and indexes that a statement reads from one end to the other, where it has a choice."""
    with database.transaction() as conn:
        conn.execute("SET LOCAL enable_seqscan = off")
        plan = conn.execute(f"EXPLAIN (FORMAT JSON) {statement}".encode()).fetchall()
    return set(_whole_reads(plan[0]["QUERY PLAN"]))


def _whole_reads(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if node.get("Node Type") == "Seq Scan":
            yield node["Relation Name"]
        if "Index Name" in node and "Index Cond" not in node:
            yield node["Index Name"]
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _whole_reads(child)


def test_nothing_large_is_read_whole(database: Database) -> None:
    """What is read as a whole is small, or an index of a few open things; chunks and attempts are told at once."""
    small = {"mailbox_lanes", "attempt_totals", "scaling_state", "provider_quotas"}
    small |= {"tenants_pkey", "attempt_hours_hour"}  # of these the first rows
    open_things = {"sync_jobs_open", "workers_run", "workers_name", "provider_lanes_limited", "dispatches_live"}
    open_things |= {"forecasts_open"}
    assert set() == whole_reads(database, "SELECT * FROM chunk_sync_metrics") - small - open_things
    assert {"chunk_processing_queue_job"} == whole_reads(database, "SELECT count(*) FROM chunk_processing_queue")


def test_a_metric_that_is_not_asked_for_costs_nothing(database: Database, job: PlannedJob) -> None:
    """Who reads the depth of the queue reads no attempts, and the other way round."""
    with database.transaction() as conn:
        explain = "EXPLAIN (ANALYZE, FORMAT JSON) SELECT * FROM chunk_sync_metrics WHERE name = 'chunk_sync_{}'"
        plans = [conn.execute(explain.format(name).encode()).fetchall() for name in ("chunks", "attempts_total")]
    depth, attempts = (set(_executed(plan[0]["QUERY PLAN"])) for plan in plans)
    assert {"sync_jobs", "mailbox_lanes", "mailboxes", "tenants", "chunk_processing_queue"} == depth
    assert {"attempt_totals", "attempt_hours", "chunked_sync_health_monitoring"} == attempts


def _executed(node: Any) -> Iterator[str]:
    if isinstance(node, dict) and "Relation Name" in node and node["Actual Loops"]:
        yield node["Relation Name"]
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _executed(child)


def test_every_metric_is_described(database: Database) -> None:
    """The guide lists the metrics with their kinds and labels, neither more nor fewer; some only come with work."""
    guide = (PROJECT_ROOT / "docs" / "monitoring.md").read_text("utf-8")
    rows = re.findall(r"^\| `(chunk_sync_\w+)` \| (\w+) \| ([\w, ]*?) ?\|", guide, re.MULTILINE)
    described = {name: (kind, {*filter(None, labels.split(", "))}) for name, kind, labels in rows}
    view = (sql_folder() / "views" / "chunk_sync_metrics.sql").read_text("utf-8")
    named = dict(re.findall(r"\('(chunk_sync_\w+)', '(counter|gauge)'", view)) | dict.fromkeys(OUTSIDE, "gauge")
    assert named == {name: kind for name, (kind, _) in described.items()}
    for sample in read_samples(database):
        assert (sample.kind, sample.labels.keys()) == described[sample.name]


def test_an_operator_reads_them(database: Database, job: PlannedJob) -> None:
    """A dashboard needs no more than the operator's rights."""
    with psycopg.connect(libpq_url(database.dsn)) as conn:
        conn.execute(f"SET ROLE {OPERATOR_ROLE}".encode())
        rows = conn.execute("SELECT name, kind, help, labels, value FROM chunk_sync_metrics").fetchall()
    assert {sample.name for sample in read_samples(database)} - {"chunk_sync_alerts"} == {row[0] for row in rows}
    assert all(isinstance(Sample(*row), Sample) for row in rows)
