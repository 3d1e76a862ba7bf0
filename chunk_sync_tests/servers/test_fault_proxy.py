"""The fault proxy holds what it promises: honest by default, and exact in where and how often it strikes."""

from __future__ import annotations

import imaplib
import socket
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from chunk_sync_tests.servers.certificates import Certificates, make_certificates
from chunk_sync_tests.servers.client import Client, CommandFailed
from chunk_sync_tests.servers.dovecot import DovecotServer
from chunk_sync_tests.servers.fault_proxy import FaultProxy
from chunk_sync_tests.servers.fault_script import (
    BODY,
    Act,
    Fault,
    Place,
    Step,
    answer,
    before,
    bye,
    cut,
    cut_after,
    cut_behind,
    cut_in_literal,
    doubled,
    drip,
    edited,
    meanwhile,
    resized,
    say,
    unclosed,
)
from chunk_sync_tests.servers.process import ENOUGH, HOST, ImapServer, wait_until
from chunk_sync_tests.servers.pymap import PymapServer

MESSAGES = [b"Subject: %d\r\n\r\n%s\r\n" % (n, b"x" * 100 * n) for n in range(1, 6)]
FETCH = b"UID FETCH 1:* (UID BODY.PEEK[])"


@pytest.fixture
def proxy(imap_server: ImapServer) -> Iterator[FaultProxy]:
    """A proxy before a server with five messages."""
    imap_server.add_messages("INBOX", MESSAGES)
    with FaultProxy(imap_server.port) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def pymap() -> Iterator[PymapServer]:
    """A server with five messages, for the tests to which it does not matter which."""
    with PymapServer() as server:
        server.add_messages("INBOX", MESSAGES)
        yield server


@pytest.fixture
def pymap_proxy(pymap: PymapServer) -> Iterator[FaultProxy]:
    """A proxy before it."""
    with FaultProxy(pymap.port) as proxy:
        yield proxy


def logged_in(proxy: FaultProxy, server: ImapServer) -> Client:
    """Log in through the proxy."""
    return Client(HOST, proxy.port, server.user, server.password)


def received(
    proxy: FaultProxy, server: ImapServer, *, until_silent: bool = False
) -> tuple[bytes, type[Exception] | None]:
    """Log in, open INBOX and fetch all: the bytes that came in answer, and how the line ended.

    A line that is to fall silent is read when it is, and then for a moment: no answer comes late.
    """
    came = b""
    with logged_in(proxy, server) as client:
        client.select("INBOX")
        connection = client._socket
        connection.sendall(b"F " + FETCH + b"\r\n")
        if until_silent:
            assert wait_until(lambda: connection.getsockname() in proxy.silent)
            connection.settimeout(0.2)
        try:
            while b"F OK" not in came and (data := connection.recv(1 << 16)):
                came += data
        except OSError as error:
            return came, type(error)
        return came, None if b"F OK" in came else EOFError


def test_it_is_honest_by_default(imap_server: ImapServer, proxy: FaultProxy) -> None:
    """Two clients that share no code get the same through it as without it, also a literal that they send."""
    with logged_in(proxy, imap_server) as client:
        client.append("INBOX", MESSAGES[0], datetime(2024, 1, 1, tzinfo=UTC))
        assert [*MESSAGES, MESSAGES[0]] == list(client.messages("INBOX").values())
    with imaplib.IMAP4(HOST, proxy.port) as connection:
        connection.login(imap_server.user, imap_server.password)
        assert ("OK", [b"6"]) == connection.select("INBOX", readonly=True)
    assert 2 == proxy.connections
    assert f'LOGIN "{imap_server.user}" "{imap_server.password}"' == proxy.commands[0]


def test_the_round_trip_is_as_long_as_asked_for(pymap: PymapServer) -> None:
    """Each command takes the round trip; many in flight take it once."""
    with FaultProxy(pymap.port, round_trip=0.1) as proxy, logged_in(proxy, pymap) as client:
        started = time.monotonic()
        client.command(b"NOOP")
        assert 0.1 <= time.monotonic() - started

        def ten_at_once() -> float:
            started = time.monotonic()
            client._socket.sendall(b"".join(b"P%d NOOP\r\n" % n for n in range(10)))
            answers = b""
            while b"P9 OK" not in answers:
                answers += client._socket.recv(1 << 16)
            return time.monotonic() - started

        # One after another they would take a second each time, however fast the machine.
        assert wait_until(lambda: ten_at_once() < 0.5)
        assert 0.1 <= ten_at_once()


