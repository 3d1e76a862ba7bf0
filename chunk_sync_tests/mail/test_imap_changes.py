"""Flags, deletions and whole sets of UIDs, as every real server tells them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chunk_sync.domain.listing import Changes
from chunk_sync.domain.spans import Span, UidSet
from chunk_sync.mail.address import parse_address
from chunk_sync.mail.connect import open_source
from chunk_sync.mail.source import KnownMessage, RawMessage, Snapshot, Source
from chunk_sync_tests.mail.scripted_imap import ScriptedImap, replaced
from chunk_sync_tests.servers.process import ImapServer


@pytest.fixture
def source(imap_server: ImapServer) -> Iterator[Source]:
    """A source of a mailbox with 40 messages."""
    imap_server.add_messages("INBOX", [b"Subject: %d\r\n\r\nx\r\n" % number for number in range(40)])
    with open_source(parse_address(imap_server.address), imap_server.password, timeout=30) as opened:
        yield opened


def look(source: Source) -> Snapshot:
    """Freeze the inbox."""
    return source.snapshot(source.folders()[0])


def last_uid(snapshot: Snapshot) -> int:
    """Find the highest UID of a snapshot."""
    return snapshot.uid_next - 1


def flagged(changes: Changes) -> dict[int, tuple[str, ...]]:
    """Read the flags by UID."""
    return dict(changes.flags)


def test_all_flags_without_a_cursor(imap_server: ImapServer, source: Source) -> None:
    """Each message is there with its flags, in order and without the connection's own."""
    uids = sorted(imap_server.by_uid("INBOX"))
    with imap_server.client() as client:
        client.flag("INBOX", uids[:2], "\\Seen", "\\Answered")
    snapshot = look(source)
    expected = {uid: ("\\Answered", "\\Seen") if uid in uids[:2] else () for uid in uids}
    assert expected == flagged(source.changes(snapshot, last_uid(snapshot), 0))


def test_changes_since_a_cursor(imap_server: ImapServer, source: Source) -> None:
    """After the cursor one message was read, one deleted and one came: nothing is missed, whatever the server can."""
    uids = sorted(imap_server.by_uid("INBOX"))
    before = look(source)
    with imap_server.client() as client:
        client.flag("INBOX", [uids[4]], "\\Seen")
    imap_server.expunge("INBOX", [uids[7]])
    imap_server.add_messages("INBOX", [b"Subject: new\r\n\r\nx\r\n"])
    after = look(source)
    assert len(uids) == after.message_count
    if before.highest_modseq:
        assert after.highest_modseq > before.highest_modseq
    changes = source.changes(after, last_uid(before), before.highest_modseq)
    assert ("\\Seen",) == flagged(changes)[uids[4]]
    assert set(changes.vanished) <= {uids[7]}
    assert set(uids) - {uids[7]} | {last_uid(after)} == set(source.existing(after))


def test_what_is_known_comes_without_its_bytes(imap_server: ImapServer, source: Source) -> None:
    """Known messages cost their flags; one that is gone does not come at all."""
    uids = sorted(imap_server.by_uid("INBOX"))[:4]
    imap_server.expunge("INBOX", [uids[1]])
    snapshot = look(source)
    span = Span("INBOX", snapshot.uidvalidity, UidSet.of(uids))
    fetched = {message.uid: type(message) for message in source.fetch(span, frozenset(uids[:3]))}
    assert {uids[0]: KnownMessage, uids[2]: KnownMessage, uids[3]: RawMessage} == fetched


def test_a_server_without_extensions_is_asked_in_plain_words() -> None:
    """No CHANGEDSINCE, no RETURN, no ENABLE for one that offers nothing."""
    with ScriptedImap({3: b"x", 9: b"y"}) as server, server.source() as source:
        snapshot = look(source)
        assert {3: ("\\Seen",), 9: ("\\Seen",)} == flagged(source.changes(snapshot, 9, 0))
        assert "3,9" == str(source.existing(snapshot))
    assert "UID FETCH 1:9 (UID FLAGS)" in server.commands
    assert "UID SEARCH UID 1:9" in server.commands
    assert [] == [command for command in server.commands if command.startswith(("ENABLE", "ID", "COMPRESS"))]


def test_a_search_that_finds_too_few_is_not_believed() -> None:
    """Messages that the server counts and does not name are not gone."""
    lies = {"SEARCH": replaced(b" 9", b"")}
    with ScriptedImap({3: b"x", 9: b"y"}, lies) as server, server.source() as source:
        snapshot = look(source)
        with pytest.raises(Exception, match="listed 1 of 2 messages"):
            source.existing(snapshot)
