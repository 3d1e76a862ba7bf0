"""Listening: what happens in a mailbox is heard at once, and nothing else is; whatever goes wrong has its category."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from chunk_sync.domain.spans import Span, UidSet
from chunk_sync.errors import ErrorCategory, ProviderError
from chunk_sync.mail import imap_listen
from chunk_sync.mail.address import parse_address
from chunk_sync.mail.connect import make_listener, open_source
from chunk_sync.mail.imap_listen import ImapListener, ListenTimes, Manner
from chunk_sync.mail.imap_session import Account
from chunk_sync.mail.imap_tokens import Reply
from chunk_sync.mail.imap_wire import Endpoint, ImapWire
from chunk_sync_tests.mail.scripted_imap import HANG_UP, Lie, ScriptedImap, replaced, reply
from chunk_sync_tests.servers.client import Client
from chunk_sync_tests.servers.dovecot import DovecotServer, DovecotTlsServer
from chunk_sync_tests.servers.process import HOST, ImapServer, wait_until
from chunk_sync_tests.servers.pymap import PymapServer

SOON = 60.0
"""More than it ever takes, in seconds: who hears something waits no longer."""
RAW = b"Subject: x\r\n\r\nx\r\n"
TIMES = ListenTimes(silence=60)


class ChattyDovecot(DovecotServer):
    """A Dovecot as it comes, with the index of folders that NOTIFY needs."""

    settings = "mailbox_list_index = yes"

    def _write_configuration(self) -> None:
        super()._write_configuration()
        with (self.path / "dovecot.conf").open("a") as file:
            file.write(self.settings + "\n")


class MuteDovecot(ChattyDovecot):
    """A Dovecot that has neither NOTIFY nor IDLE."""

    settings = "imap_capability = IMAP4rev1"


@contextmanager
def listening(
    server: ImapServer, folders: Collection[str] | None = None, times: ListenTimes = TIMES
) -> Iterator[tuple[ImapListener, Manner]]:
    """Listen to a server's mailbox, which has a message in INBOX and one in Work."""
    for folder in ("INBOX", "Work"):
        server._append(folder, [RAW], None)  # files put beside a server are news to it
    with make_listener(parse_address(server.address), server.password, times, folders) as listener:
        yield listener, listener.open()


def hears(listener: ImapListener, seconds: float = SOON) -> bool:
    """Listen until something is heard, so long at most."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        if listener.wait(left):
            return True
    return False


def hears_until(listener: ImapListener, condition: Callable[[], bool]) -> bool:
    """Listen until a condition holds; returns whether anything was heard by then."""
    heard: list[bool] = []

    def listened() -> bool:
        heard.append(listener.wait(0.05))
        return condition()

    assert wait_until(listened, SOON)
    return any(heard)


def arrive(client: Client, folder: str) -> None:
    """Mail arrives."""
    client.append(folder, RAW, datetime.now(UTC))


def mark(client: Client, folder: str) -> None:
    """The message is marked as read."""
    client.flag(folder, [client.uid], "\\Seen")  # type: ignore[attr-defined]


def delete(client: Client, folder: str) -> None:
    """The message is deleted."""
    client.expunge(folder, [client.uid])  # type: ignore[attr-defined]


HAPPENINGS = pytest.mark.parametrize("happen", [arrive, mark, delete])


def other_client(server: ImapServer, folder: str) -> Client:
    """Another client, that knows the UID of the folder's only message."""
    client = server.client()
    (client.uid,) = client.messages(folder)  # type: ignore[attr-defined]
    return client


@HAPPENINGS
def test_idle_hears_what_happens_in_the_inbox(
    dovecot_server: DovecotServer, happen: Callable[[Client, str], None]
) -> None:
    """New mail, a flag and a deletion by another client are each heard."""
    with listening(dovecot_server) as (listener, manner), other_client(dovecot_server, "INBOX") as other:
        assert Manner.IDLE == manner
        assert not listener.wait(0.2)
        happen(other, "INBOX")
        assert hears(listener)


