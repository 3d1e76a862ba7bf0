"""No server is trusted: cuts, wrong sizes, silence, drips and doubled answers end well or in a ProviderError."""

from __future__ import annotations

import re
import threading
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace

import pytest

from chunk_sync.domain.spans import Span, UidSet
from chunk_sync.errors import ErrorCategory, ErrorScope, ProviderError
from chunk_sync.mail import imap_wire
from chunk_sync.mail.imap import ImapSource
from chunk_sync.mail.source import RawMessage, Snapshot, SourceFolder
from chunk_sync_tests.mail.scripted_imap import HANG_UP, Lie, ScriptedImap, cut_after, once, replaced, reply

C = ErrorCategory
INBOX = SourceFolder("INBOX", "INBOX", "inbox")
MESSAGES = {uid: b"Subject: %d\r\n\r\n%s\r\n" % (uid, b"body " * 20) for uid in (1, 2, 3, 5)}
SIZE = b"{%d}" % len(MESSAGES[1])


def _span(*uids: int, uidvalidity: int = 7) -> Span:
    return Span("INBOX", uidvalidity, UidSet.of(uids or MESSAGES))


def _drain(
    source: ImapSource, span: Span, *, eager: bool = True
) -> tuple[dict[int, bytes | None], ProviderError | None]:
    """Fetch until the end or an error: what came, and the error."""
    got: dict[int, bytes | None] = {}
    try:
        for message in source.fetch(span, eager=eager):
            assert message.uid not in got
            got[message.uid] = message.raw
    except ProviderError as error:
        return got, error
    return got, None


def _fetch(lies: dict[str, Lie], **limits: float) -> tuple[dict[int, bytes | None], ProviderError | None]:
    with ScriptedImap(MESSAGES, lies) as server, server.source(**limits) as source:  # type: ignore[arg-type]
        return _drain(source, _span())


def test_the_truth_is_taken() -> None:
    """Without lies everything arrives, with its flags and its date."""
    with ScriptedImap(MESSAGES) as server, server.source() as source:
        fetched = list(source.fetch(_span()))
    assert {message.uid: message.raw for message in fetched} == MESSAGES
    assert fetched[0].flags == ("\\Seen",)
    assert fetched[0].received_at is not None
    assert fetched[0].received_at.isoformat() == "1996-07-17T09:44:25+00:00"


def test_the_mailbox_is_never_changed() -> None:
    """Only commands that read are sent, and bodies only with PEEK."""
    with ScriptedImap(MESSAGES) as server, server.source() as source:
        source.folders()
        list(source.list_messages(source.snapshot(INBOX)))
        list(source.fetch(_span()))
    verbs = {command.split()[0] for command in server.commands}
    assert {"CAPABILITY", "LOGIN", "LIST", "EXAMINE", "UID", "LOGOUT"} == verbs
    assert all("PEEK" in command for command in server.commands if "BODY" in command)
    assert all(command.startswith(("UID FETCH", "UID SEARCH")) for command in server.commands if "UID" in command)


@pytest.mark.parametrize("where", [1, 60, 170, 171, 172])
def test_b45_a_cut_keeps_the_messages_before_it(where: int) -> None:
    """The connection ends somewhere in the second message: the first is kept, the error is the line's."""
    got, error = _fetch({"BODIES": cut_after(len(MESSAGES[1]) + 40 + where)})
    assert {1: MESSAGES[1]} == {uid: raw for uid, raw in got.items() if uid == 1}
    assert error is not None
    assert (C.NETWORK, ErrorScope.CHUNK) == (error.category, error.scope)


@pytest.mark.parametrize("delta", [-7, -1, 1, 7])
def test_a_wrong_literal_size_never_makes_a_message(delta: int) -> None:
    """A size that is a little off is found out, and nothing corrupt is yielded."""
    got, error = _fetch({"BODIES": replaced(SIZE, b"{%d}" % (len(MESSAGES[1]) + delta))})
    assert all(raw == MESSAGES[uid] for uid, raw in got.items())
    assert error is not None
    assert error.category is C.PROCESSING_ERROR


def test_a_wrong_size_of_the_last_literal_is_found_out() -> None:
    """The last literal swallows the completion: that is not an end."""

    def lie(_: bytes, truth: bytes) -> list[bytes]:
        head, _, tail = truth.rpartition(SIZE)
        return [head + b"{%d}" % (len(MESSAGES[5]) + 5) + tail]

    got, error = _fetch({"BODIES": lie})
    assert {uid: MESSAGES[uid] for uid in (1, 2, 3)} == got
    assert error is not None
    assert error.category is C.PROCESSING_ERROR


