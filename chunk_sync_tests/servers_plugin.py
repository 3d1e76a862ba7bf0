"""Pytest fixtures of the real mail servers; each test gets a server of its own (0.1 to 0.4 s).

`imap_server` runs a test against every server. What needs Dovecot carries the marker
`needs("dovecot")`, also through the fixture alone: a machine without it reports those as not run.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chunk_sync_tests.servers.dovecot import DovecotMdboxServer, DovecotServer, DovecotTlsServer
from chunk_sync_tests.servers.process import ImapServer
from chunk_sync_tests.servers.pymap import PymapServer

_DOVECOT = pytest.param(DovecotServer, id="dovecot", marks=pytest.mark.needs("dovecot"))
_MDBOX = pytest.param(DovecotMdboxServer, id="mdbox", marks=pytest.mark.needs("dovecot"))
_TLS = pytest.param(DovecotTlsServer, id="tls", marks=pytest.mark.needs("dovecot"))
_PYMAP = pytest.param(PymapServer, id="pymap")


@pytest.fixture(params=[_DOVECOT])
def dovecot_server(request: pytest.FixtureRequest) -> Iterator[DovecotServer]:
    """Start a Dovecot with an empty mailbox."""
    with request.param() as server:
        yield server


@pytest.fixture
def pymap_server() -> Iterator[PymapServer]:
    """Start a pymap with an empty mailbox."""
    with PymapServer() as server:
        yield server


@pytest.fixture(params=[_PYMAP, _DOVECOT, _MDBOX, _TLS])
def imap_server(request: pytest.FixtureRequest) -> Iterator[ImapServer]:
    """Start a server of each kind with an empty mailbox; one is reached by TLS."""
    with request.param() as server:
        yield server