@pytest.mark.needs("dovecot")
@HAPPENINGS
def test_notify_hears_what_happens_in_any_folder(happen: Callable[[Client, str], None]) -> None:
    """A server with NOTIFY tells of folders that nobody has opened."""
    with (
        ChattyDovecot() as server,
        listening(server) as (listener, manner),
        other_client(server, "Work") as other,
    ):
        assert Manner.NOTIFY == manner
        happen(other, "Work")
        assert hears(listener)


@pytest.mark.needs("dovecot")
def test_notify_hears_of_new_folders() -> None:
    """They may hold mail already."""
    with ChattyDovecot() as server, listening(server) as (listener, _), server.client() as other:
        other.create("Later")
        assert hears(listener)


@pytest.mark.needs("dovecot")
@pytest.mark.parametrize("kind", [ChattyDovecot, DovecotServer])
def test_only_the_mailboxs_folders_count(kind: type[DovecotServer], monkeypatch: pytest.MonkeyPatch) -> None:
    """A mailbox that was connected with some folders is not woken by the others, with NOTIFY nor with IDLE."""
    told: list[bytes] = []
    with kind() as server, listening(server, ("Work",)) as (listener, manner), server.client() as other:
        is_news = listener._is_news

        def note(reply: Reply) -> bool:
            told.append(reply.texts[0])
            return is_news(reply)

        monkeypatch.setattr(listener, "_is_news", note)
        arrive(other, "INBOX")
        if manner is Manner.NOTIFY:
            assert not hears_until(listener, lambda: any(b"INBOX" in text for text in told))
        else:  # the server tells nothing of a folder that is not open
            assert not hears(listener, 0.3)
        arrive(other, "Work")
        assert hears(listener)


@pytest.mark.parametrize("kind", [pytest.param(DovecotTlsServer, marks=pytest.mark.needs("dovecot")), PymapServer])
def test_other_servers_are_heard_too(kind: type[ImapServer]) -> None:
    """By TLS, and a server of another make."""
    with kind() as server, listening(server) as (listener, manner), server.client() as other:
        assert Manner.IDLE == manner
        arrive(other, "INBOX")
        assert hears(listener)


@pytest.mark.needs("dovecot")
@HAPPENINGS
def test_a_mute_server_is_asked(happen: Callable[[Client, str], None]) -> None:
    """Without NOTIFY and IDLE the inbox is asked about every so often."""
    times = ListenTimes(silence=60, poll=0.3)
    with (
        MuteDovecot() as server,
        listening(server, times=times) as (listener, manner),
        other_client(server, "INBOX") as other,
    ):
        assert Manner.POLL == manner
        assert not hears(listener, 0.7)
        happen(other, "INBOX")
        assert hears(listener)


def test_through_compression(dovecot_server: DovecotServer) -> None:
    """Waiting for a line that is packed loses nothing of it."""
    endpoint = Endpoint(HOST, dovecot_server.port, tls=False, compress=True)
    account = Account(dovecot_server.user, dovecot_server.password)
    listener = ImapListener(endpoint, account, ListenTimes(silence=60, renew=0.2))
    with listener, dovecot_server.client() as other:
        listener.open()
        assert not hears(listener, 0.7)
        arrive(other, "INBOX")
        assert hears(listener)


@pytest.mark.needs("dovecot")
@pytest.mark.parametrize("kind", [ChattyDovecot, DovecotServer])
def test_a_sync_is_not_heard(kind: type[DovecotServer]) -> None:
    """Reading a mailbox as a sync does changes nothing, so that no sync begets the next."""
    with kind() as server, listening(server) as (listener, _):
        with open_source(parse_address(server.address), server.password) as source:
            snapshot = source.snapshot(source.folders()[0])
            assert 1 == len(list(source.fetch(Span("INBOX", snapshot.uidvalidity, UidSet.of([1])))))
        assert not hears(listener, 1)


