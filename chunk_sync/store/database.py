"""The door to PostgreSQL: a pool (SQLAlchemy), transactions on psycopg connections, named queries from sql/.

Queries are files, `sql/queries/NAME.sql`, with `%(name)s` parameters. They run on the driver's connection:
SQLAlchemy's `text()` would take `:foo` inside a function for a parameter.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, LiteralString, Self, cast

import psycopg
import sqlalchemy as sa
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row, tuple_row
from sqlalchemy import event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, InvalidatePoolError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

from chunk_sync.errors import DatabaseUnavailable, LeaseLost, UsageError
from chunk_sync.settings import PROJECT_ROOT

MINIMUM_VERSION = 150_000
"""PostgreSQL 15, as `server_version` numbers it."""

APP_ROLE = "chunk_sync_app"
"""Whom the engine's connections act as; sql/policies says what it may."""

Row = dict[str, Any]
Connection = psycopg.Connection[Row]

DATABASE_ERRORS = (psycopg.Error, DatabaseUnavailable)
"""All that a call may raise because of the database; for rooms that have no business with drivers."""

_SET_OPTION_VERSION = 160_000  # before, membership alone let a login become a role
_LEASE_LOST = ("CS001", "CS002")  # raised by complete_chunk, finish_plan; claim_chunks


def sql_folder() -> Path:
    """Find the SQL files: beside the package in a checkout, inside it in a wheel."""
    inside = Path(__file__).parent.parent / "sql"
    return inside if inside.is_dir() else PROJECT_ROOT / "sql"


@functools.cache
def query(name: str) -> LiteralString:
    """Read the named query; its text is ours, never built from input."""
    return cast("LiteralString", (sql_folder() / "queries" / f"{name}.sql").read_text(encoding="utf-8"))


