"""Bring the schema to this code's version: forward-only migrations, then functions, views and policies that changed.

Everything runs in one transaction under an advisory lock, so two migrators at once, or one that fails half-way,
leave the database either before or after. Applied migrations are held by their SHA-256.
"""

from __future__ import annotations

import hashlib
import re
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import LiteralString, cast

import psycopg
from psycopg import sql

from chunk_sync.errors import SchemaError
from chunk_sync.store.database import Connection, Database, sql_folder
from chunk_sync.store.isolation import ROLES

_MIGRATION = re.compile(r"(\d{4})_(\w+)\.sql")
_REPEATABLE = ("functions", "views")
_LOCK_PATIENCE = 30.0  # seconds
_LOCK_TRY = 0.2  # seconds, below deadlock_timeout: we give way before anybody is chosen to die

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
    """What a migration changed: migrations by number, functions, views and policies that were put in again."""

    version: int
    applied: list[int] = field(default_factory=list[int])
    objects: list[str] = field(default_factory=list[str])


def migrate(database: Database) -> MigrationReport:
    """Bring the database to this code's schema; doing it again changes nothing.

    Raises SchemaError when an applied migration was edited since, or when the database is newer than this code.
    """
    with database.owner_transaction() as conn:
        conn.execute("SELECT set_config('lock_timeout', %s, true)", (f"{_LOCK_PATIENCE}s",))
        conn.execute("SELECT pg_advisory_xact_lock(hashtext('chunk_sync.migrate'))")
        conn.execute(_BOOK, prepare=False)
        _set_database_path(conn)
        base = _apply_objects(conn, "base")
        applied = _apply_migrations(conn)
        objects = [name for folder in _REPEATABLE for name in _apply_objects(conn, folder)]
        policies = _apply_policies(conn, new_tables=bool(applied), new_objects=bool(base + applied + objects))
        version = max(_files(), default=0)
    if policies:
        database.roles_changed()
    if applied or objects:
        _settle(database)
    return MigrationReport(version=version, applied=applied, objects=base + objects + policies)


def prepare_dagster_schema(database: Database) -> None:
    """Make the schema for Dagster's own tables, where these live in the same database."""
    with database.owner_transaction() as conn:
        conn.execute("CREATE SCHEMA IF NOT EXISTS dagster")


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
    if todo:
        _lock_relations(conn)
    for version in todo:
        path = files[version]
        _run_file(conn, path)
        conn.execute(
            "INSERT INTO schema_migrations (version, name, sha256) VALUES (%s, %s, %s)",
            (version, path.stem, _sha256(path)),
        )
    return todo


def _settle(database: Database) -> None:
    """Count again what was miscounted by calls that waited for the upgrade: they went on with their old text.

    Who has all tables has waited for the end of those calls. Where they cannot be had the maintenance does it later.
    """
    with suppress(SchemaError), database.owner_transaction() as conn:
        if "functions/repair_lanes" in _known_objects(conn):  # not in a version before lanes
            _lock_relations(conn)
            conn.execute("SELECT repair_lanes()")


def _lock_relations(conn: Connection) -> None:
    """Lock every table and view of ours, never keeping some while waiting for others.

    Who is in the middle of a transaction gets what it still needs and ends; so nobody is in a deadlock with us. First
    those that a landing, a plan and a claim begin with: whoever comes now waits there, and not inside a function.
    """
    found = conn.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'chunk_sync'::regnamespace AND relkind IN ('r', 'p', 'v')"
        " ORDER BY array_position('{messages,folders,sync_chunks}', relname::text), relname"
    ).fetchall()
    ours = sql.SQL(", ").join([sql.Identifier("chunk_sync", row["relname"]) for row in found])
    deadline = time.monotonic() + _LOCK_PATIENCE
    while True:
        try:
            with conn.transaction():
                conn.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(f"{_LOCK_TRY}s"))
                conn.execute(sql.SQL("LOCK TABLE {}").format(ours))
                conn.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(f"{_LOCK_PATIENCE}s"))
        except psycopg.errors.LockNotAvailable as error:
            if time.monotonic() > deadline:
                message = f"the schema is in use, and did not become free for {_LOCK_PATIENCE:.0f} s: try again later"
                raise SchemaError(message) from error
            time.sleep(_LOCK_TRY)
        else:
            return


