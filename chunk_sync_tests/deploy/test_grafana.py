"""The dashboard, held to the database: each panel's SQL runs with an operator's rights and fits the panel's kind."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from chunk_sync.health.attempt_hours import hour_rows
from chunk_sync.local.dsn import libpq_url
from chunk_sync.settings import PROJECT_ROOT
from chunk_sync.store.database import Database
from chunk_sync.store.health import note_numbers
from chunk_sync.store.isolation import OPERATOR_ROLE
from chunk_sync.store.rollup import roll_up_attempts
from chunk_sync_tests.factory import claim, complete, fail_for_good, make_job, make_mailbox, open_worker
from chunk_sync_tests.postgres_plugin import PgServer

DASHBOARD: dict[str, Any] = json.loads((PROJECT_ROOT / "deploy" / "grafana" / "chunk_sync.json").read_text("utf-8"))
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
VARIABLES: list[dict[str, Any]] = DASHBOARD["templating"]["list"]
STRANGE = "the boss' box"
NUMBERS = {"int2", "int4", "int8", "float4", "float8", "numeric"}
STABLE = {
    "attempt_hours",
    "chunk_processing_status",
    "chunk_sync_metrics",
    "error_hot_spots",
    "folder_speed",
    "forecasts",
    "health_alerts",
    "health_history",
    "mailbox_costs",
    "mailboxes",
    "quota_shares",
    "scaling_wanted",
    "tenants",
}
"""What docs/monitoring.md promises to keep: a dashboard reads nothing else."""


def expand(sql: str) -> str:
    """Do what Grafana does before it sends a panel's SQL: macros and variables."""
    span = "BETWEEN '2000-01-01T00:00:00Z' AND '2100-01-01T00:00:00Z'"
    sql = re.sub(r"\$__timeFilter\(([^()]+)\)", rf"\1 {span}", sql)
    sql = sql.replace("$__timeFrom()", "'2000-01-01T00:00:00Z'").replace("$__timeTo()", "'2100-01-01T00:00:00Z'")
    chosen = {"tenant": ["default"], "mailbox": [STRANGE, "other"]}
    for name, values in chosen.items():
        quoted = ",".join("'{}'".format(value.replace("'", "''")) for value in values)
        sql = sql.replace(f"${{{name}:sqlstring}}", quoted)
    assert "$" not in sql, sql
    return sql