@pytest.mark.needs("dovecot")
@pytest.mark.parametrize("kind", [ChattyDovecot, DovecotServer])
def test_listening_is_renewed_and_goes_on(kind: type[DovecotServer]) -> None:
    """Renewing often is no news, and what happens later is heard."""
    times = ListenTimes(silence=60, renew=0.1)
    with kind() as server, listening(server, times=times) as (listener, _), server.client() as other:
        assert not hears(listener, 0.7)
        arrive(other, "INBOX")
        assert hears(listener)


@pytest.mark.needs("dovecot")
@pytest.mark.parametrize("kind", [ChattyDovecot, DovecotServer])
def test_a_dead_server_is_noticed_and_found_again(kind: type[DovecotServer]) -> None:
    """The cut is an error of the network at once; a new listener hears again."""
    with kind() as server:
        with listening(server) as (listener, _):
            server.kill()
            with pytest.raises(ProviderError) as caught:
                hears(listener)
            assert ErrorCategory.NETWORK == caught.value.category
        server.start()
        with listening(server) as (listener, _), server.client() as other:
            arrive(other, "INBOX")
            assert hears(listener)


class Idle:
    """IDLE as a script: what the server says after its go-ahead, and what when the client has said DONE."""

    def __init__(self, *pieces: bytes | None, before: bytes = b"", after: bytes = b"") -> None:
        self._pieces = pieces
        self._before = before
        self._after = after
        self._tag = b""
        self.lies: dict[str, Lie] = {"IDLE": self._begin, "": self._end}

    def _begin(self, tag: bytes, _: bytes) -> Iterable[bytes | None]:
        self._tag = tag
        yield self._before + b"+ idling\r\n"
        for piece in self._pieces:
            yield piece and piece.replace(b"TAG", tag)

    def _end(self, *_: bytes) -> Iterable[bytes | None]:
        yield self._after + self._tag + b" OK done\r\n"


@contextmanager
def scripted(
    lies: dict[str, Lie],
    capabilities: str = "IDLE",
    times: ListenTimes = TIMES,
    folders: Collection[str] | None = None,
) -> Iterator[tuple[ImapListener, ScriptedImap]]:
    """A listener to a scripted server whose inbox holds one message."""
    with ScriptedImap({1: b"x"}, lies, capabilities=f"IMAP4rev1 {capabilities}") as server:
        endpoint = Endpoint(HOST, server.port, tls=False)
        with ImapListener(endpoint, Account("ann", "sesame"), times, folders) as listener:
            yield listener, server


@pytest.mark.parametrize(
    ("said", "is_news"),
    [
        (b"* 2 EXISTS\r\n", True),
        (b"* 1 FETCH (FLAGS (\\Seen))\r\n", True),
        (b"* 1 EXPUNGE\r\n", True),
        (b"* VANISHED 5\r\n", True),
        (b"* 1 FETCH (BODY[] {5}\r\n1 EX\n FLAGS ())\r\n", True),
        (b"* OK Still here\r\n", False),
        (b"* 1 EXISTS\r\n* 0 RECENT\r\n", False),
        (b"* FLAGS (\\Seen)\r\n", False),
        (b'* STATUS "x" (MESSAGES 1)\r\n', False),
    ],
)
def test_what_is_news(said: bytes, is_news: bool) -> None:
    """Changes are; what a server says to keep the line open, or repeats, is not: then its farewell is heard first."""
    with scripted(Idle(said, b"* BYE\r\n").lies) as (listener, _):
        listener.open()
        if is_news:
            assert hears(listener)
        with pytest.raises(ProviderError, match="BYE"):
            hears(listener)


def test_a_message_in_the_place_of_a_deleted_one_is_news() -> None:
    """The number is the one of before, and another message."""
    with scripted(Idle(b"* 1 EXPUNGE\r\n", b"* 1 EXISTS\r\n").lies) as (listener, _):
        listener.open()
        assert [True, True] == [hears(listener), hears(listener)]