def _apply_objects(conn: Connection, folder: str) -> list[str]:
    known, files = _known_objects(conn), sorted((sql_folder() / folder).glob("*.sql"))
    changed: list[str] = []
    # A function's body is checked only when it runs, so that files need no order among themselves.
    conn.execute("SET LOCAL check_function_bodies = off")
    for path in files:
        name, sha256 = f"{folder}/{path.stem}", _sha256(path)
        if known.get(name) == sha256:
            continue
        _run_file(conn, path)
        _note(conn, name, sha256)
        changed.append(name)
    gone = {name for name in known if name.startswith(f"{folder}/")} - {f"{folder}/{path.stem}" for path in files}
    if gone:  # a migration has dropped what they made
        conn.execute("DELETE FROM schema_objects WHERE name = ANY (%s)", ([*gone],))
    return changed


def _apply_policies(conn: Connection, *, new_tables: bool, new_objects: bool) -> list[str]:
    """Put in who may see and change what: when that changed, or the roles did, and for whatever was put in now.

    Without the roles, which not every login may make, everything stays the owner's alone; `doctor` says so.
    """
    folder = sql_folder() / "policies"
    if not folder.is_dir():
        return []  # a version before them
    _run_file(conn, folder / "roles.sql")
    roles = _roles(conn)
    if not roles.keys() >= {*ROLES}:
        return []
    known = _known_objects(conn)
    changed: list[str] = []
    for name, again in (("rows", new_tables), ("rights", new_objects)):
        path, entry = folder / f"{name}.sql", f"policies/{name}"
        # A role that was dropped and made again has another number, and no rights.
        fingerprint = hashlib.sha256(f"{_sha256(path)} {sorted(roles.items())}".encode()).hexdigest()
        if known.get(entry) != fingerprint:
            _note(conn, entry, fingerprint)
            changed.append(entry)
        elif not again:
            continue
        if name == "rows":
            _lock_relations(conn)
        _run_file(conn, path)
    return changed


def _roles(conn: Connection) -> dict[str, int]:
    """Find the numbers of the roles that policies speak of, the owner's included."""
    rows = conn.execute(
        "SELECT rolname, oid::bigint FROM pg_roles WHERE rolname = ANY (%s) OR rolname = current_user", ([*ROLES],)
    ).fetchall()
    return {row["rolname"]: row["oid"] for row in rows}


def _known_objects(conn: Connection) -> dict[str, str]:
    return {row["name"]: row["sha256"] for row in conn.execute("SELECT * FROM schema_objects").fetchall()}


def _note(conn: Connection, name: str, sha256: str) -> None:
    conn.execute(
        "INSERT INTO schema_objects (name, sha256) VALUES (%s, %s)"
        " ON CONFLICT (name) DO UPDATE SET sha256 = EXCLUDED.sha256, applied_at = clock_timestamp()",
        (name, sha256),
    )


def _set_database_path(conn: Connection) -> None:
    """Put our schema on the database's path, so that the documented commands run unqualified from psql."""
    name = conn.info.dbname
    try:
        with conn.transaction():
            conn.execute(sql.SQL("ALTER DATABASE {} SET search_path = chunk_sync, public").format(sql.Identifier(name)))
    except psycopg.errors.InsufficientPrivilege:
        return  # not the database's owner: `doctor` says so, our own connections set the path themselves


def _run_file(conn: Connection, path: Path) -> None:
    try:
        conn.execute(cast("LiteralString", path.read_text(encoding="utf-8")), prepare=False)
    except psycopg.Error as error:
        message = f"{path.parent.name}/{path.name}: {str(error).strip()}"
        raise SchemaError(message) from error


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
