"""Upgrades: from every released version, with its data in it, made by its own code (fixtures in conftest.py)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from chunk_sync.errors import SchemaError
from chunk_sync.store import migrations
from chunk_sync.store.database import Database
from chunk_sync_tests.catalog import Tables, catalog, in_order, rows
from chunk_sync_tests.new_code import NewCode, chunks_of
from chunk_sync_tests.releases import Release, ReleaseError

EMPTY = {"archived_sync_jobs"}
"""Tables that are empty in a young database, from the release on that has them."""
OTHER_VALUES = {
    ("retry_policies", "delays_ms"),  # 0003 says the same rules as a kind of backoff with its numbers
    ("retry_policies", "attempts_limit"),
}
"""(table, column) of a release that a migration fills anew, each with its reason."""
NEW_RULES = {
    "retention_policies": {
        *("partition_keys", "dagster_runs", "attempt_hours", "health_history", "forecasts", "alerts"),
    },
    "health_thresholds": {
        *("failure_share", "standstill_seconds", "failed_plans", "forecast_drift", "sla_at_risk", "sla_broken"),
        "deliveries_failed",
    },
}
"""By table, what the rows are about that a migration adds to those of a release."""
OTHER_ORDER: frozenset[str] = frozenset()
"""Tables whose columns may stand in another order after an upgrade. None so far."""
BOOKS = {"schema_migrations", "schema_objects"}
"""What the migrator itself writes."""
MADE_ANEW = {"public_id", "created_at", "applied_at"}
"""Columns of rows that migrations put in, with an id or a moment of their own in each database."""


def test_the_release_left_all_kinds_of_rows(old_data: Database) -> None:
    """The test material: no table is empty that need not be, and one job has a chunk in every state but cancelled."""
    assert [] == [table for table, found in rows(old_data).items() if not found and table not in EMPTY]
    assert [(1, "failed"), (1, "completed"), (1, "processing"), (1, "processing"), (1, "pending"), (0, "pending")] == [
        (chunk["attempts"], chunk["status"]) for chunk in chunks_of(old_data, "half")
    ]


def test_b44_an_upgrade_keeps_every_row(old_data: Database) -> None:
    """Every value of every column is what it was: statuses, attempts, leases, hashes, bytes."""
    before = rows(old_data)
    migrations.migrate(old_data)
    migrations.check_schema(old_data)
    assert _kept(before, before) == _kept(before, rows(old_data))


def test_b44_an_upgraded_schema_is_a_fresh_one(old_schema: Database, empty_database: Database) -> None:
    """However the schema came to be, it is the same, and so are the rows that migrations put in."""
    migrations.migrate(empty_database)
    migrations.migrate(old_schema)
    assert _comparable(catalog(empty_database)) == _comparable(catalog(old_schema))
    assert _seeds(empty_database) == _seeds(old_schema)


def test_the_new_code_finishes_what_the_old_one_began(old_data: Database, home: Path) -> None:
    """Retry, dead letter, lost leases, a plan that was asked for: all of it goes on, and no attempt is forgotten."""
    migrations.migrate(old_data)
    new = NewCode(old_data, home)
    new.finish("held-run", "lost-run")
    assert [] == new.wrong("whole", "half")
    assert [1, 1, 2, 2, 2, 1] == [chunk["attempts"] for chunk in chunks_of(old_data, "half")]


@pytest.mark.parametrize("place", ["migrations/9999_broken.sql", "functions/zzz_broken.sql", "views/zzz_broken.sql"])
def test_an_upgrade_that_fails_changes_nothing(old_data: Database, own_sql: Path, place: str) -> None:
    """Whatever breaks, early or at the very end: the old schema and its data stay as they were."""
    before = catalog(old_data), rows(old_data)
    change = "ALTER TABLE sync_jobs ADD COLUMN half int; UPDATE sync_chunks SET uids = '';"
    (own_sql / place).write_text(f"{change} SELECT 1/0;", encoding="utf-8")
    with pytest.raises(SchemaError, match=rf"{place}: division by zero"):
        migrations.migrate(old_data)
    assert before == (catalog(old_data), rows(old_data))


def test_two_migrators_upgrade_once(old_data: Database, own_sql: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three that start together one upgrades, and all succeed."""
    monkeypatch.setattr(migrations, "_LOCK_PATIENCE", 300.0)
    (own_sql / "migrations" / "9999_next.sql").write_text("CREATE TABLE next (id bigint);", encoding="utf-8")
    with ThreadPoolExecutor(3) as pool:
        reports = [running.result() for running in [pool.submit(migrations.migrate, old_data) for _ in range(3)]]
    assert [9999, 9999, 9999] == [report.version for report in reports]
    assert 1 == sum(bool(report.applied) for report in reports)


def test_old_code_that_starts_on_a_newer_schema_is_told(
    old_schema: Database, release: Release, home: Path, own_sql: Path
) -> None:
    """A command of the old version that begins after the upgrade says what to do, and changes nothing."""
    had = migrations.schema_version(old_schema)
    (own_sql / "migrations" / "9999_next.sql").write_text("CREATE TABLE next (id bigint);", encoding="utf-8")
    migrations.migrate(old_schema)
    with release.running(old_schema.dsn, home) as old:
        for command in ("check", "migrate"):
            with pytest.raises(ReleaseError, match=rf"at schema 9999, this code knows {had}: update chunk_sync"):
                old(command)
    migrations.check_schema(old_schema)


def _kept(before: Tables, tables: Tables) -> Tables:
    """Of these tables, what an upgrade must not change: the columns that were there before it."""
    columns = {
        table: {c for row in found for c in row if (table, c) not in OTHER_VALUES} for table, found in before.items()
    }
    return {
        table: in_order(
            [
                {c: row[c] for c in columns[table]}
                for row in tables[table]
                if row.get("what", row.get("signal")) not in NEW_RULES.get(table, set())
            ]
        )
        for table in before.keys() - BOOKS
    }


def _comparable(lines: list[str]) -> list[str]:
    tables = tuple(f"order {table} " for table in OTHER_ORDER)
    return [line for line in lines if not (tables and line.startswith(tables))]


def _seeds(database: Database) -> Tables:
    """What migrations put in, the books included: a file that goes away takes its entry with it."""
    return {
        table: in_order([{c: value for c, value in row.items() if c not in MADE_ANEW} for row in found])
        for table, found in rows(database).items()
    }