def test_a_giant_literal_is_refused_before_it_is_allocated() -> None:
    """2 GB are only a claim: nothing is reserved for them, and nothing waited for."""
    tracemalloc.start()
    try:
        _, error = _fetch({"BODIES": replaced(SIZE, b"{2147000000}")})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert error is not None
    assert error.category is C.PROCESSING_ERROR
    assert peak < 100 << 20


def test_a_giant_literal_in_the_login_is_refused() -> None:
    """The dialogue before the login is bounded too."""
    _, error = _fetch({"CAPABILITY": lambda _tag, _truth: [b"* CAPABILITY {2147000000}\r\n"]})
    assert error is not None
    assert (C.PROCESSING_ERROR, ErrorScope.ACCOUNT) == (error.category, error.scope)


def test_an_endless_line_is_refused() -> None:
    """A line without an end is not collected for ever."""
    _, error = _fetch({"BODIES": lambda _tag, _truth: [b"* " + b"x" * (17 << 20)]})
    assert error is not None
    assert error.category is C.PROCESSING_ERROR


def test_a_message_above_the_cap_is_reported_and_never_asked_for() -> None:
    """Too large: it comes without bytes, with its size, and the others with theirs."""
    messages = {1: b"x" * 5000, 2: b"small"}
    with ScriptedImap(messages) as server, server.source(max_message_bytes=1000) as source:
        fetched = {message.uid: message for message in source.fetch(_span(1, 2))}
    assert fetched[2].raw == b"small"
    assert (None, 5000, ("\\Seen",)) == (fetched[1].raw, fetched[1].size, fetched[1].flags)
    assert [command for command in server.commands if "BODY" in command] == ["UID FETCH 2 (UID BODY.PEEK[])"]


def test_a_large_message_by_itself_is_asked_about_first() -> None:
    """A planner puts what is large into a chunk of its own: however eager, its bytes are not asked for."""
    with ScriptedImap({1: b"x" * 5000}) as server, server.source(max_message_bytes=1000) as source:
        assert ({1: None}, None) == _drain(source, _span(1))
    assert [] == [command for command in server.commands if "BODY" in command]


def test_questions_go_out_together() -> None:
    """A chunk costs one round trip: a server that answers nothing before it has heard all is no hindrance."""
    held: list[bytes] = []

    def hold(_: bytes, truth: bytes) -> list[bytes]:
        held.append(truth)
        return []

    lies: dict[str, Lie] = {"EXAMINE": hold, "SIZES": hold, "BODIES": lambda _, truth: [*held, truth]}
    assert (MESSAGES, None) == _fetch(lies)


def test_a_server_may_answer_two_commands_at_once() -> None:
    """Bodies that come before the sizes' command has ended are kept."""
    line = b"* %d FETCH (UID %d BODY[] {%d}\r\n%s)\r\n"
    bodies = b"".join(line % (uid, uid, len(raw), raw) for uid, raw in MESSAGES.items())
    lies: dict[str, Lie] = {"SIZES": lambda _, truth: [bodies + truth], "BODIES": reply("OK done already")}
    assert (MESSAGES, None) == _fetch(lies)


def test_a_literal_above_the_cap_is_thrown_away() -> None:
    """The size that was announced was too small: the message counts as too large, the next one arrives."""
    messages = {1: b"x" * 1500, 2: b"small"}
    lies = {"SIZES": replaced(b"RFC822.SIZE 1500", b"RFC822.SIZE 900")}
    with ScriptedImap(messages, lies) as server, server.source(max_message_bytes=1000) as source:
        fetched = {message.uid: (message.raw, message.size) for message in source.fetch(_span(1, 2))}
    assert {1: (None, 1500), 2: (b"small", 5)} == fetched


def test_an_announced_size_that_is_only_about_right_does_no_harm() -> None:
    """Exchange estimates: the literal decides."""
    got, error = _fetch({"SIZES": replaced(b"RFC822.SIZE %d" % len(MESSAGES[1]), b"RFC822.SIZE 99")})
    assert error is None
    assert got == MESSAGES


def test_ok_without_data_is_no_empty_folder() -> None:
    """The server says OK and delivers nothing that it has: that is its failure, not the messages' absence."""
    got, error = _fetch({"BODIES": reply("OK Fetch completed")})
    assert got == {}
    assert error is not None
    assert (C.TEMPORARY, "NOTDELIVERED") == (error.category, error.code)


def test_a_server_that_denies_all_messages_is_not_believed() -> None:
    """No FETCH gets an answer, but SEARCH still finds the messages."""
    silent = reply("OK Fetch completed")
    got, error = _fetch({"SIZES": silent, "BODIES": silent, "EXISTING": silent})
    assert got == {}
    assert error is not None
    assert error.category is C.TEMPORARY


