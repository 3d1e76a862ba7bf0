"""What `up` does while it watches: a database that dies between two looks does not end it."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest

from chunk_sync.cli import up
from chunk_sync.errors import DatabaseUnavailable
from chunk_sync.local.services import Stack
from chunk_sync.local.signals import StopRequest
from chunk_sync.store.database import Database
from chunk_sync_tests.cli.monitor import gone
from chunk_sync_tests.factory import claim, complete, make_job, make_mailbox, open_worker
from chunk_sync_tests.postgres_plugin import PgServer


class Steps:
    """In the place of the processes: does something at each check, one after another."""

    def __init__(self, *steps: Callable[[], object]) -> None:
        self._left = list(steps)

    def check(self) -> None:
        """Do the next one."""
        if self._left:
            self._left.pop(0)()


def watch(database: Database, *steps: Callable[[], object]) -> up.Watch:
    """Watch while this happens."""
    return up.Watch(database, StopRequest(), cast("Stack", Steps(*steps)))


def test_a_database_that_dies_between_two_looks(
    database: Database, pg_server: PgServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says so once, goes on when it is back, and ends with the job's end: not before, and not with an error."""
    job = make_job(database, make_mailbox(database), chunks=1)
    away = gone(pg_server, database)

    def back() -> None:
        away.__exit__(None, None, None)
        (chunk,) = claim(database, job, open_worker(database))
        complete(database, chunk)

    assert 0 == watch(database, lambda: None, away.__enter__, lambda: None, back).run(until_done=True)
    told = capsys.readouterr()
    assert 1 == told.err.count("no answer from the database, trying again: ")
    assert "box #1 completed: 10 of 10 messages" in told.out


def test_a_database_that_stays_away(database: Database, pg_server: PgServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while that is an error."""
    monkeypatch.setattr(up, "_PATIENCE_SECONDS", 0.3)
    with gone(pg_server, database), pytest.raises(DatabaseUnavailable, match="not currently accepting connections"):
        watch(database).run(until_done=False)
