"""Migrations: from empty, twice, two at once, half-way, newer and changed; and every named query."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import pytest

from chunk_sync.errors import DatabaseUnavailable, SchemaError, UsageError
from chunk_sync.store import migrations
from chunk_sync.store.database import Database, check_server, query, sql_folder

LATEST = len(list((sql_folder() / "migrations").glob("*.sql")))


def test_b44_from_empty_and_again(empty_database: Database) -> None:
    """A first run applies everything, a second one finds nothing to do."""
    first = migrations.migrate(empty_database)
    assert LATEST == len(first.applied)
    again = migrations.migrate(empty_database)
    assert ([], []) == (again.applied, again.objects)
    migrations.check_schema(empty_database)


def test_two_migrators_at_once(empty_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of four that start together one does the work, and all succeed."""
    monkeypatch.setattr(migrations, "_LOCK_PATIENCE", 300.0)
    reports: list[migrations.MigrationReport] = []
    threads = [threading.Thread(target=lambda: reports.append(migrations.migrate(empty_database))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [[], [], [], list(range(1, LATEST + 1))] == sorted(report.applied for report in reports)


def test_a_failing_migration_leaves_nothing(empty_database: Database, own_sql: Path) -> None:
    """Half of a migration that breaks is not there, nor any earlier one of the same run."""
    (own_sql / "migrations" / f"{LATEST + 1:04}_broken.sql").write_text("CREATE TABLE half (id int); SELECT 1/0;")
    with pytest.raises(SchemaError, match=r"_broken\.sql: division by zero"):
        migrations.migrate(empty_database)
    assert 0 == migrations.schema_version(empty_database)


def test_a_newer_schema_is_refused(empty_database: Database) -> None:
    """Code that is older than the database says so and touches nothing."""
    migrations.migrate(empty_database)
    empty_database.execute("INSERT INTO schema_migrations (version, name, sha256) VALUES (9999, 'x', 'x')")
    with pytest.raises(SchemaError, match=f"at schema 9999, this code knows {LATEST}: update chunk_sync"):
        migrations.migrate(empty_database)
    with pytest.raises(SchemaError, match="update chunk_sync"):
        migrations.check_schema(empty_database)


def test_an_older_schema_is_named(empty_database: Database) -> None:
    """Commands that do not migrate say which one does."""
    with pytest.raises(SchemaError, match=rf"at schema 0, this code needs {LATEST}: run `./chunk-sync migrate`"):
        migrations.check_schema(empty_database)


def test_a_changed_migration_is_refused(empty_database: Database, own_sql: Path) -> None:
    """An applied migration cannot be edited."""
    migrations.migrate(empty_database)
    path = own_sql / "migrations" / "0001_foundation.sql"
    path.write_text(path.read_text() + "\n-- more")
    with pytest.raises(SchemaError, match=r"0001_foundation.sql was changed after it was applied"):
        migrations.migrate(empty_database)


def test_functions_follow_their_files(empty_database: Database, own_sql: Path) -> None:
    """A function whose file changed is put in again, and no other."""
    migrations.migrate(empty_database)
    path = own_sql / "functions" / "retry_delay_ms.sql"
    path.write_text(path.read_text() + "\n-- more")
    assert ["functions/retry_delay_ms"] == migrations.migrate(empty_database).objects


@pytest.mark.parametrize("name", sorted(path.stem for path in (sql_folder() / "queries").glob("*.sql")))
def test_every_query_can_be_prepared(database: Database, name: str) -> None:
    """A query that names a wrong column or function fails here, without any data."""
    numbered = re.sub(r"%\((\w+)\)[sb]", "NULL", query(name))
    with database.transaction() as conn:
        conn.execute(f"PREPARE q AS {numbered.replace('%%', '%')}".encode())
        conn.execute("DEALLOCATE q")


def test_every_function_body_is_sound(owner: Database) -> None:
    """Bodies are not checked when they are put in: each SQL function is, here, by being created again."""
    with owner.transaction() as conn:
        conn.execute("SET LOCAL check_function_bodies = on")
        for path in sorted((sql_folder() / "functions").glob("*.sql")):
            conn.execute(path.read_bytes(), prepare=False)


def test_every_function_pins_its_search_path(database: Database) -> None:
    """A function reads our tables whoever calls it."""
    rows = database.execute(
        "SELECT p.proname AS name FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace"
        " WHERE n.nspname = 'chunk_sync' AND p.proconfig IS NULL AND p.prosqlbody IS NULL"
    )
    assert [] == rows


def test_ids_for_people_are_uuid_version_7_in_order(database: Database) -> None:
    """Ids carry version and variant, and sort by the time they were made."""
    made = [str(database.execute("SELECT new_uuid() AS id, pg_sleep(0.002)")[0]["id"]) for _ in range(5)]
    assert sorted(made) == made
    assert {"7"} == {uuid[14] for uuid in made}
    assert {uuid[19] for uuid in made} <= set("89ab")


def test_a_server_that_is_not_there() -> None:
    """A DSN to nowhere is one line that names the place and the variable, never the password."""
    with pytest.raises(DatabaseUnavailable, match=r"127.0.0.1:1/none: .*check CHUNK_SYNC_DSN") as caught:
        check_server("postgresql://user:geheim@127.0.0.1:1/none")
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize("dsn", ["nonsense", "mysql://u@h/d", "postgresql"])
def test_a_dsn_that_is_none(dsn: str) -> None:
    """Something else than a PostgreSQL URL is refused with how to write one."""
    with pytest.raises(UsageError, match="CHUNK_SYNC_DSN"):
        check_server(dsn)
