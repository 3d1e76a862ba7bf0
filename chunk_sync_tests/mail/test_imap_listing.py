"""Listings go through sparse and crowded UID spaces in few commands, and never miss or double a message."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chunk_sync.errors import ErrorCategory, ProviderError
from chunk_sync.mail.source import Snapshot, SourceFolder
from chunk_sync_tests.mail.scripted_imap import Lie, ScriptedImap, replaced, reply

INBOX = SourceFolder("INBOX", "INBOX", "inbox")


def _list(server: ScriptedImap, above: int = 0) -> list[int]:
    with server.source() as source:
        return [message.uid for message in source.list_messages(source.snapshot(INBOX), above)]


def _windows(server: ScriptedImap) -> list[str]:
    return [command for command in server.commands if command.startswith("UID FETCH")]


def test_a_snapshot_tells_the_folder() -> None:
    """UIDVALIDITY, UIDNEXT and the number of messages."""
    with ScriptedImap({3: b"x", 9: b"y"}) as server, server.source() as source:
        assert Snapshot(INBOX, 7, 10, 2) == source.snapshot(INBOX)


def test_a_missing_uidnext_is_found_by_the_highest_uid() -> None:
    """Servers need not say UIDNEXT."""
    lies = {"EXAMINE": replaced(b"* OK [UIDNEXT 10] ok\r\n", b"")}
    with ScriptedImap({3: b"x", 9: b"y"}, lies) as server, server.source() as source:
        assert Snapshot(INBOX, 7, 10, 2) == source.snapshot(INBOX)


def test_an_empty_folder_is_never_asked_for_its_last_message() -> None:
    """`*` in an empty folder is an error to some servers."""
    with ScriptedImap({}, {"EXAMINE": replaced(b"* OK [UIDNEXT 1] ok\r\n", b"")}) as server:
        assert _list(server) == []
        assert _windows(server) == []


def test_a_folder_without_uidvalidity_cannot_be_synced() -> None:
    """Messages without lasting names are refused."""
    lies = {"EXAMINE": replaced(b"* OK [UIDVALIDITY 7] ok\r\n", b"")}
    with ScriptedImap({3: b"x"}, lies) as server, server.source() as source:
        with pytest.raises(ProviderError, match="UIDVALIDITY") as caught:
            source.snapshot(INBOX)
        assert caught.value.category is ErrorCategory.PROCESSING_ERROR


def test_b20_what_arrives_later_is_not_in_the_snapshot() -> None:
    """Messages above UIDNEXT of the snapshot belong to the next one."""
    with ScriptedImap({1: b"x", 2: b"y"}) as server, server.source() as source:
        snapshot = source.snapshot(INBOX)
        server.messages[3] = b"new"
        assert [message.uid for message in source.list_messages(snapshot)] == [1, 2]


def test_a_listing_begins_above_a_uid() -> None:
    """An incremental sync does not list what it knows."""
    with ScriptedImap(dict.fromkeys(range(1, 50), b"x")) as server:
        assert list(range(41, 50)) == _list(server, above=40)
        assert ["UID FETCH 41:49 (UID RFC822.SIZE INTERNALDATE)"] == _windows(server)


def test_an_almost_empty_uid_space_takes_few_commands() -> None:
    """Three messages in four thousand million UIDs are found in less than 300 commands."""
    uids = [5, 2_000_000_000, 4_294_967_290]
    with ScriptedImap(dict.fromkeys(uids, b"x")) as server:
        assert uids == _list(server)
        assert len(_windows(server)) < 300


def test_a_crowd_after_a_desert_is_listed_in_small_steps_again() -> None:
    """Windows grow over emptiness and shrink where the messages are."""
    uids = [1, *range(1_000_000, 1_040_000)]
    with ScriptedImap(dict.fromkeys(uids, b"")) as server:
        assert uids == _list(server)
        assert len(_windows(server)) < 15


@pytest.mark.parametrize("kind", ["OK", "NO"])
def test_a_limit_of_messages_a_command_is_obeyed(kind: str) -> None:
    """RFC 9738: the answer is cut short, so the window is made smaller; nothing is missed or doubled."""

    def limited(tag: bytes, truth: bytes) -> list[bytes]:
        lines = truth.splitlines(keepends=True)
        if len(lines) <= 101:
            return lines
        return [*lines[-101:-1], tag + f" {kind} [MESSAGELIMIT 100 1] partial\r\n".encode()]

    lies: dict[str, Lie] = {"LISTING": limited}
    with ScriptedImap(dict.fromkeys(range(1, 1001), b"x"), lies) as server:
        assert set(range(1, 1001)) == set(found := _list(server))
        assert len(found) == 1000


def test_doubled_and_foreign_lines_are_passed_over() -> None:
    """A listing holds each message of its window once."""

    def noisy(_: bytes, truth: bytes) -> list[bytes]:
        lines = truth.splitlines(keepends=True)
        noise = [b"* 1 FETCH (FLAGS (\\Seen))\r\n", b"* 9 FETCH (UID 99 RFC822.SIZE 1)\r\n", b"* 5 EXISTS\r\n"]
        return [*noise, *lines[:-1], *noise, *lines]

    with ScriptedImap({1: b"x", 2: b"y"}, {"LISTING": noisy}) as server:
        assert _list(server) == [1, 2]


def test_another_folder_opened_in_between_does_not_mix_in() -> None:
    """A listing goes on in its own folder, whatever was opened meanwhile."""
    uids = [1, 2, *range(20_000, 20_005)]
    with ScriptedImap(dict.fromkeys(uids, b"x")) as server, server.source() as source:
        listing = source.list_messages(source.snapshot(INBOX))
        found = [next(listing).uid]
        found += [message.uid for message in listing]
        assert uids == found

        listing = source.list_messages(source.snapshot(INBOX))
        next(listing), next(listing)
        source.folders()
        with pytest.raises(ProviderError):
            list(listing)


def test_b46_a_refused_listing_is_an_error() -> None:
    """No window is taken for empty because it was refused."""
    with ScriptedImap({1: b"x"}, {"LISTING": reply("NO [UNAVAILABLE] later")}) as server:
        with pytest.raises(ProviderError) as caught:
            _list(server)
        assert caught.value.category is ErrorCategory.TEMPORARY


def test_b46_a_listing_that_leaves_messages_out_is_an_error() -> None:
    """The folder has them, the listing does not: that is no empty folder."""
    for lie in (reply("OK done"), lambda _, truth: [truth[truth.index(b"* 2 ") :]]):
        with ScriptedImap(dict.fromkeys(range(1, 4), b"x"), {"LISTING": lie}) as server:
            with pytest.raises(ProviderError) as caught:
                _list(server)
            assert (ErrorCategory.TEMPORARY, "NOTLISTED") == (caught.value.category, caught.value.code)


def test_messages_that_vanish_before_the_listing_are_no_error() -> None:
    """Fewer messages than the snapshot counted, and the folder agrees; new ones do not confuse it."""
    with ScriptedImap(dict.fromkeys(range(1, 10), b"x")) as server, server.source() as source:
        snapshot = source.snapshot(INBOX)
        del server.messages[3], server.messages[4]
        server.messages |= {10: b"new", 11: b"new"}
        server.uid_next = 12
        assert [1, 2, 5, 6, 7, 8, 9] == [message.uid for message in source.list_messages(snapshot)]


def test_a_folder_without_exists_is_not_taken_for_empty() -> None:
    """A server that does not say how many messages there are is refused."""
    lies = {"EXAMINE": replaced(b"* 1 EXISTS\r\n", b"")}
    with ScriptedImap({1: b"x"}, lies) as server, pytest.raises(ProviderError, match="EXISTS"):
        _list(server)


def test_a_message_without_a_size_is_listed() -> None:
    """The server cannot tell how large it is, but it is there."""
    lies = {"LISTING": replaced(b'INTERNALDATE "17-Jul-1996 02:44:25 -0700" RFC822.SIZE 1)', b"RFC822.SIZE NIL)")}
    with ScriptedImap({1: b"x", 2: b"y"}, lies) as server:
        assert sorted(_list(server)) == [1, 2]


@settings(max_examples=25, deadline=None)
@given(st.sets(st.integers(1, (1 << 32) - 2), min_size=1, max_size=50), st.integers(0, (1 << 32) - 2))
def test_any_uid_space_is_listed_completely(uids: set[int], above: int) -> None:
    """However the UIDs lie."""
    with ScriptedImap(dict.fromkeys(uids, b"x")) as server:
        assert sorted(uid for uid in uids if uid > above) == _list(server, above)