class Database:
    """A pool of connections to the database of one installation. Threads may share it; processes may not.

    Connections act as `role`, where it has been given rights and the login may become it, else as the login itself.
    """

    def __init__(
        self, dsn: str, *, pool_size: int = 4, application: str = "chunk_sync", role: str | None = APP_ROLE
    ) -> None:
        url = _url(dsn)
        self.dsn = url.render_as_string(hide_password=False)
        self._role = role
        self._roles = object()
        self._engine = sa.create_engine(
            url,
            pool_size=pool_size,
            max_overflow=20,
            connect_args={
                "application_name": application,
                "connect_timeout": 10,
                # pg_temp last: else a temporary table comes before ours of the same name.
                "options": "-c search_path=chunk_sync,pg_temp -c timezone=UTC",
            },
        )
        event.listen(self._engine, "checkout", self._begin_anew)

    def _begin_anew(self, connection: psycopg.Connection[Any], entry: ConnectionPoolEntry, _: object) -> None:
        """Hand a connection out: what its last user made of the session, whom it acts as and for whom, is undone.

        Not all settings: the queue keeps a mark of its own in the session. It also checks that the server is there.
        """
        try:
            connection.autocommit = True
            if entry.info.get("roles") is not self._roles:
                entry.info["begin"] = self._beginning(connection)
                entry.info["roles"] = self._roles
            connection.execute(entry.info["begin"], prepare=False)
            connection.autocommit = False
        except psycopg.Error as error:
            raise InvalidatePoolError from error

    def _beginning(self, connection: psycopg.Connection[Any]) -> sql.Composed:
        act = sql.SQL("RESET ROLE")
        if self._role and _may_become(connection, self._role):
            act = sql.SQL("SET ROLE {}").format(sql.Identifier(self._role))
        return act + sql.SQL("; RESET app.tenant_id; RESET search_path")

    def roles_changed(self) -> None:
        """Let each connection look again whom it may act as, the next time that it is used."""
        self._roles = object()

    @contextlib.contextmanager
    def transaction(self, *, heavy: bool = False) -> Iterator[Connection]:
        """Give a psycopg connection inside a transaction: committed at the end, rolled back on an error.

        A `heavy` one sends so much that its connection is not kept: libpq never gives back the memory of its buffers.
        Raises LeaseLost when the database refused a stale lease, DatabaseUnavailable when it cannot be reached.
        """
        with self._connect(keep=not heavy) as conn:
            try:
                with conn.transaction():
                    yield conn
            except psycopg.Error as error:
                if error.sqlstate in _LEASE_LOST:
                    raise LeaseLost(str(error).splitlines()[0]) from error
                if conn.closed:  # the server went away in the middle
                    raise DatabaseUnavailable(_unavailable(self._engine.url, error)) from error
                raise

    @contextlib.contextmanager
    def owner_transaction(self) -> Iterator[Connection]:
        """As `transaction`, but as the login itself, which owns the schema: to change that, and what no role may."""
        with self.transaction() as conn:
            conn.execute("RESET ROLE")
            yield conn

    @contextlib.contextmanager
    def _connect(self, *, keep: bool = True) -> Iterator[Connection]:
        try:
            pooled = self._engine.raw_connection()
        except (OperationalError, psycopg.OperationalError) as error:
            raise DatabaseUnavailable(_unavailable(self._engine.url, error)) from error
        conn = cast("psycopg.Connection[Any]", pooled.driver_connection)
        conn.row_factory = dict_row  # ours only while we hold it: SQLAlchemy itself reads tuples
        try:
            yield conn
        finally:
            conn.row_factory = tuple_row
            if not keep:
                pooled.invalidate()
            pooled.close()

    def rows(self, name: str, parameters: Mapping[str, object] | None = None) -> list[Row]:
        """Run a named query in a transaction of its own; its rows, if it gives any."""
        return self.execute(query(name), parameters or {})

    def row(self, name: str, parameters: Mapping[str, object] | None = None) -> Row | None:
        """Run a named query; its first row, or None."""
        rows = self.rows(name, parameters)
        return rows[0] if rows else None

    def execute(self, sql: LiteralString, parameters: Sequence[object] | Mapping[str, object] = ()) -> list[Row]:
        """Run one statement of a caller (the `psql` command, tests); rows, or nothing."""
        with self.transaction() as conn:
            cursor = conn.execute(sql, parameters)
            return cursor.fetchall() if cursor.description else []

    def close(self) -> None:
        """Close every pooled connection."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _may_become(connection: psycopg.Connection[Any], role: str) -> bool:
    right = "SET" if connection.info.server_version >= _SET_OPTION_VERSION else "MEMBER"
    answer = connection.execute(query("may_become"), {"role": role, "right": right}).fetchone()
    return bool(answer and answer[0])


def check_server(dsn: str) -> int:
    """Connect once; the server's version number. Raises DatabaseUnavailable with what to do."""
    url = _url(dsn)
    arguments = {**url.translate_connect_args(username="user", database="dbname"), **url.query}
    conninfo = make_conninfo("", **{"connect_timeout": "10"} | {name: str(value) for name, value in arguments.items()})
    try:
        with psycopg.connect(conninfo) as conn:
            version = conn.info.server_version
    except psycopg.OperationalError as error:
        raise DatabaseUnavailable(_unavailable(url, error)) from error
    if version < MINIMUM_VERSION:
        message = f"PostgreSQL {version // 10000} at {_place(url)} is too old: chunk_sync needs 15 or newer"
        raise DatabaseUnavailable(message)
    return version


def _url(dsn: str) -> URL:
    try:
        url = make_url(dsn)
    except ArgumentError:
        message = "CHUNK_SYNC_DSN is not a database URL: write postgresql://user:password@host:5432/database"
        raise UsageError(message) from None
    if url.get_backend_name() not in {"postgresql", "postgres"}:
        message = f"CHUNK_SYNC_DSN names {url.get_backend_name()}: chunk_sync needs PostgreSQL (postgresql://…)"
        raise UsageError(message)
    return url.set(drivername="postgresql+psycopg")


def _place(url: URL) -> str:
    return f"{url.host or 'the local socket'}:{url.port or 5432}/{url.database or ''}"


def _unavailable(url: URL, error: BaseException) -> str:
    reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0].rpartition("failed: ")[2]
    return f"cannot use PostgreSQL at {_place(url)}: {reason}; check CHUNK_SYNC_DSN and that the server runs"