def test_a_line_whose_end_comes_late_is_waited_for() -> None:
    """It has an answer's time to come, however short the wait for its beginning was."""
    gap = threading.Event()

    def dawdle(tag: bytes, _: bytes) -> Iterator[bytes]:
        yield b"+ idling\r\n* 2 EX"
        gap.wait(0.5)
        yield b"ISTS\r\n"

    with scripted({"IDLE": dawdle}) as (listener, _):
        listener.open()
        assert listener.wait(0.1)


@pytest.mark.parametrize("place", ["before", "after"])
def test_news_at_the_renewal_are_heard(place: str) -> None:
    """What the server says before its go-ahead, or between DONE and OK, counts as well."""
    idle = Idle()
    with scripted(idle.lies, times=ListenTimes(silence=60, renew=0.1)) as (listener, server):
        listener.open()
        assert not hears_until(listener, lambda: server.commands.count("IDLE") > 1)
        setattr(idle, f"_{place}", b"* 2 EXISTS\r\n")
        assert hears(listener)
    assert ["IDLE", "", "IDLE"] == [c for c in server.commands if c in {"IDLE", ""}][:3]
    assert ["", "LOGOUT"] == server.commands[-2:]  # it ends what it began


def test_a_server_that_can_only_be_asked_is_asked_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """NOOP every `poll` seconds; the answer tells what happened."""
    now = [1000.0]
    monkeypatch.setattr(imap_listen, "time", SimpleNamespace(monotonic=lambda: now[0]))
    with scripted({}, "", ListenTimes(silence=60, renew=5, poll=20)) as (listener, server):
        assert Manner.POLL == listener.open()
        asked: list[int] = []
        for seconds in (0, 19, 1, 0, 19, 1):
            now[0] += seconds
            assert not listener.wait(0.01)
            asked.append(server.commands.count("NOOP"))
        assert [0, 0, 1, 1, 1, 2] == asked
        server.lies["NOOP"] = replaced(b"", b"* 2 EXISTS\r\n")
        now[0] += 20
        assert listener.wait(0.01)


@pytest.mark.parametrize("answer", ["NO not today", "BAD what?", "OK done already"])
def test_a_server_that_refuses_to_idle_is_asked(answer: str) -> None:
    """IDLE was offered and is not done: the connection stays, NOOP does."""
    with scripted({"IDLE": reply(answer)}, times=ListenTimes(silence=60, poll=0.1)) as (listener, server):
        assert Manner.POLL == listener.open()
        assert not hears_until(listener, lambda: "NOOP" in server.commands)
    assert 1 == server.connections


def test_a_server_that_never_says_go_ahead_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Something in between swallows IDLE: another connection, without it."""
    times = ListenTimes(silence=60, poll=0.1)
    with scripted({"IDLE": lambda *_: []}, times=times) as (listener, server):
        begin_idle = listener._begin_idle

        def in_short(wire: ImapWire) -> None:
            """Give the go-ahead little time, and what comes before and after it all that it needs."""
            listener._times = replace(times, silence=0.2)
            try:
                begin_idle(wire)
            finally:
                listener._times = times

        monkeypatch.setattr(listener, "_begin_idle", in_short)
        assert Manner.POLL == listener.open()
        assert not hears_until(listener, lambda: "NOOP" in server.commands)
    assert (2, 1) == (server.connections, server.commands.count("IDLE"))


def test_a_server_that_refuses_to_notify_idles() -> None:
    """NOTIFY was offered and is not done for these folders."""
    lies = Idle(b"* 2 EXISTS\r\n").lies | {"NOTIFY": reply("NO [NOTIFICATIONOVERFLOW] not for these")}
    with scripted(lies, "NOTIFY IDLE") as (listener, _):
        assert Manner.IDLE == listener.open()
        assert hears(listener)


@pytest.mark.parametrize(
    ("pieces", "category", "retry_after"),
    [
        ([b"* BYE shutting down, try again in 30 seconds\r\n"], ErrorCategory.TEMPORARY, 30),
        ([b"* BYE [UNAVAILABLE] too many connections\r\n"], ErrorCategory.RATE_LIMIT, None),
        ([HANG_UP], ErrorCategory.NETWORK, None),
        ([b"TAG OK that was long enough\r\n"], ErrorCategory.NETWORK, None),
        ([b"TAG NO that was long enough\r\n"], ErrorCategory.NETWORK, None),
        ([b"rubbish\r\n"], ErrorCategory.PROCESSING_ERROR, None),
    ],
)
def test_what_ends_idle_has_its_category(
    pieces: list[bytes | None], category: ErrorCategory, retry_after: float | None
) -> None:
    """A farewell, a cut, an end that nobody asked for, nonsense: each is a ProviderError."""
    with scripted(Idle(*pieces).lies) as (listener, _):
        listener.open()
        with pytest.raises(ProviderError) as caught:
            hears(listener)
    assert (category, retry_after) == (caught.value.category, caught.value.retry_after)


def test_half_a_line_is_not_waited_for_without_end() -> None:
    """The rest of it has an answer's time to come."""
    with scripted(Idle(b"* 2 EX").lies) as (listener, _):
        listener.open()
        listener._times = ListenTimes(silence=0.3)  # the login had time enough
        with pytest.raises(ProviderError) as caught:
            hears(listener)
    assert ErrorCategory.TIMEOUT == caught.value.category


