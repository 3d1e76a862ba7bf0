"""What must hold against every real IMAP server: the fixture `imap_server` runs each test on all of them."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from chunk_sync.domain.spans import Span, UidSet
from chunk_sync.errors import ErrorCategory, ErrorScope, ProviderError
from chunk_sync.mail.address import parse_address
from chunk_sync.mail.connect import open_source
from chunk_sync.mail.source import ListedMessage, Snapshot, Source
from chunk_sync_tests.servers.dovecot import DovecotServer
from chunk_sync_tests.servers.process import ImapServer, digest

Opener = Callable[..., Source]

UMLAUT = "Entwürfe & 日本/Über"


@pytest.fixture
def opener(imap_server: ImapServer) -> Iterator[Opener]:
    """Open sources of the server's mailbox; they are closed at the end."""
    opened: list[Source] = []

    def open_one(password: str | None = None, address: str | None = None) -> Source:
        source = open_source(
            parse_address(address or imap_server.address),
            password or imap_server.password,
            timeout=30,
            max_message_bytes=1 << 20,
        )
        opened.append(source)
        return source

    yield open_one
    for source in opened:
        source.close()


def _letters(count: int, start: int = 0) -> list[bytes]:
    return [
        b"From: a@example.com\r\nSubject: letter %d\r\n\r\n%s\r\n" % (number, b"hello %d\r\n" % number * (number % 50))
        for number in range(start, start + count)
    ]


def _look(source: Source, path: str = "INBOX") -> tuple[Snapshot, list[ListedMessage]]:
    folder = next(folder for folder in source.folders() if folder.path == path)
    snapshot = source.snapshot(folder)
    return snapshot, list(source.list_messages(snapshot))


def _fetch(source: Source, snapshot: Snapshot, uids: list[int]) -> dict[int, str]:
    span = Span(snapshot.folder.key, snapshot.uidvalidity, UidSet.of(uids))
    fetched: dict[int, str] = {}
    for message in source.fetch(span):
        assert message.raw is not None
        assert message.uid not in fetched
        assert message.size == len(message.raw)
        fetched[message.uid] = digest(message.raw)
    return fetched


def test_an_empty_mailbox(opener: Opener) -> None:
    """The inbox is there and has no messages."""
    source = opener()
    snapshot, listed = _look(source)
    assert (0, []) == (snapshot.message_count, listed)
    assert _fetch(source, snapshot, [1, 2]) == {}


def test_every_message_arrives_as_it_is_served(imap_server: ImapServer, opener: Opener) -> None:
    """Listing and fetching give the UIDs, sizes and bytes that another client sees."""
    imap_server.add_messages("INBOX", _letters(230))
    source = opener()
    snapshot, listed = _look(source)
    assert snapshot.message_count == 230
    expected = imap_server.by_uid("INBOX")
    assert sorted(expected) == [message.uid for message in listed]
    assert expected == _fetch(source, snapshot, [message.uid for message in listed])
    assert all(message.received_at is not None for message in listed)
    assert all(message.size > 0 for message in listed)


def test_a_folder_with_any_name_is_found_and_read(imap_server: ImapServer, opener: Opener) -> None:
    """Letters of many alphabets and levels."""
    imap_server.add_messages(UMLAUT, _letters(3))
    source = opener()
    snapshot, listed = _look(source, UMLAUT)
    assert imap_server.by_uid(UMLAUT) == _fetch(source, snapshot, [message.uid for message in listed])
    assert source.folders()[0].path == "INBOX"
    assert source.folders()[0].role == "inbox"


def test_the_sent_folder_has_its_role(imap_server: ImapServer, opener: Opener) -> None:
    """By special use or by name."""
    imap_server.add_messages("Sent", _letters(1))
    assert {"Sent": "sent"} == {f.path: f.role for f in opener().folders() if f.path == "Sent"}


def test_b20_expunges_and_arrivals_between_chunks_lose_nothing(imap_server: ImapServer, opener: Opener) -> None:
    """Whoever was there from the snapshot to the end is fetched once; the deleted are absent; the new are not in it."""
    imap_server.add_messages("INBOX", _letters(60))
    source = opener()
    snapshot, listed = _look(source)
    uids = [message.uid for message in listed]
    before = imap_server.by_uid("INBOX")
    gone = set(uids[5:40:7])
    fetched = _fetch(source, snapshot, uids[:10])
    imap_server.expunge("INBOX", gone)
    imap_server.add_messages("INBOX", _letters(5, start=1000))
    for start in range(10, 60, 10):
        fetched |= _fetch(source, snapshot, uids[start : start + 10])
    kept = {uid: sha for uid, sha in before.items() if uid not in gone}
    assert kept == {uid: sha for uid, sha in fetched.items() if uid not in gone}
    assert [uid for uid in uids if uid not in gone] == [message.uid for message in source.list_messages(snapshot)]
    assert len(_look(source)[1]) == len(kept) + 5


def test_b20_a_new_epoch_voids_the_span(imap_server: ImapServer, opener: Opener) -> None:
    """After the UIDs were dealt anew, an old span is refused, and the folder can be planned again."""
    imap_server.add_messages("Work", _letters(3))
    source = opener()
    snapshot, listed = _look(source, "Work")
    source.close()
    imap_server.reset_uidvalidity("Work")
    with pytest.raises(ProviderError) as caught:
        _fetch(source, snapshot, [message.uid for message in listed])
    error = caught.value
    assert (ErrorCategory.DATA_CONFLICT, ErrorScope.FOLDER) == (error.category, error.scope)
    snapshot, listed = _look(source, "Work")
    assert imap_server.by_uid("Work") == _fetch(source, snapshot, [message.uid for message in listed])


