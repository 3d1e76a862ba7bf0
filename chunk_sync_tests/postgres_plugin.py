"""Pytest plugin: a PostgreSQL server for the session, and databases cloned from templates in 15 ms each.

    @pytest.fixture(scope="session")
    def template(pg_server: PgServer) -> str:
        return pg_server.template(lambda dsn: ...)

    @pytest.fixture
    def dsn(pg_server: PgServer, template: str) -> Iterator[str]:
        with pg_server.cloned(template) as dsn:
            yield dsn

The server is the embedded one, in memory where there is room; `--postgres-bin FOLDER` makes it of the programs in
that folder (`./chunk-sync test --postgres 15`). CHUNK_SYNC_TEST_DSN names one of yours instead, with the right to
create databases.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from chunk_sync.errors import UsageError
from chunk_sync.local.dsn import libpq_url
from chunk_sync.local.pg_binaries import Binaries, find_binaries
from chunk_sync.local.pg_cluster import OWNER, SUPERUSER
from chunk_sync.local.postgres import EmbeddedPostgres
from chunk_sync.settings import TEST_DSN, variable

_OPTION = "--postgres-bin"
_CHOSEN = pytest.StashKey[Binaries]()
_MEMORY = Path("/dev/shm")
_ROOM_BYTES = 1 << 30
# Dropping a database at once waits 100 ms for the backend of the connection just closed.
_KEPT_CLONES = 2
_TRIES = 12


@dataclass
class PgServer:
    """Hands out databases; `dsn` names one for the role that everything runs as, no superuser."""

    admin: psycopg.Connection
    dsn: Callable[[str], str]
    owner: str
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _databases: list[str] = field(default_factory=list)
    _old_clones: list[str] = field(default_factory=list)

    def create(self, template: str | None = None) -> str:
        """Create a database, empty or as a copy of a template; its name."""
        name = f"chunk_sync_test_{os.getpid()}_{next(self._numbers)}"
        statement = sql.SQL("create database {} owner {}").format(sql.Identifier(name), sql.Identifier(self.owner))
        if template:
            statement += sql.SQL(" template {} strategy file_copy").format(sql.Identifier(template))
        self._alone(statement)
        self._databases.append(name)
        return name

    def template(self, fill: Callable[[str], object], base: str | None = None) -> str:
        """Create a database, let `fill` build it, and close it, for a template must have no connection."""
        name = self.create(base)
        fill(self.dsn(name))
        self.admin.execute(sql.SQL("alter database {} with allow_connections false").format(sql.Identifier(name)))
        self.admin.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [name])
        return name

    @contextmanager
    def cloned(self, template: str) -> Iterator[str]:
        """Give the DSN of a copy of a template, to be dropped a little later."""
        name = self.create(template)
        yield self.dsn(name)
        self._old_clones.append(name)
        while len(self._old_clones) > _KEPT_CLONES:
            self.drop(self._old_clones.pop(0))

    def drop(self, name: str) -> None:
        """Drop a database, whoever is connected."""
        self._alone(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))
        self._databases.remove(name)

    def _alone(self, statement: sql.Composed) -> None:
        """Execute what waits 5 s for the sessions of a database to end, again when one takes longer to notice."""
        for _ in range(_TRIES):
            with contextlib.suppress(psycopg.errors.ObjectInUse):
                self.admin.execute(statement)
                return
        self.admin.execute(statement)

    def drop_all(self) -> None:
        """Drop all databases that were handed out."""
        for name in list(self._databases):
            self.drop(name)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--postgres-bin`."""
    parser.addoption(_OPTION, metavar="FOLDER", help="folder with postgres and initdb to make the tests' server of")


def pytest_configure(config: pytest.Config) -> None:
    """Let SIGTERM end the session as Ctrl-C does, so that servers are stopped; refuse what cannot be a server."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = config.getoption(_OPTION)
    if folder and variable(TEST_DSN):
        message = f"{_OPTION} and {TEST_DSN} name two servers: leave one out"
        raise pytest.UsageError(message)
    if folder:
        config.stash[_CHOSEN] = _chosen(folder)


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say which server it is, where that was chosen."""
    chosen = config.stash.get(_CHOSEN, None)
    return [f"postgresql: {chosen.version} from {chosen.folder}"] if chosen else []


@pytest.fixture(scope="session")
def pg_server(pytestconfig: pytest.Config) -> Iterator[PgServer]:
    """Run a server for the session."""
    yours = variable(TEST_DSN)
    if yours:
        with _connected(libpq_url(yours), lambda name: _with_database(yours, name)) as server:
            yield server
        return
    with (
        scratch_folder() as folder,
        EmbeddedPostgres(folder / "postgres", pg_bin=pytestconfig.getoption(_OPTION), test=True) as embedded,
        _connected(embedded.url("postgres", role=SUPERUSER), embedded.url, owner=OWNER) as server,
    ):
        yield server


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Make a short-lived folder for a cluster, in memory when there is room, that root's server user can enter."""
    roomy = os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _ROOM_BYTES
    folder = Path(tempfile.mkdtemp(prefix="chunk-sync-test-", dir=_MEMORY if roomy else None))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _chosen(folder: str) -> Binaries:
    try:
        return find_binaries(folder)
    except UsageError as error:
        message = f"{_OPTION}: {error}".replace("CHUNK_SYNC_PG_BIN=", "")
        raise pytest.UsageError(message) from None


@contextmanager
def _connected(admin_url: str, dsn: Callable[[str], str], owner: str | None = None) -> Iterator[PgServer]:
    with psycopg.connect(admin_url, autocommit=True) as admin:
        server = PgServer(admin, dsn, owner or admin.info.user)
        yield server
        server.drop_all()


def _with_database(dsn: str, name: str) -> str:
    address, mark, query = libpq_url(dsn).partition("?")
    return f"{address.rpartition('/')[0]}/{name}{mark}{query}"