def test_what_came_too_late_is_asked_for_again() -> None:
    """One message is left out the first time: it is fetched in a second round."""

    def forgetful(_: bytes, truth: bytes) -> list[bytes]:
        start = truth.index(b"* 2 FETCH")
        return [truth[:start] + truth[truth.index(b"* 3 FETCH") :]]

    got, error = _fetch({"BODIES": once(forgetful)})
    assert error is None
    assert got == MESSAGES


def test_messages_that_are_gone_are_no_failure() -> None:
    """A span with deleted messages yields the others."""
    with ScriptedImap(MESSAGES) as server, server.source() as source:
        got, error = _drain(source, _span(1, 2, 3, 4, 5, 6))
    assert error is None
    assert got == MESSAGES


def test_a_span_whose_messages_are_all_gone_is_empty() -> None:
    """Nothing there, nothing wrong."""
    with ScriptedImap({}) as server, server.source() as source:
        assert list(source.fetch(_span(1, 2))) == []


@pytest.mark.parametrize("kind", ["SIZES", "BODIES"])
def test_a_refusal_because_of_expunged_messages_is_no_failure(kind: str) -> None:
    """EXPUNGEISSUED means that some are gone: the rest is asked for again."""

    def refuse(tag: bytes, truth: bytes) -> list[bytes]:
        some = truth[: truth.index(b"* 3 FETCH")]
        return [some, tag + b" NO [EXPUNGEISSUED] Some of the requested messages no longer exist.\r\n"]

    got, error = _fetch({kind: once(refuse)})
    assert error is None
    assert got == MESSAGES


def test_unsolicited_replies_are_passed_over() -> None:
    """Flags of others, arrivals, doubled bodies and bodies that nobody asked for change nothing."""

    def flood(_: bytes, truth: bytes) -> list[bytes]:
        noise = rb"* 2 FETCH (FLAGS (\Deleted) UID 2)" + b"\r\n* 99 EXISTS\r\n* 0 RECENT\r\n* OK still here {5}\r\n"
        first = truth[: truth.index(b"* 2 FETCH")]
        stranger = b"* 9 FETCH (UID 99 BODY[] {3}\r\nxyz)\r\n"
        no_uid = b"* 9 FETCH (BODY[] {3}\r\nxyz)\r\n"
        return [noise + stranger + no_uid + first + first.replace(b"body", b"BODY") + noise + truth[len(first) :]]

    got, error = _fetch({"BODIES": flood})
    assert error is None
    assert got == MESSAGES


def test_a_body_that_is_nil_counts_as_not_delivered() -> None:
    """NIL for a message with bytes: an error, never an empty message."""
    nil = replaced(SIZE + b"\r\n" + MESSAGES[1], b"NIL")
    got, error = _fetch({"BODIES": nil})
    assert {uid: MESSAGES[uid] for uid in (2, 3, 5)} == got
    assert error is not None
    assert error.category is C.TEMPORARY


def test_an_empty_message_is_a_message() -> None:
    """No bytes at all, said as a literal or as NIL, is what it is."""
    for lies in ({}, {"BODIES": replaced(b"{0}\r\n", b"NIL")}):
        with ScriptedImap({1: b""}, lies) as server, server.source() as source:
            assert [RawMessage(1, b"", 0, ("\\Seen",))] == [
                RawMessage(message.uid, message.raw, message.size, message.flags) for message in source.fetch(_span(1))
            ]


def test_b20_another_uidvalidity_ends_the_span() -> None:
    """The folder was numbered anew: no message is taken for another one."""
    with ScriptedImap(MESSAGES) as server, server.source() as source:
        got, error = _drain(source, _span(uidvalidity=6))
        assert got == {}
        assert error is not None
        assert (C.DATA_CONFLICT, ErrorScope.FOLDER, "UIDVALIDITY") == (error.category, error.scope, error.code)
        assert _drain(source, _span()) == (MESSAGES, None)  # and the source is still good


def test_a_folder_is_opened_anew_after_a_while() -> None:
    """The epoch changes between two spans on the same connection, which is old enough to look again."""
    with ScriptedImap(MESSAGES) as server, server.source(reopen=0) as source:
        assert _drain(source, _span(1))[1] is None
        server.uidvalidity = 8
        error = _drain(source, _span(2))[1]
        assert error is not None
        assert error.category is C.DATA_CONFLICT
        with pytest.raises(ProviderError, match="numbered anew"):
            list(source.list_messages(Snapshot(INBOX, 7, 6, 4)))


def test_chunk_after_chunk_the_folder_stays_open() -> None:
    """EXAMINE is dear in a large folder: one serves many spans."""
    with ScriptedImap(MESSAGES) as server, server.source() as source:
        for uid, raw in MESSAGES.items():
            assert _drain(source, _span(uid)) == ({uid: raw}, None)
    assert server.commands.count('EXAMINE "INBOX"') == 1


