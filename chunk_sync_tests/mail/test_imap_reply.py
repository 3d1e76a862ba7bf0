"""IMAP replies are understood wholly or refused: half-read replies corrupt mail."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chunk_sync.mail.imap_reply import (
    Fetched,
    ListedFolder,
    parse_exists,
    parse_fetch,
    parse_foreign_namespaces,
    parse_list,
    parse_object_id,
    parse_search,
    parse_status_number,
    parse_vanished,
    status_code,
)
from chunk_sync.mail.imap_tokens import Reply, ReplyError, SkippedLiteral


def _line(text: bytes) -> Reply:
    return Reply((text + b"\r\n",))


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (
            _line(rb'* LIST (\HasNoChildren \Sent) "/" "Sent Items"'),
            ({"\\hasnochildren", "\\sent"}, "/", b"Sent Items"),
        ),
        (_line(b'* LIST () "." INBOX'), (set(), ".", b"INBOX")),
        (_line(b"* list () NIL INBOX"), (set(), None, b"INBOX")),
        (_line(rb'* LIST (\Noselect) "\\" "a\"b\\c"'), ({"\\noselect"}, "\\", b'a"b\\c')),
        (_line(b'* LIST () "/" NIL'), (set(), "/", b"NIL")),
        (_line(b'* LIST () "/" 2024'), (set(), "/", b"2024")),
        (_line(b'* LIST () "/" [Gmail]/Spam'), (set(), "/", b"[Gmail]/Spam")),
        (_line(b'* LIST () "/" "M\xc3\xbcll"'), (set(), "/", b"M\xc3\xbcll")),
        (_line(b'* LIST () "" flat'), (set(), None, b"flat")),
        (Reply((b'* LIST () "/" ', b"\r\n"), (b'a "literal"\r\n',)), (set(), "/", b'a "literal"\r\n')),
        (_line(b'* LIST () "/" foo ("CHILDINFO" ("SUBSCRIBED"))'), (set(), "/", b"foo")),
    ],
)
def test_list_replies(reply: Reply, expected: tuple[set[str], str | None, bytes]) -> None:
    """Quoted names, atoms, literals, NIL separators and extensions of LIST."""
    attributes, separator, name = expected
    assert ListedFolder(frozenset(attributes), separator, name) == parse_list(reply)


def test_other_replies_are_no_list() -> None:
    """LSUB, STATUS and the like are passed over."""
    assert parse_list(_line(b'* LSUB () "/" foo')) is None
    assert parse_list(_line(b"* 3 EXISTS")) is None


@pytest.mark.parametrize(
    "text",
    [
        *[b"* LIST", b"* LIST ()", b'* LIST () "/"', b'* LIST foo "/" bar', b'* LIST () "/" (a)', b'* LIST (() "/" a'],
        b'* LIST () "/" "a\0b"',
    ],
)
def test_broken_list_replies_are_refused(text: bytes) -> None:
    """Without attributes, separator and name there is no folder."""
    with pytest.raises(ReplyError):
        parse_list(_line(text + b" "))


def _fetched(**known: object) -> Fetched:
    fields: dict[str, object] = dict.fromkeys(("uid", "size", "received_at", "flags", "body"))
    return Fetched(**{"has_body": False, **fields, **known})  # type: ignore[arg-type]


_MOMENT = datetime(1996, 7, 17, 9, 44, 25, tzinfo=UTC)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (
            _line(rb'* 12 FETCH (FLAGS (\Seen $X) INTERNALDATE "17-Jul-1996 02:44:25 -0700" RFC822.SIZE 4286 UID 9)'),
            _fetched(uid=9, size=4286, received_at=_MOMENT, flags=("$X", "\\Seen")),
        ),
        (
            Reply((b"* 1 FETCH (UID 7 BODY[] ", b")\r\n"), (b"raw )(\r\n",)),
            _fetched(uid=7, body=b"raw )(\r\n", has_body=True),
        ),
        (
            Reply((b"* 1 fetch (body[] ", b" uid 7)\r\n"), (SkippedLiteral(99),)),
            _fetched(uid=7, body=SkippedLiteral(99), has_body=True),
        ),
        (_line(b'* 1 FETCH (UID 7 BODY[] "")'), _fetched(uid=7, body=b"", has_body=True)),
        (_line(b"* 1 FETCH (UID 7 BODY[] NIL)"), _fetched(uid=7, has_body=True)),
        (_line(rb"* 1 FETCH (FLAGS ())"), _fetched(flags=())),
        (_line(b"* 1 FETCH ()"), _fetched()),
        (_line(b'* 1 FETCH (INTERNALDATE "32-Foo-1996 02:44:25 -0700" UID x RFC822.SIZE -1)'), _fetched()),
        (_line(b'* 1 FETCH (UID 7 MODSEQ (65402) X-GM-LABELS ("\\\\Inbox" foo))'), _fetched(uid=7)),
    ],
)
def test_fetch_replies(reply: Reply, expected: Fetched) -> None:
    """Items come in any order and any case; what was not mentioned is None."""
    assert expected == parse_fetch(reply)


@pytest.mark.parametrize(
    "reply",
    [
        _line(b"* 1 FETCH (UID 7"),
        _line(b"* 1 FETCH (UID 7))"),
        _line(b"* 1 FETCH (UID)"),
        _line(b"* 1 FETCH UID 7"),
        _line(b"* 1 FETCH (UID 7) x"),
        _line(b"* 1 FETCH (UID 7 BODY[] (a))"),
        _line(b"* 1 FETCH (UID 7 BODY[] atom)"),
        _line(b'* 1 FETCH (UID 7 BODY[] "open)'),
        _line(b"* 1 FETCH ((UID) 7)"),
        _line(b"* 1 FETCH (" + b"(" * 1000 + b")" * 1000 + b")"),
        Reply((b"* 1 FETCH (UID 7 BODY[] ", b"st of the body\r\n"), (b"the fir",)),
        Reply((b"* 1 FETCH (UID 7 BODY[] ", b"TCH (UID 8)\r\n"), (b"body)\r\n* 2 FE",)),
    ],
)
def test_broken_fetch_replies_are_refused(reply: Reply) -> None:
    """Whatever does not fit, a wrong literal size above all, is an error and no message."""
    with pytest.raises(ReplyError):
        parse_fetch(reply)


@given(st.lists(st.binary(), min_size=1, max_size=4), st.lists(st.binary(), max_size=3))
def test_any_bytes_are_a_reply_or_an_error(texts: list[bytes], literals: list[bytes]) -> None:
    """No reply fails in another way, or is taken for anything but a FETCH."""
    body = tuple(literals[: len(texts) - 1])
    reply = Reply((b"* 1 FETCH (" + texts[0], *texts[1 : len(body) + 1]), body)
    try:
        fetched = parse_fetch(reply)
    except ReplyError:
        return
    assert isinstance(fetched, Fetched)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"* SEARCH 2 84 882", "2,84,882"),
        (b"* search 84 2 3", "2:3,84"),
        (b"* SEARCH", ""),
        (b'* ESEARCH (TAG "S1") UID ALL 4:18,21', "4:18,21"),
        (b'* ESEARCH (TAG "S1") UID', ""),
        (b"* SEARCHING 2", None),
        (b"* 2 EXISTS", None),
    ],
)
def test_search_replies(text: bytes, expected: str | None) -> None:
    """Old and extended answers are sets of UIDs."""
    found = parse_search(_line(text))
    assert expected == (None if found is None else str(found))


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (parse_search, b"* SEARCH 4294967296"),
        (parse_search, b"* SEARCH 10000000001"),
        (parse_search, b"* SEARCH " + b"9" * 5000),
        (parse_search, b'* ESEARCH (TAG "S1") UID ALL 1:99999999999999999999'),
        (parse_vanished, b"* VANISHED (EARLIER) 4294967296"),
        (parse_vanished, b"* VANISHED (EARLIER) " + b"9" * 5000),
        (parse_fetch, b"* 1 FETCH (UID 4294967296)"),
        (parse_fetch, b"* 1 FETCH (UID 4294967296 X 1)"),
    ],
)
def test_uids_have_32_bits(read: Callable[[Reply], object], text: bytes) -> None:
    """A number that no UID can be is refused before somebody counts with it, or cuts it into two."""
    with pytest.raises(ReplyError):
        read(_line(text))


def test_the_last_uid_is_one() -> None:
    """The bound itself is a UID."""
    assert "4294967295" == str(parse_search(_line(b"* SEARCH 4294967295")))
    assert _fetched(uid=4294967295) == parse_fetch(_line(b"* 1 FETCH (UID 4294967295)"))


def test_numbers_beyond_63_bits_are_none() -> None:
    """What the database could not hold was not said."""
    assert parse_status_number(_line(b"* OK [UIDNEXT 999999999999999999] x"), "UIDNEXT") == 999999999999999999
    assert parse_status_number(_line(b"* OK [UIDNEXT 9999999999999999999] x"), "UIDNEXT") is None
    assert _fetched() == parse_fetch(_line(b"* 1 FETCH (RFC822.SIZE 9999999999999999999)"))


def test_what_vanished_earlier_is_told_from_what_vanishes_now() -> None:
    """Only the answer to a question about the past is one."""
    assert "41,43:116" == str(parse_vanished(_line(b"* VANISHED (EARLIER) 41,43:116")))
    assert parse_vanished(_line(b"* VANISHED 41,43:116")) is None


def test_a_search_answer_of_a_million_costs_its_line_and_its_ranges() -> None:
    """Neither a list of numbers nor one of words is made of it."""
    reply = _line(b"* SEARCH " + b" ".join(b"%d" % uid for uid in range(1, 1_000_001)))
    tracemalloc.start()
    try:
        assert "1:1000000" == str(parse_search(reply))
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b'* NAMESPACE (("" "/")) (("~" "/")) (("#shared/" "/")("#public/" "/"))', (b"~", b"#shared/", b"#public/")),
        (b'* NAMESPACE (("INBOX." ".")) NIL NIL', ()),
        (b'* LIST () "/" x', ()),
    ],
)
def test_namespaces_of_others(text: bytes, expected: tuple[bytes, ...]) -> None:
    """The personal namespace is not among them."""
    assert expected == parse_foreign_namespaces(_line(text))


def test_small_replies() -> None:
    """EXISTS, status numbers, SEARCH and status codes."""
    assert parse_exists(_line(b"* 23 EXISTS")) == 23
    assert parse_exists(_line(b"* 23 EXPUNGE")) is None
    assert parse_status_number(_line(b"* OK [UIDNEXT 4392] Predicted next UID"), "UIDNEXT") == 4392
    assert parse_status_number(_line(b"* OK [UIDNEXT 4392] Predicted next UID"), "UIDVALIDITY") is None
    assert parse_status_number(_line(b"* NO [UIDNEXT 4392]"), "UIDNEXT") is None
    assert parse_object_id(_line(b"* OK [MAILBOXID (F2212ea87)] ok")) == "F2212ea87"
    assert parse_object_id(_line(b"* OK [UIDNEXT 4392] ok")) is None
    assert status_code(b"[AUTHENTICATIONFAILED] no") == ("AUTHENTICATIONFAILED", b"")
    assert status_code(b"[WEBALERT https://x] no") == ("WEBALERT", b"https://x")
    assert status_code(b"no [code] here") is None