def test_a_cut_is_exact_to_the_byte(pymap: PymapServer, pymap_proxy: FaultProxy) -> None:
    """Inside the third literal after 77 bytes: what came ends right there, and the line ends by FIN."""
    pymap_proxy.faults = [fault] = [Fault(Place.REPLY, cut_in_literal(77), BODY, nth=3)]
    came, end = received(pymap_proxy, pymap)
    assert (1, EOFError) == (fault.hits, end)
    assert came.endswith(MESSAGES[2][:77])
    assert 2 == came.count(b")\r\n")
    came, end = received(pymap_proxy, pymap)  # once is once, over all connections
    assert end is None


@pytest.mark.parametrize(
    ("place", "act", "pattern", "end"),
    [
        (Place.REPLY, cut_in_literal(5, Step.RST), BODY, ConnectionResetError),
        (Place.COMMAND, cut(Step.RST), rb"FETCH", ConnectionResetError),
        (Place.COMPLETION, cut_after(3), rb"FETCH", EOFError),
        (Place.COMPLETION, cut(Step.STALL), rb"FETCH", TimeoutError),
        (Place.COMMAND, cut(Step.STALL), rb"FETCH", TimeoutError),
        (Place.COMMAND, bye(b"enough"), rb"FETCH", EOFError),
        (Place.COMPLETION, cut_behind(), rb"EXAMINE", EOFError),
    ],
    ids=["RST in a literal", "RST at a command", "FIN in the OK", "stall", "stall at a command", "BYE", "behind"],
)
def test_how_a_line_ends(
    pymap: PymapServer,
    pymap_proxy: FaultProxy,
    place: Place,
    act: Act,
    pattern: bytes,
    end: type[Exception],
) -> None:
    """By FIN, by RST or not at all, as the script says."""
    pymap_proxy.faults = [fault] = [Fault(place, act, pattern)]
    came, ended = received(pymap_proxy, pymap, until_silent=end is TimeoutError)
    assert 1 == fault.hits
    assert end is ended
    assert b"F OK" not in came


def test_a_fault_counts_its_moments(pymap: PymapServer, pymap_proxy: FaultProxy) -> None:
    """From the second time on, twice; a second fault on the same moment waits for its own turn."""
    pymap_proxy.faults = [Fault(Place.COMMAND, answer(b"NO [LIMIT] later"), rb"^NOOP", nth=2, times=2)]
    answers: list[bool] = []
    with logged_in(pymap_proxy, pymap) as client:
        for _ in range(5):
            try:
                client.command(b"NOOP")
                answers.append(True)
            except CommandFailed:
                answers.append(False)
    assert [True, False, False, True, True] == answers


@pytest.mark.parametrize(
    ("act", "old", "new"),
    [
        (resized(-7), b"{216}", b"{209}"),
        (resized(2_000_000_000), b"{216}", b"{2000000216}"),
        (edited(rb"UID 102", b"UID 109"), b"UID 102 ", b"UID 109 "),
        (say(b""), b"* 2 FETCH (UID 102 BODY[] {216}\r\n" + MESSAGES[1] + b")\r\n", b""),
        (before(b"* 9 EXISTS\r\n"), b"* 2 FETCH", b"* 9 EXISTS\r\n* 2 FETCH"),
    ],
    ids=["small", "large", "edited", "left out", "before"],
)
def test_a_lie_changes_nothing_else(
    pymap: PymapServer, pymap_proxy: FaultProxy, act: Act, old: bytes, new: bytes
) -> None:
    """The second reply is changed as the script says; every other byte is the server's."""
    truth, _ = received(pymap_proxy, pymap)
    pymap_proxy.faults = [Fault(Place.REPLY, act, BODY, nth=2)]
    came, _ = received(pymap_proxy, pymap)
    assert 1 == truth.count(old)
    assert truth.replace(old, new) == came


def test_a_reply_doubled_or_unclosed(pymap: PymapServer, pymap_proxy: FaultProxy) -> None:
    """The reply comes twice with its literal, or without its last parenthesis."""
    truth, _ = received(pymap_proxy, pymap)
    pymap_proxy.faults = [Fault(Place.REPLY, doubled, BODY, nth=2)]
    assert 2 == received(pymap_proxy, pymap)[0].count(MESSAGES[1])
    pymap_proxy.faults = [Fault(Place.REPLY, unclosed, BODY, nth=5)]
    assert len(truth) - 1 == len(received(pymap_proxy, pymap)[0])


def test_an_answer_waits_for_what_is_in_flight(pymap: PymapServer, pymap_proxy: FaultProxy) -> None:
    """Of two commands sent at once the second is refused, after the first was answered."""
    pymap_proxy.faults = [Fault(Place.COMMAND, answer(b"NO not now"), rb"FETCH 2")]
    with logged_in(pymap_proxy, pymap) as client:
        client.select("INBOX")
        client._socket.sendall(b"A UID FETCH 1 (UID)\r\nB UID FETCH 2 (UID)\r\nC NOOP\r\n")
        came = b""
        while b"C OK" not in came:
            came += client._socket.recv(1 << 16)
    assert came.index(b"A OK") < came.index(b"B NO not now\r\n") < came.index(b"C OK")