def test_b20_nothing_is_gone_before_the_folder_was_looked_at_again() -> None:
    """The folder was emptied and numbered anew under an open session: a conflict, not an empty span."""
    with ScriptedImap(MESSAGES) as server, server.source() as source:
        assert _drain(source, _span(1))[1] is None
        server.uidvalidity = 8
        server.messages.clear()
        error = _drain(source, _span(2, 3))[1]
        assert error is not None
        assert error.category is C.DATA_CONFLICT


def test_a_server_that_drips_runs_into_the_deadline() -> None:
    """A byte now and then is no silence, but all waiting together is limited."""

    def drip(_: bytes, truth: bytes) -> Iterator[bytes]:
        for byte in b"* OK still here\r\n" * 700:  # a minute, if it is not given up before
            time.sleep(0.005)
            yield b"%c" % byte
        yield truth

    with ScriptedImap(MESSAGES) as server, server.source() as source:
        assert _drain(source, _span(1))[1] is None
        server.lies["BODIES"] = drip
        source._limits = replace(source._limits, patience=0.3)  # what came before had time enough
        _, error = _drain(source, _span())
    assert error is not None
    assert (C.TIMEOUT, ErrorScope.CHUNK) == (error.category, error.scope)


def test_a_silent_server_runs_into_the_timeout() -> None:
    """Nothing comes any more: the silence allowed is the limit."""
    _, error = _fetch({"BODIES": lambda _tag, truth: [truth[:50]]}, silence=0.3)
    assert error is not None
    assert error.category is C.TIMEOUT


def test_the_time_of_the_caller_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever takes an hour over a message does not use up the server's patience of a minute."""
    hours: list[float] = []
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + sum(hours))
    monkeypatch.setattr(imap_wire, "time", clock)
    taken = threading.Semaphore(0)

    def one_by_one(_: bytes, truth: bytes) -> Iterator[bytes]:
        for piece in re.split(rb"(?=\* \d FETCH)", truth):
            yield piece
            taken.acquire(timeout=60)

    taken.release()  # the text before the first message is none
    with ScriptedImap(MESSAGES, {"BODIES": one_by_one}) as server, server.source(patience=60) as source:
        for _ in source.fetch(_span()):
            hours.append(3600.0)
            taken.release()
    assert len(MESSAGES) == len(hours)


@pytest.mark.parametrize("lie", [reply("garbage"), lambda _tag, _truth: [b"\x00\xff from a middlebox\r\n"]])
@pytest.mark.parametrize("kind", ["greeting", "CAPABILITY", "LOGIN", "EXAMINE", "SIZES", "BODIES"])
def test_garbage_is_an_error_of_processing(kind: str, lie: Lie) -> None:
    """What is not IMAP is said to be that, wherever it comes."""
    _, error = _fetch({kind: lie})
    assert error is not None
    assert error.category is C.PROCESSING_ERROR


@pytest.mark.parametrize("kind", ["greeting", "CAPABILITY", "LOGIN", "EXAMINE", "SIZES", "BODIES"])
def test_an_end_of_the_connection_is_an_error_of_the_network(kind: str) -> None:
    """Wherever the server hangs up."""
    _, error = _fetch({kind: lambda _tag, _truth: [HANG_UP]})
    assert error is not None
    assert error.category is C.NETWORK
    scopes = {"EXAMINE": ErrorScope.FOLDER, "SIZES": ErrorScope.CHUNK, "BODIES": ErrorScope.CHUNK}
    assert scopes.get(kind, ErrorScope.ACCOUNT) == error.scope


def test_after_a_cut_the_source_connects_anew() -> None:
    """The next span works on a new connection."""
    with ScriptedImap(MESSAGES, {"BODIES": once(cut_after(50))}) as server, server.source() as source:
        assert _drain(source, _span())[1] is not None
        assert _drain(source, _span()) == (MESSAGES, None)
        assert server.connections == 2


def test_an_abandoned_stream_does_not_mix_into_the_next() -> None:
    """A fetch that nobody reads to its end leaves no answers behind."""
    with ScriptedImap(MESSAGES) as server, server.source() as source:
        stream = source.fetch(_span())
        assert next(stream).uid == 1
        assert [message.uid for message in source.fetch(_span(5))] == [5]
        with pytest.raises(ProviderError, match="connection") as caught:
            list(stream)
        assert caught.value.category is C.NETWORK


def test_close_may_come_at_any_time() -> None:
    """Before the first use, in mid-stream, twice."""
    with ScriptedImap(MESSAGES) as server:
        server.source().close()
        source = server.source()
        stream = source.fetch(_span())
        next(stream)
        source.close()
        source.close()
        assert source.folders() == [INBOX]
        source.close()
    assert server.commands.count("LOGOUT") == 1  # no command is put into the middle of a stream
