"""Choosing TCP ports."""

from __future__ import annotations

import socket

import pytest

from chunk_sync.errors import UsageError
from chunk_sync.local import ports


@pytest.fixture
def busy() -> int:
    """Listen on a port."""
    with socket.create_server((ports.HOST, 0)) as server:
        yield server.getsockname()[1]


def test_busy_port_is_seen(busy: int) -> None:
    """A port with a listener is not free, also when it listens on all addresses."""
    assert not ports.is_free(busy)
    with socket.create_server(("", 0)) as everywhere:
        assert not ports.is_free(everywhere.getsockname()[1])


def test_wanted_port_or_none(busy: int) -> None:
    """A port that the user named is taken or refused, never replaced."""
    free = ports.choose_private_port()
    assert ports.choose_web_port(free) == free
    with pytest.raises(UsageError, match=rf"^port {busy} is in use: .*--port"):
        ports.choose_web_port(busy)


def test_port_that_does_not_exist() -> None:
    """A number that is no port is said to be none."""
    with pytest.raises(UsageError, match=r"^port 70000 does not exist"):
        ports.choose_web_port(70000)


def test_next_web_port(busy: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a wish the first free port of the range is taken; none free is one clear line."""
    free = ports.choose_private_port()
    monkeypatch.setattr(ports, "WEB_PORTS", [busy, free])
    assert ports.choose_web_port(None) == free
    monkeypatch.setattr(ports, "WEB_PORTS", [busy])
    with pytest.raises(UsageError, match=r"^no free port .*--port"):
        ports.choose_web_port(None)


def test_port_of_a_closed_connection_is_free() -> None:
    """What the last server's connections leave behind for a minute (TIME_WAIT) does not count."""
    port = ports.choose_private_port()  # not one that somebody's outgoing connection may be lent meanwhile
    with socket.create_server((ports.HOST, port)) as server:
        client = socket.create_connection((ports.HOST, port))
        accepted, _ = server.accept()
        accepted.close()
        client.close()
    assert ports.is_free(port)
