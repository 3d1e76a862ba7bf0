"""How a session begins: logins of every kind, and what is switched on where a server has it."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest

from chunk_sync.domain.spans import Span, UidSet
from chunk_sync.errors import ErrorCategory, ErrorScope, ProviderError
from chunk_sync.mail.address import parse_address
from chunk_sync.mail.connect import open_source
from chunk_sync.mail.imap_names import decode_modified_utf7, encode_modified_utf7
from chunk_sync.mail.imap_wire import Endpoint
from chunk_sync.mail.source import RawMessage, SourceFolder
from chunk_sync_tests.mail.scripted_imap import HANG_UP, Lie, ScriptedImap, replaced, reply
from chunk_sync_tests.servers.dovecot import DovecotServer
from chunk_sync_tests.servers.process import HOST, digest

AUTH = pytest.mark.parametrize("auth", ["xoauth2", "oauthbearer"])


@AUTH
def test_an_access_token_logs_in(dovecot_server: DovecotServer, auth: str) -> None:
    """A real server that validates tokens lets the one in that it trusts."""
    dovecot_server.add_messages("INBOX", [b"Subject: x\r\n\r\nx\r\n"])
    address = parse_address(f"{dovecot_server.address}?auth={auth}")
    with open_source(address, dovecot_server.access_token()) as source:
        assert 1 == source.snapshot(source.folders()[0]).message_count


@AUTH
def test_an_expired_token_is_a_failure_of_the_account(dovecot_server: DovecotServer, auth: str) -> None:
    """The server explains it in a second challenge; category auth, and the token is in no text."""
    token = dovecot_server.access_token(seconds=-60)
    with open_source(parse_address(f"{dovecot_server.address}?auth={auth}"), token) as source:
        with pytest.raises(ProviderError) as caught:
            source.folders()
        assert (ErrorCategory.AUTH, ErrorScope.ACCOUNT) == (caught.value.category, caught.value.scope)
        assert token not in str(caught.value)


@AUTH
def test_tokens_go_over_the_wire_as_the_rfcs_write_them(auth: str) -> None:
    """User, bearer token, and for OAUTHBEARER the escaped name and the place."""
    with ScriptedImap({1: b"x"}) as server, server.source("tok", user="a=b,c", auth=auth) as source:
        source.folders()
        sent = base64.b64decode(server.commands[server.commands.index(f"AUTHENTICATE {auth.upper()}") + 1])
    expected = {
        "xoauth2": b"user=a=b,c\1auth=Bearer tok\1\1",
        "oauthbearer": b"n,a=a=3Db=2Cc,\1host=%s\1port=%d\1auth=Bearer tok\1\1" % (HOST.encode(), server.port),
    }
    assert expected[auth] == sent


@pytest.fixture
def compressed(dovecot_server: DovecotServer) -> Iterator[tuple[DovecotServer, str]]:
    """A server with mail that compresses well and mail that does not, and its address with compression."""
    letters = [b"Subject: %d\r\n\r\n%s\r\n" % (n, b"hello " * n * 100) for n in range(40)]
    noise = base64.encodebytes(bytes(n * 7919 % 251 for n in range(300_000))).replace(b"\n", b"\r\n")
    dovecot_server.add_messages("INBOX", [*letters, b"Subject: noise\r\n\r\n" + noise])
    return dovecot_server, f"{dovecot_server.address}?compress=yes"


def test_a_compressed_session_brings_the_same_bytes(compressed: tuple[DovecotServer, str]) -> None:
    """COMPRESS=DEFLATE with a real server: every message arrives as it is served."""
    server, address = compressed
    with open_source(parse_address(address), server.password, timeout=30) as source:
        snapshot = source.snapshot(source.folders()[0])
        span = Span("INBOX", snapshot.uidvalidity, UidSet.of(m.uid for m in source.list_messages(snapshot)))
        fetched = {m.uid: digest(m.raw) for m in source.fetch(span) if isinstance(m, RawMessage) and m.raw is not None}
        assert source._wire._squeezer is not None  # type: ignore[attr-defined]
    assert server.by_uid("INBOX") == fetched


def test_a_session_says_who_it_is_and_switches_on_what_helps() -> None:
    """ID and ENABLE where they are offered, in one go."""
    capabilities = "IMAP4rev1 ID ENABLE QRESYNC CONDSTORE UTF8=ACCEPT"
    lies: dict[str, Lie] = {"ENABLE": replaced(b"", b"* ENABLED QRESYNC UTF8=ACCEPT\r\n")}
    with ScriptedImap({1: b"x"}, lies, capabilities=capabilities) as server, server.source() as source:
        source.folders()
        assert {"QRESYNC", "UTF8=ACCEPT"} == source._wire.enabled  # type: ignore[union-attr]
    assert "ENABLE QRESYNC UTF8=ACCEPT" in server.commands
    assert [True] == [command.startswith('ID ("name" "chunk_sync"') for command in server.commands if "ID (" in command]


@pytest.mark.parametrize("kind", ["ID", "ENABLE", "COMPRESS", "NAMESPACE"])
@pytest.mark.parametrize("answer", ["NO no", "BAD what?"])
def test_what_a_server_offers_and_refuses_is_done_without(kind: str, answer: str) -> None:
    """The sync goes on."""
    capabilities = "IMAP4rev1 ID ENABLE CONDSTORE COMPRESS=DEFLATE NAMESPACE"
    with ScriptedImap({1: b"x"}, {kind: reply(answer)}, capabilities=capabilities) as server:
        endpoint = Endpoint(HOST, server.port, tls=False, compress=kind == "COMPRESS")
        with server.source(endpoint=endpoint) as source:
            assert ["INBOX"] == [folder.path for folder in source.folders()]


def test_compression_that_is_none_is_a_broken_protocol() -> None:
    """A server that agrees and then sends plain text is not believed."""
    lies: dict[str, Lie] = {"COMPRESS": lambda _tag, truth: [truth, b"* OK plain text\r\n" * 100_000, HANG_UP]}
    with ScriptedImap({1: b"x"}, lies, capabilities="IMAP4rev1 COMPRESS=DEFLATE") as server:
        endpoint = Endpoint(HOST, server.port, tls=False, compress=True)
        with server.source(endpoint=endpoint) as source, pytest.raises(ProviderError) as caught:
            source.folders()
    assert caught.value.category in {ErrorCategory.PROCESSING_ERROR, ErrorCategory.NETWORK}


GMAIL = (
    b'* LIST (\\HasNoChildren) "/" "INBOX"\r\n'
    b'* LIST (\\HasChildren \\Noselect) "/" "[Gmail]"\r\n'
    b'* LIST (\\All \\HasNoChildren) "/" "[Gmail]/All Mail"\r\n'
    b'* LIST (\\Flagged \\HasNoChildren) "/" "[Gmail]/Starred"\r\n'
    b'* LIST (\\Important \\HasNoChildren) "/" "[Gmail]/Important"\r\n'
    b'* LIST (\\Junk \\HasNoChildren) "/" "[Gmail]/Spam"\r\n'
    b'* LIST (\\Trash \\HasNoChildren) "/" "[Gmail]/Trash"\r\n'
    b'* LIST (\\HasNoChildren) "/" "Work"\r\n'
)
HONEST = b'* LIST () "/" INBOX\r\n'


def _folders(listed: bytes, capabilities: str, lies: dict[str, Lie] | None = None) -> list[SourceFolder]:
    script = {"LIST": replaced(HONEST, listed), **(lies or {})}
    with ScriptedImap({1: b"x"}, script, capabilities=capabilities) as server, server.source() as source:
        return source.folders()


def test_gmails_labels_are_not_synced_as_folders() -> None:
    """All Mail, Spam and Trash hold each message once; what is no folder is not listed."""
    folders = _folders(GMAIL, "IMAP4rev1 X-GM-EXT-1 SPECIAL-USE LIST-EXTENDED")
    assert "[Gmail]" not in {folder.path for folder in folders}
    assert ["all", "junk", "trash"] == sorted(str(folder.role) for folder in folders if folder.by_default)


def test_a_gmail_that_hides_all_mail_is_synced_by_its_labels() -> None:
    """Users can switch All Mail off for IMAP: then the labels are all there is."""
    listed = GMAIL.replace(b'* LIST (\\All \\HasNoChildren) "/" "[Gmail]/All Mail"\r\n', b"")
    paths = {folder.path for folder in _folders(listed, "IMAP4rev1 X-GM-EXT-1") if folder.by_default}
    assert {"INBOX", "Work", "[Gmail]/Spam", "[Gmail]/Trash"} == paths


def test_gmails_labels_come_with_the_flags() -> None:
    """Labels in any kind of string, their names decoded, beside the flags."""
    answer = b'* 1 FETCH (X-GM-LABELS ("\\\\Important" Work "&AOk-t&AOk-") UID 1 FLAGS (\\Seen))\r\n'
    lies = {"SIZES": replaced(b"", answer)}
    with ScriptedImap({}, lies, capabilities="IMAP4rev1 X-GM-EXT-1") as server, server.source() as source:
        snapshot = source.snapshot(source.folders()[0])
        flags = dict(source.changes(snapshot, 1, 0).flags)
    assert {1: ("Work", "\\Important", "\\Seen", "été")} == flags
    assert "UID FETCH 1:1 (UID FLAGS X-GM-LABELS)" in server.commands


def test_other_peoples_folders_are_not_synced_unless_they_are_named() -> None:
    """By NAMESPACE: what is shared or somebody else's is listed, and left out by default."""
    listed = HONEST + b'* LIST () "/" "#shared/sales"\r\n* LIST () "/" "~bob/INBOX"\r\n'
    lies: dict[str, Lie] = {
        "NAMESPACE": replaced(b"", b'* NAMESPACE (("" "/")) (("~" "/")) (("#shared/" "/"))\r\n'),
    }
    folders = _folders(listed, "IMAP4rev1 NAMESPACE", lies)
    assert {"INBOX": True, "#shared/sales": False, "~bob/INBOX": False} == {f.path: f.by_default for f in folders}


