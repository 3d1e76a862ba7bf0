"""Faults of the encrypted line: handshakes that fail, STARTTLS that is refused, stripped or tampered with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from chunk_sync.store.database import Database
from chunk_sync_tests.faults.conftest import SHARED
from chunk_sync_tests.faults.world import World
from chunk_sync_tests.servers.certificates import Certificates, make_certificates
from chunk_sync_tests.servers.dovecot import DovecotServer
from chunk_sync_tests.servers.fault_proxy import FaultProxy
from chunk_sync_tests.servers.fault_script import (
    BODY,
    Act,
    Fault,
    Place,
    Step,
    answer,
    bye,
    cut,
    cut_in_literal,
    edited,
    say,
)
from chunk_sync_tests.servers.process import wait_until

_STARTTLS = rb"^STARTTLS"
_FORGED = b"* 5 EXISTS\r\n* BYE forged\r\n"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """What the proxy shows."""
    return make_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def tls_world(database: Database, server: DovecotServer, certificates: Certificates, tmp_path: Path) -> Iterator[World]:
    """The shared mailbox by `imaps://`: the proxy speaks TLS."""
    with FaultProxy(server.port, certificates=certificates) as proxy:
        yield World(database, server, proxy, SHARED, tmp_path)


@pytest.fixture
def starttls_world(database: Database, server: DovecotServer, proxy: FaultProxy, tmp_path: Path) -> World:
    """The shared mailbox by STARTTLS, which an authority of one's own demands on loopback too."""
    address = f"{proxy.address_of(SHARED)}?ca={server.ca_path}"
    return World(database, server, proxy, SHARED, tmp_path, address=address)


@pytest.mark.parametrize(
    "act",
    [
        cut(Step.FIN),
        cut(Step.RST),
        say(b"* OK plain text where TLS is spoken\r\n"),
        bye(b"Too many connections"),
    ],
    ids=["FIN", "RST", "plain text", "plain farewell"],
)
def test_a_handshake_that_fails(tls_world: World, act: Act) -> None:
    """No password is sent, the attempt fails, and the next handshake leads to everything."""
    job_id = tls_world.planned()
    tls_world.hear_out()
    tls_world.proxy.faults = [fault] = [Fault(Place.CONNECT, act)]
    tls_world.run()
    assert (1, ["network"]) == (fault.hits, [failure.category for failure in tls_world.failures()])
    tls_world.proxy.hear_out()
    assert [] == tls_world.proxy.commands
    tls_world.check(tls_world.settle(job_id))


def test_a_handshake_that_is_not_answered(tls_world: World) -> None:
    """Half-open: `timeout`."""
    job_id = tls_world.planned()
    tls_world.hear_out()
    tls_world.proxy.faults = [fault] = [Fault(Place.CONNECT, cut(Step.STALL))]
    with tls_world.gives_up_soon():
        tls_world.run()
    assert ["timeout"] == [failure.category for failure in tls_world.failures()]
    assert wait_until(lambda: fault.hits == 1)  # who has already gone is let in all the same
    tls_world.proxy.hear_out()
    assert [] == tls_world.proxy.commands
    tls_world.check(tls_world.settle(job_id))


@pytest.mark.parametrize("end", [Step.FIN, Step.RST], ids=["FIN", "RST"])
def test_a_cut_inside_tls(tls_world: World, end: Step) -> None:
    """Torn inside a message of an encrypted stream: `network`, and nothing torn is stored."""
    job_id = tls_world.planned()
    tls_world.proxy.faults = [fault] = [Fault(Place.REPLY, cut_in_literal(150, end), BODY, nth=37)]
    tls_world.check(tls_world.settle(job_id))
    assert (1, ["network"]) == (fault.hits, [failure.category for failure in tls_world.failures()])


def test_a_server_of_another_authority_gets_no_password(
    database: Database, server: DovecotServer, certificates: Certificates, tmp_path: Path
) -> None:
    """Somebody in between with a certificate that we do not trust: `network`, and not a command is said."""
    with FaultProxy(server.port, certificates=certificates) as proxy:
        address = proxy.address_of(SHARED).partition("?")[0] + f"?ca={server.ca_path}"
        world = World(database, server, proxy, SHARED, tmp_path, address=address)
        outcome = world.plan(world.request())
        assert outcome is not None
        assert ("requested", "network") == (outcome.status, outcome.category)
        proxy.hear_out()
        assert [] == proxy.commands


@pytest.mark.parametrize(
    ("place", "act", "category"),
    [
        (Place.COMMAND, answer(b"NO [UNAVAILABLE] TLS not available now"), "temporary"),
        (Place.COMMAND, answer(b"BAD unknown command"), "processing_error"),
        (Place.COMMAND, cut(Step.FIN), "network"),
        (Place.COMPLETION, cut(Step.RST), "network"),
        (Place.COMMAND, cut(Step.STALL), "timeout"),
        (Place.COMMAND, lambda tag, _: [tag + b" OK Begin TLS now\r\n", Step.STALL], "timeout"),
        (Place.COMMAND, bye(b"shutting down"), "temporary"),
    ],
    ids=["NO", "BAD", "FIN", "RST", "half-open", "OK and silence", "BYE"],
)
def test_starttls_that_fails(starttls_world: World, place: Place, act: Act, category: str) -> None:
    """The line stays without a password, the attempt fails, and the next one is encrypted and whole."""
    job_id = starttls_world.planned()
    starttls_world.hear_out()
    starttls_world.proxy.faults = [fault] = [Fault(place, act, _STARTTLS)]
    with starttls_world.gives_up_soon() if category == "timeout" else nullcontext():
        starttls_world.run()
    starttls_world.proxy.hear_out()
    assert (1, [category]) == (fault.hits, [failure.category for failure in starttls_world.failures()])
    assert {"CAPABILITY", "STARTTLS"} >= set(starttls_world.proxy.commands)
    starttls_world.proxy.faults = []
    starttls_world.check(starttls_world.settle(job_id))


def test_starttls_that_is_stripped_gets_no_password(starttls_world: World) -> None:
    """Somebody in between hides STARTTLS: `auth`, and the password is not sent in clear."""
    starttls_world.proxy.hidden += (b" STARTTLS",)
    outcome = starttls_world.plan(starttls_world.request())
    assert outcome is not None
    assert ("requested", "auth") == (outcome.status, outcome.category)
    starttls_world.proxy.hear_out()
    assert not [command for command in starttls_world.proxy.commands if not command.startswith("CAPABILITY")]


def test_what_was_said_before_tls_is_dropped(starttls_world: World) -> None:
    """Replies that somebody slips in behind the OK to STARTTLS, unencrypted, are never read as the server's."""
    inject = edited(rb"\r\n$", b"\r\n" + _FORGED)
    starttls_world.proxy.faults = [fault] = [Fault(Place.COMPLETION, inject, _STARTTLS, times=None)]
    starttls_world.check(starttls_world.sync())
    assert 2 == fault.hits
    assert [] == starttls_world.failures()
    starttls_world.proxy.hear_out()
    assert {"CAPABILITY", "STARTTLS"} == set(starttls_world.proxy.commands)
