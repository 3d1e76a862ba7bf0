"""Databases as released versions left them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from chunk_sync.store.database import Database
from chunk_sync_tests.releases import Mail, Release, released_versions, unpacked

if TYPE_CHECKING:  # a plugin must not be imported before pytest loads it
    from chunk_sync_tests.postgres_plugin import PgServer


@pytest.fixture(scope="session", params=released_versions())
def release(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Release:
    """Each released version in turn."""
    return unpacked(request.param, tmp_path_factory.mktemp("release"))


@pytest.fixture(scope="session")
def mail(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Mail:
    """Mailboxes on disk, for a release and the code after it."""
    return Mail.written(tmp_path_factory.mktemp("mail"))


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder that old and new code share."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def empty_template(pg_server: PgServer, release: Release, home: Path) -> str:
    """The schema of a release, as its own code makes it."""

    def fill(dsn: str) -> None:
        with release.running(dsn, home) as old:
            old("migrate")

    return pg_server.template(fill)


@pytest.fixture(scope="session")
def full_template(pg_server: PgServer, release: Release, mail: Mail, home: Path, empty_template: str) -> str:
    """A release's database in mid-life: a job that is complete, one half done, one requested; its run was killed."""

    def fill(dsn: str) -> None:
        with release.running(dsn, home) as old:
            old("mailbox", "whole", f"maildir:{mail.whole}")
            whole = old("request", "whole")
            old("plan", whole)
            old("run", "first")
            old("run", "by-hand", whole, [0])  # opened again: the audit log has a row
            old("mailbox", "half", f"maildir:{mail.half}")
            half = old("request", "half")
            old("plan", half)
            old("hold", half)
            mail.arrive()
            old("request", "whole")

    return pg_server.template(fill, empty_template)


@pytest.fixture
def old_schema(pg_server: PgServer, empty_template: str) -> Iterator[Database]:
    """A database with a release's schema and no data."""
    with pg_server.cloned(empty_template) as dsn, Database(dsn) as database:
        yield database


@pytest.fixture
def old_data(pg_server: PgServer, full_template: str) -> Iterator[Database]:
    """A database with a release's schema and data."""
    with pg_server.cloned(full_template) as dsn, Database(dsn) as database:
        yield database
