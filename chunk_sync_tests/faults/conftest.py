"""Fixtures of the faults: one Dovecot for the room, its mailbox behind a proxy, a database for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from chunk_sync.store.database import Database
from chunk_sync_tests.faults.world import FOLDERS, World, letters
from chunk_sync_tests.servers.dovecot import DovecotServer
from chunk_sync_tests.servers.fault_proxy import FaultProxy

SHARED = "shared"
_OWN = [f"user{n}" for n in range(40)]


@pytest.fixture(scope="package", params=[pytest.param(DovecotServer, id="dovecot", marks=pytest.mark.needs("dovecot"))])
def server(request: pytest.FixtureRequest) -> Iterator[DovecotServer]:
    """A Dovecot with a mailbox that nobody changes, and empty ones."""
    with request.param(dict.fromkeys((SHARED, *_OWN), "open-sesame-42")) as server:
        _fill(server, SHARED)
        yield server


@pytest.fixture(scope="package")
def own_users(server: DovecotServer) -> Callable[[], str]:
    """Hand out users whose mailbox a test may change, filled like the shared one."""
    numbers = count()

    def next_user() -> str:
        user = _OWN[next(numbers)]
        _fill(server, user)
        return user

    return next_user


@pytest.fixture
def proxy(server: DovecotServer) -> Iterator[FaultProxy]:
    """The way to the server, honest until a test says otherwise."""
    with FaultProxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def world(database: Database, server: DovecotServer, proxy: FaultProxy, tmp_path: Path) -> World:
    """The mailbox that all tests read and none changes."""
    return World(database, server, proxy, SHARED, tmp_path)


@pytest.fixture
def own_world(
    database: Database, server: DovecotServer, proxy: FaultProxy, own_users: Callable[[], str], tmp_path: Path
) -> World:
    """A mailbox of the test's own, to be changed."""
    return World(database, server, proxy, own_users(), tmp_path)


def _fill(server: DovecotServer, user: str) -> None:
    for folder, number in FOLDERS.items():
        server.add_messages(folder, letters(folder, number), user=user)