@pytest.fixture(scope="module")
def operator(pg_server: PgServer, migrated_template: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection of an operator to a database in which something has happened."""
    with pg_server.cloned(migrated_template) as dsn, Database(dsn) as database:
        _let_things_happen(database)
        options = "-c search_path=chunk_sync,public"
        with psycopg.connect(libpq_url(dsn), row_factory=dict_row, autocommit=True, options=options) as conn:
            conn.execute(f"SET ROLE {OPERATOR_ROLE}".encode())
            yield conn


def _let_things_happen(database: Database) -> None:
    job = make_job(database, make_mailbox(database, STRANGE), chunks=5)
    landed, dead, _ = claim(database, job, open_worker(database), 3)
    complete(database, landed)
    fail_for_good(database, dead)
    roll_up_attempts(database, hour_rows, seconds=30)
    note_numbers(database, "queue_health", {"due_chunks": 2})
    database.execute(
        "INSERT INTO forecasts (kind, sync_job_id, landed, planned, low_at, expected_at, high_at, rate, spread, model,"
        " why) VALUES ('backlog', %s, 10, 50, clock() + interval '1 min', clock() + interval '2 min',"
        " clock() + interval '3 min', 1, 1, 'test', 'test')",
        (job.id,),
    )
    database.execute(
        "INSERT INTO scaling_state (wanted_runs, useful_runs, running, due_chunks, backlog_seconds, reason, decided_at)"
        " VALUES (1, 1, 0, 2, 10, 'test', clock())"
    )


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_each_panel_has_something_to_show(operator: psycopg.Connection[Any], panel: dict[str, Any]) -> None:
    """Rows, in columns that the panel can draw: a time series has a time and a number, a stat numbers alone."""
    (target,) = panel["targets"]
    cursor = operator.execute(expand(target["rawSql"]).encode())
    rows = cursor.fetchall()
    assert rows
    types = {column.name: operator.adapters.types[column.type_code].name for column in cursor.description or ()}
    numbers = {name for name, kind in types.items() if kind in NUMBERS}
    assert any(row[name] is not None for row in rows for name in numbers)
    match panel["type"]:
        case "timeseries":
            assert ("timestamptz", "time_series") == (types["time"], target["format"])
            assert set(types) - numbers <= {"time", "metric"}
            assert sorted(row["time"] for row in rows) == [row["time"] for row in rows]
        case "stat":
            assert (set(types), 1, "table") == (numbers, len(rows), target["format"])
        case "bargauge":
            assert (1, "table") == (len(set(types) - numbers), target["format"])
        case kind:
            assert ("table", "table") == (kind, target["format"])


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda variable: variable["name"])
def test_each_variable_has_values(operator: psycopg.Connection[Any], variable: dict[str, Any]) -> None:
    """Tenants, and the mailboxes of those that are chosen."""
    rows = operator.execute(expand(variable["query"]).encode()).fetchall()
    assert {"tenant": ["default"], "mailbox": [STRANGE]}[variable["name"]] == [row["name"] for row in rows]
    assert (True, True) == (variable["multi"], variable["includeAll"])


@pytest.mark.parametrize(
    "sql", [*(panel["targets"][0]["rawSql"] for panel in PANELS), *(variable["query"] for variable in VARIABLES)]
)
def test_only_stable_things_are_read(sql: str) -> None:
    """A dashboard that somebody has imported goes on working: it reads what the documentation promises."""
    assert set(re.findall(r"(?:FROM|JOIN) (\w+)(?! -)", re.sub(r"extract\(EPOCH FROM[^)]*\)", "", sql))) <= STABLE


def test_what_is_stable_is_described(operator: psycopg.Connection[Any]) -> None:
    """The guide lists these, neither more nor fewer, with columns that are there."""
    guide = (PROJECT_ROOT / "docs" / "monitoring.md").read_text("utf-8").partition("## What is stable")[2]
    rows = re.findall(r"^\| (`.+`) \| (.+) \|$", guide, re.MULTILINE)
    assert sorted(STABLE) == sorted(name for names, _ in rows for name in re.findall(r"`(\w+)`", names))
    for names, told in rows:
        columns = ", ".join(re.findall(r"`(\w+)`", told)) if "`tenants`" not in names else "id, name"
        for name in re.findall(r"`(\w+)`", names):
            operator.execute(f"SELECT {columns or '*'} FROM {name} LIMIT 0".encode())


def test_everything_asks_the_same_database() -> None:
    """Panels, their queries and the variables have the data source that is chosen at the import."""
    (source,) = DASHBOARD["__inputs"]
    asked = [*PANELS, *(target for panel in PANELS for target in panel["targets"]), *VARIABLES]
    assert {json.dumps({"type": source["pluginId"], "uid": f"${{{source['name']}}}"})} == {
        json.dumps(one["datasource"]) for one in asked
    }
    required = {(one["type"], one["id"]) for one in DASHBOARD["__requires"]}
    assert {("panel", panel["type"]) for panel in PANELS} | {("datasource", source["pluginId"])} <= required


def test_panels_do_not_overlap() -> None:
    """Each has a number of its own and a place of its own, in a width of 24."""
    assert [*range(1, len(PANELS) + 1)] == [panel["id"] for panel in PANELS]
    places = [panel["gridPos"] for panel in PANELS]
    cells = [(x, y) for p in places for x in range(p["x"], p["x"] + p["w"]) for y in range(p["y"], p["y"] + p["h"])]
    assert len(cells) == len(set(cells))
    assert 24 == 1 + max(x for x, _ in cells)