def test_an_event_happens_before_what_follows(pymap: PymapServer, pymap_proxy: FaultProxy) -> None:
    """What really happens to the mailbox has happened when the command reaches the server."""
    event = meanwhile(lambda: pymap.add_messages("Events", MESSAGES[:1]))
    pymap_proxy.faults = [Fault(Place.COMMAND, event, rb"^STATUS")]
    with logged_in(pymap_proxy, pymap) as client:
        status = client.command(b"STATUS Events (MESSAGES)")[0].text
    assert b"MESSAGES 1)" in status


def test_a_drip_is_slow(pymap: PymapServer, pymap_proxy: FaultProxy) -> None:
    """From the third body on 5,000 bytes a second: the 1,250 that are left take a quarter of one."""
    pymap_proxy.faults = [Fault(Place.REPLY, drip(5000), BODY, nth=3)]
    started = time.monotonic()
    came, end = received(pymap_proxy, pymap)
    assert end is None
    assert all(message in came for message in MESSAGES)
    assert 0.2 < time.monotonic() - started


def test_hidden_capabilities_are_not_seen(imap_server: ImapServer) -> None:
    """Neither in the greeting nor in any answer."""
    with FaultProxy(imap_server.port, hide=("IDLE", "UIDPLUS")) as proxy:
        with logged_in(proxy, imap_server) as client:
            through = client.command(b"CAPABILITY")[0].text.split()
        with imap_server.client() as client:
            direct = client.command(b"CAPABILITY")[0].text.split()
    assert {b"IDLE", b"UIDPLUS"} <= set(direct)
    assert [word for word in direct if word not in {b"IDLE", b"UIDPLUS"}] == through


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """What the proxy shows."""
    return make_certificates(tmp_path_factory.mktemp("proxy"))


def test_it_speaks_tls(pymap: PymapServer, certificates: Certificates) -> None:
    """With certificates the client's line is encrypted, and faults strike inside it."""
    trust = ssl.create_default_context(cafile=str(certificates.ca))
    with FaultProxy(pymap.port, certificates=certificates) as proxy:
        for faults in ([], [Fault(Place.COMMAND, cut(), rb"^NOOP")]):
            proxy.faults = faults
            connection = imaplib.IMAP4_SSL("localhost", proxy.port, ssl_context=trust)
            connection.login(pymap.user, pymap.password)
            if faults:
                with pytest.raises(imaplib.IMAP4.abort, match="EOF"):
                    connection.noop()
            else:
                assert "OK" == connection.noop()[0]
            connection.shutdown()


@pytest.mark.parametrize(
    ("act", "error"),
    [
        (cut(Step.FIN), ssl.SSLEOFError),
        (cut(Step.RST), ConnectionResetError),
        (before(b"plain text\r\n"), ssl.SSLError),
    ],
    ids=["FIN", "RST", "plain text"],
)
def test_a_handshake_fails_on_demand(
    pymap: PymapServer, certificates: Certificates, act: Act, error: type[Exception]
) -> None:
    """Before the first byte of TLS: once, then the handshake works."""
    trust = ssl.create_default_context(cafile=str(certificates.ca))
    with FaultProxy(pymap.port, [Fault(Place.CONNECT, act)], certificates=certificates) as proxy:
        with socket.create_connection((HOST, proxy.port), ENOUGH) as plain, pytest.raises(error):
            trust.wrap_socket(plain, server_hostname="localhost")
        with socket.create_connection((HOST, proxy.port), ENOUGH) as plain:
            trust.wrap_socket(plain, server_hostname="localhost").close()


def test_starttls_is_handed_through(dovecot_server: DovecotServer) -> None:
    """After STARTTLS the client speaks TLS with the server itself, unread by the proxy."""
    trust = ssl.create_default_context(cafile=str(dovecot_server.ca_path))
    with FaultProxy(dovecot_server.port) as proxy:
        connection = imaplib.IMAP4("localhost", proxy.port)
        connection.starttls(trust)
        connection.login(dovecot_server.user, dovecot_server.password)
        connection.logout()
        assert "STARTTLS" == proxy.commands[-1]


def test_a_script_that_does_not_fit_is_an_error(pymap: PymapServer) -> None:
    """A change that finds nothing to change would make a test that cannot fail."""
    fault = Fault(Place.REPLY, edited(b"not there", b""), BODY)

    def fetch() -> None:
        with FaultProxy(pymap.port, [fault]) as proxy:
            received(proxy, pymap)

    with pytest.raises(AssertionError, match="FETCH"):
        fetch()