def test_flags_stay_as_they_are(imap_server: ImapServer, opener: Opener) -> None:
    """Reading marks nothing as seen."""
    imap_server.add_messages("INBOX", _letters(3))
    for _ in range(2):
        source = opener()
        snapshot, listed = _look(source)
        span = Span("INBOX", snapshot.uidvalidity, UidSet.of(message.uid for message in listed))
        assert [False] * 3 == ["\\Seen" in message.flags for message in source.fetch(span)]
        source.close()


def test_a_wrong_password_concerns_the_account(opener: Opener) -> None:
    """Category auth, scope account, and the password is not in the text."""
    with pytest.raises(ProviderError) as caught:
        opener("not-the-password").folders()
    assert (ErrorCategory.AUTH, ErrorScope.ACCOUNT) == (caught.value.category, caught.value.scope)
    assert "not-the-password" not in str(caught.value)


def test_a_folder_that_is_gone_concerns_the_folder(imap_server: ImapServer, opener: Opener) -> None:
    """A folder deleted under an open session is an error at once, and not found at the next look."""
    imap_server.add_messages("Work", _letters(1))
    source = opener()
    snapshot, _ = _look(source, "Work")
    with imap_server.client() as client:
        client.delete("Work")
    with pytest.raises(ProviderError):
        _fetch(source, snapshot, [1])
    for looker in (source, opener()):
        with pytest.raises(ProviderError) as caught:
            _fetch(looker, snapshot, [1])
        assert (ErrorCategory.NOT_FOUND, ErrorScope.FOLDER) == (caught.value.category, caught.value.scope)


def test_a_server_that_was_away_is_reached_again(imap_server: ImapServer, opener: Opener) -> None:
    """The source survives the end of its server: an error meanwhile, work afterwards."""
    source = opener()
    source.folders()
    imap_server.kill()
    for _ in range(2):
        with pytest.raises(ProviderError) as caught:
            source.folders()
        assert caught.value.category is ErrorCategory.NETWORK
    imap_server.start()
    assert source.folders()[0].path == "INBOX"


def test_large_messages_come_without_their_bytes(imap_server: ImapServer, opener: Opener) -> None:
    """Above the cap only the size arrives."""
    imap_server.add_messages("INBOX", [b"Subject: x\r\n\r\n" + b"x" * 70 * 20_000 + b"\r\n", *_letters(1)])
    source = opener()
    snapshot, listed = _look(source)
    span = Span("INBOX", snapshot.uidvalidity, UidSet.of(message.uid for message in listed))
    found = {message.uid: (message.raw is None, message.size) for message in source.fetch(span)}
    assert {message.uid: (message.size > 1 << 20, message.size) for message in listed} == found


@pytest.mark.parametrize("kind", ["imaps", "starttls"])
def test_tls_is_used_and_verified(dovecot_server: DovecotServer, kind: str) -> None:
    """With the authority's certificate the connection works; without it, or under another name, it is refused."""
    dovecot_server.add_messages("INBOX", _letters(30))
    plain = dovecot_server.tls_address if kind == "imaps" else dovecot_server.address
    trusted = parse_address(f"{plain}?ca={dovecot_server.ca_path}")
    with open_source(trusted, dovecot_server.password, timeout=30, max_message_bytes=1 << 20) as source:
        snapshot, listed = _look(source)
        assert dovecot_server.by_uid("INBOX") == _fetch(source, snapshot, [message.uid for message in listed])
    if kind == "imaps":
        with (
            open_source(parse_address(plain), dovecot_server.password, timeout=30, max_message_bytes=1) as source,
            pytest.raises(ProviderError, match=r"not trusted.*\?ca=") as caught,
        ):
            source.folders()
        assert (ErrorCategory.NETWORK, ErrorScope.ACCOUNT) == (caught.value.category, caught.value.scope)


def test_a_certificate_for_another_name_is_refused(
    dovecot_server: DovecotServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trusted signature is not enough: the host's name must be in the certificate."""
    look_up = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _host, port, *rest: look_up("127.0.0.1", port, *rest))
    address = dovecot_server.tls_address.replace("127.0.0.1", "mail.example.com")
    trusted = parse_address(f"{address}?ca={dovecot_server.ca_path}")
    with open_source(trusted, dovecot_server.password, timeout=30, max_message_bytes=1) as source:
        with pytest.raises(ProviderError, match=r"mail\.example\.com") as caught:
            source.folders()
        assert caught.value.code == "CERTIFICATE_VERIFY_FAILED"


@pytest.mark.needs("dovecot")
def test_passwords_in_any_alphabet_log_in() -> None:
    """Quotes and backslashes, and letters beyond ASCII, reach a real server as they are."""
    users = {"ann": 'pass "word" \\', "ann@example.com": "pässwörd 密"}
    with DovecotServer(users) as server:
        for user, password in users.items():
            address = parse_address(server.address_of(user))
            with open_source(address, password, timeout=30, max_message_bytes=1) as source:
                assert [folder.path for folder in source.folders()] == ["INBOX"]