def test_a_server_that_speaks_utf8_has_the_keys_of_one_that_does_not() -> None:
    """UTF8=ACCEPT changes how names look on the wire, and must not make another folder of one."""
    listed = HONEST + '* LIST () "/" "Entwürfe & mehr"\r\n'.encode()
    capabilities = "IMAP4rev1 ENABLE UTF8=ACCEPT"
    lies: dict[str, Lie] = {
        "ENABLE": replaced(b"", b"* ENABLED UTF8=ACCEPT\r\n"),
        "LIST": replaced(HONEST, listed),
    }
    with ScriptedImap({1: b"x"}, lies, capabilities=capabilities + " LITERAL+") as server, server.source() as source:
        folder = source.folders()[1]
        source.snapshot(folder)
    assert ("Entw&APw-rfe &- mehr", "Entwürfe & mehr") == (folder.key, folder.path)
    assert "EXAMINE {16+}" in server.commands


@pytest.mark.parametrize("name", ["INBOX", "A & B", "Entwürfe", "日本", "&", "a/b", "😀 mail"])
def test_modified_utf7_is_read_back(name: str) -> None:
    """Both directions fit each other."""
    packed = encode_modified_utf7(name.encode())
    assert packed.isascii()
    assert name == decode_modified_utf7(packed)