@pytest.mark.parametrize("lies", [{"": lambda *_: []}, {"NOOP": lambda *_: []}])
def test_a_line_that_died_silently_is_noticed_at_the_renewal(lies: dict[str, Lie]) -> None:
    """Nobody answers DONE, or NOOP: a timeout."""
    capabilities = "IDLE" if "" in lies else ""
    times = ListenTimes(silence=60, renew=0.1, poll=0.1)
    with scripted(Idle().lies | lies, capabilities, times) as (listener, _):
        listener.open()
        listener._times = replace(times, silence=0.3)  # the login had time enough
        with pytest.raises(ProviderError) as caught:
            hears(listener)
    assert ErrorCategory.TIMEOUT == caught.value.category


def test_news_that_overflow_end_the_connection() -> None:
    """The server tells no more of them (RFC 5465 5.8): whoever connects again has missed nothing by that."""
    lies = {"NOTIFY": lambda _tag, truth: [truth, b"* OK [NOTIFICATIONOVERFLOW] too much\r\n"]}
    with scripted(lies, "NOTIFY") as (listener, _):
        assert Manner.NOTIFY == listener.open()
        with pytest.raises(ProviderError) as caught:
            hears(listener)
    assert (ErrorCategory.TEMPORARY, "NOTIFICATIONOVERFLOW") == (caught.value.category, caught.value.code)


@pytest.mark.parametrize("kind", ["NOTIFY", "IDLE", "EXAMINE"])
def test_a_farewell_at_the_beginning_is_no_refusal(kind: str) -> None:
    """BYE is the end of the connection, whatever was asked."""
    with scripted({kind: lambda *_: [b"* BYE come back later\r\n", HANG_UP]}, "NOTIFY IDLE") as (listener, server):
        if kind != "NOTIFY":
            server.lies["NOTIFY"] = reply("NO")
        with pytest.raises(ProviderError) as caught:
            listener.open()
    assert (ErrorCategory.TEMPORARY, 1) == (caught.value.category, server.connections)


def test_a_refused_login_is_of_category_auth_and_names_no_password() -> None:
    """The server repeats what it was sent; we do not."""
    lies: dict[str, Lie] = {"LOGIN": reply("NO [AUTHENTICATIONFAILED] ann sesame is wrong")}
    with scripted(lies) as (listener, _), pytest.raises(ProviderError) as caught:
        listener.open()
    assert ErrorCategory.AUTH == caught.value.category
    assert "sesame" not in str(caught.value)


def test_a_mailbox_none_of_whose_folders_is_there() -> None:
    """It is said so; they may be made yet."""
    with scripted({}, folders=("Gone",)) as (listener, _), pytest.raises(ProviderError) as caught:
        listener.open()
    assert ErrorCategory.NOT_FOUND == caught.value.category
