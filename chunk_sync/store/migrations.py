"""Bring the schema to this code's version: forward-only migrations, then functions and views that changed.

Everything runs in one transaction under an advisory lock, so two migrators at once, or one that fails half-way,
leave the database either before or after. Applied migrations are held by their SHA-256.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import LiteralString, cast

import psycopg
from psycopg import sql

from chunk_sync.errors import SchemaError
from chunk_sync.store.database import Connection, Database, sql_folder

_MIGRATION = re.compile(r"(\d{4})_(\w+)\.sql")
_REPEATABLE = ("functions", "views")

_BOOK = """
CREATE SCHEMA IF NOT EXISTS chunk_sync;
CREATE TABLE IF NOT EXISTS chunk_sync.schema_migrations (
    version integer PRIMARY KEY,
    name text NOT NULL,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    applied_by text NOT NULL DEFAULT current_user
);
CREATE TABLE IF NOT EXISTS chunk_sync.schema_objects (
    name text PRIMARY KEY,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
"""


@dataclass(frozen=True, slots=True)
class MigrationReport:
    """What a migration changed: numbers of migrations, names of functions and views that were put in again."""

    version: int
    applied: list[int] = field(default_factory=list[int])
    objects: list[str] = field(default_factory=list[str])


def migrate(database: Database) -> MigrationReport:
    """Bring the database to this code's schema; doing it again changes nothing.

    Raises SchemaError when an applied migration was edited since, or when the database is newer than this code.
    """
    with database.transaction() as conn:
        conn.execute("SET LOCAL lock_timeout = '30s'")
        conn.execute("SELECT pg_advisory_xact_lock(hashtext('chunk_sync.migrate'))")
        _run(conn, _BOOK)
        _set_database_path(conn)
        base = _apply_objects(conn, "base")
        applied = _apply_migrations(conn)
        objects = [name for folder in _REPEATABLE for name in _apply_objects(conn, folder)]
        version = max(_files(), default=0)
    return MigrationReport(version=version, applied=applied, objects=base + objects)


def prepare_dagster_schema(database: Database) -> None:
    """Make the schema for Dagster's own tables, where these live in the same database."""
    database.execute("CREATE SCHEMA IF NOT EXISTS dagster")


def schema_version(database: Database) -> int:
    """The last migration in the database; 0 when it has no schema of ours."""
    found = database.execute("SELECT to_regclass('chunk_sync.schema_migrations') IS NOT NULL AS found")
    if not found[0]["found"]:
        return 0
    return database.execute("SELECT coalesce(max(version), 0) AS version FROM chunk_sync.schema_migrations")[0][
        "version"
    ]


def check_schema(database: Database) -> None:
    """Refuse a database whose schema is not this code's; raises SchemaError with what to do."""
    have, want = schema_version(database), max(_files())
    if have < want:
        message = f"the database is at schema {have}, this code needs {want}: run `./chunk-sync migrate`"
        raise SchemaError(message)
    if have > want:
        raise SchemaError(_newer(have, want))


def _newer(have: int, want: int) -> str:
    return f"the database is at schema {have}, this code knows {want}: update chunk_sync before using this database"


def _files() -> dict[int, Path]:
    found = ((_MIGRATION.fullmatch(path.name), path) for path in sorted((sql_folder() / "migrations").iterdir()))
    return {int(match[1]): path for match, path in found if match}


def _apply_migrations(conn: Connection) -> list[int]:
    files = _files()
    done = {row["version"]: row for row in conn.execute("SELECT * FROM schema_migrations").fetchall()}
    if newer := done.keys() - files.keys():
        raise SchemaError(_newer(max(newer), max(files)))
    for version, row in done.items():
        if row["sha256"] != _sha256(files[version]):
            message = f"migration {files[version].name} was changed after it was applied: put the old text back"
            raise SchemaError(message)
    todo = sorted(files.keys() - done.keys())
    for version in todo:
        path = files[version]
        _run(conn, path.read_text(encoding="utf-8"), path)
        conn.execute(
            "INSERT INTO schema_migrations (version, name, sha256) VALUES (%s, %s, %s)",
            (version, path.stem, _sha256(path)),
        )
    return todo


def _apply_objects(conn: Connection, folder: str) -> list[str]:
    known = {row["name"]: row["sha256"] for row in conn.execute("SELECT * FROM schema_objects").fetchall()}
    changed: list[str] = []
    # A function's body is checked only when it runs, so that files need no order among themselves.
    conn.execute("SET LOCAL check_function_bodies = off")
    for path in sorted((sql_folder() / folder).glob("*.sql")):
        name, sha256 = f"{folder}/{path.stem}", _sha256(path)
        if known.get(name) == sha256:
            continue
        _run(conn, path.read_text(encoding="utf-8"), path)
        conn.execute(
            "INSERT INTO schema_objects (name, sha256) VALUES (%s, %s)"
            " ON CONFLICT (name) DO UPDATE SET sha256 = EXCLUDED.sha256, applied_at = clock_timestamp()",
            (name, sha256),
        )
        changed.append(name)
    return changed


def _set_database_path(conn: Connection) -> None:
    """Put our schema on the database's path, so that the documented commands run unqualified from psql."""
    name = conn.info.dbname
    try:
        with conn.transaction():
            conn.execute(sql.SQL("ALTER DATABASE {} SET search_path = chunk_sync, public").format(sql.Identifier(name)))
    except psycopg.errors.InsufficientPrivilege:
        return  # not the database's owner: `doctor` says so, our own connections set the path themselves


def _run(conn: Connection, text: str, path: Path | None = None) -> None:
    try:
        conn.execute(cast("LiteralString", text), prepare=False)
    except psycopg.Error as error:
        if path is None:
            raise
        message = f"{path.parent.name}/{path.name}: {str(error).strip()}"
        raise SchemaError(message) from error


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
