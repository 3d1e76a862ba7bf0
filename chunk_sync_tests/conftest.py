"""Fixtures for all tests: databases of our schema, Dagster's instance on PostgreSQL."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import hypothesis
import psycopg
import pytest
from psycopg import sql

from chunk_sync.local.dsn import dagster_own_url, libpq_url
from chunk_sync.settings import DAGSTER_DSN, DSN, HOME, PROJECT_ROOT, RUN_SLOTS, STATE
from chunk_sync.store.database import Database
from chunk_sync.store.migrations import migrate

if TYPE_CHECKING:  # a plugin must not be imported before pytest loads it
    from chunk_sync_tests.postgres_plugin import PgServer

hypothesis.settings.register_profile(  # a busy machine is no finding
    "chunk_sync", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("chunk_sync")

pytest_plugins = [
    "chunk_sync_tests.parallel_plugin",
    "chunk_sync_tests.postgres_plugin",
    "chunk_sync_tests.tools_plugin",
    "chunk_sync_tests.servers_plugin",
]


@pytest.fixture(scope="session")
def migrated_template(pg_server: PgServer) -> str:
    """A database with our schema, to be cloned."""

    def fill(dsn: str) -> None:
        with Database(dsn) as database:
            migrate(database)

    return pg_server.template(fill)


@pytest.fixture
def database(pg_server: PgServer, migrated_template: str) -> Iterator[Database]:
    """A database of our schema, fresh for each test."""
    with pg_server.cloned(migrated_template) as dsn, Database(dsn) as database:
        _set_search_path(dsn)
        yield database


@pytest.fixture
def owner(database: Database) -> Iterator[Database]:
    """The same database for its owner: to change what the engine may not."""
    with Database(database.dsn, role=None) as owner:
        yield owner


@pytest.fixture
def empty_database(pg_server: PgServer) -> Iterator[Database]:
    """A database with nothing in it, for its owner."""
    name = pg_server.create()
    with Database(pg_server.dsn(name), role=None) as database:
        yield database
    pg_server.drop(name)


@pytest.fixture
def plain_connection(database: Database) -> Iterator[psycopg.Connection]:
    """A connection as any client makes it."""
    with psycopg.connect(libpq_url(database.dsn)) as connection:
        yield connection


@pytest.fixture(scope="session")
def dagster_template(pg_server: PgServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database with Dagster's own tables, to be cloned."""

    def fill(dsn: str) -> None:
        with pytest.MonkeyPatch.context() as patch:
            _dagster_environment(patch, tmp_path_factory.mktemp("dagster"), dsn)
            with dg.DagsterInstance.get() as instance:
                instance.get_runs_count()

    return pg_server.template(fill)


@pytest.fixture
def dagster_instance(
    pg_server: PgServer,
    dagster_template: str,
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[dg.DagsterInstance]:
    """Dagster as dagster.yaml makes it, on a database of its own; the environment leads to `database`."""
    with pg_server.cloned(dagster_template) as dsn:
        _dagster_environment(monkeypatch, tmp_path / "dagster", dsn)
        monkeypatch.setenv(DSN, database.dsn)
        monkeypatch.setenv(HOME, str(tmp_path / "home"))
        with dg.DagsterInstance.get() as instance:
            yield instance


@pytest.fixture
def hangups() -> Iterator[None]:
    """Processes that a test starts hear SIGHUP, although the tests themselves may run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def _dagster_environment(patch: pytest.MonkeyPatch, folder: Path, dsn: str) -> None:
    folder.mkdir(exist_ok=True)
    shutil.copy(PROJECT_ROOT / "dagster.yaml", folder)
    patch.setenv("DAGSTER_HOME", str(folder))
    patch.setenv(DAGSTER_DSN, dagster_own_url(dsn))
    patch.setenv(STATE, str(folder / "state"))
    patch.setenv(RUN_SLOTS, "4")


def _set_search_path(dsn: str) -> None:
    """A clone has the template's tables but not its settings."""
    with psycopg.connect(libpq_url(dsn), autocommit=True) as connection:
        name = sql.Identifier(connection.info.dbname)
        connection.execute(sql.SQL("ALTER DATABASE {} SET search_path = chunk_sync, public").format(name))
