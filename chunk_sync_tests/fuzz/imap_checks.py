"""What must hold of everything that an IMAP server may send."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from datetime import UTC
from typing import Any

from chunk_sync.domain.spans import UidSet
from chunk_sync.errors import ProviderError
from chunk_sync.mail import imap_reply
from chunk_sync.mail.imap_errors import ServerRefused, Stage, translated
from chunk_sync.mail.imap_names import readable_name
from chunk_sync.mail.imap_tokens import Literal, Reply, ReplyError, SkippedLiteral
from chunk_sync.mail.imap_wire import ImapWire
from chunk_sync_tests.fuzz.imap_bytes import MAX_LITERAL, SEPARATOR, connect

_LAST_UID = (1 << 32) - 1
_LARGEST = (1 << 63) - 1  # what a bigint holds


def check(data: bytes) -> None:
    """Take bytes in every way that a server's bytes come in; raises on a finding."""
    _check_stream(data, compressed=False)
    _check_stream(data, compressed=True)
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    _check_stream(packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH), compressed=True, go_ahead=True)
    _check_greeting(data)
    check_reply(_by_hand(data))
    found = imap_reply.status_code(data)
    assert found is None or found[0].isascii()


def _check_stream(data: bytes, *, compressed: bool, go_ahead: bool = False) -> None:
    """Read an answer, that to IDLE too: nothing but what the boundary translates may come out."""
    wire = connect(data, compressed=compressed)
    trouble = None
    try:
        with translated(Stage.FETCH):
            for reply in _replies(wire, go_ahead=go_ahead):
                assert all(_size(literal) <= 2 * MAX_LITERAL for literal in reply.literals)
                check_reply(reply)
    except ProviderError as exc:
        trouble = exc
    finally:
        wire.shutdown()
    if trouble is not None:
        assert len(str(trouble)) < 500
        assert trouble.retry_after is None or trouble.retry_after >= 0


def _replies(wire: ImapWire, *, go_ahead: bool) -> Iterator[Reply]:
    try:
        tag = wire.start("NOOP")
        if go_ahead:
            yield from wire.until_go_ahead(tag)
        yield from wire.replies(tag)
    except (ReplyError, EOFError, OSError, ServerRefused):
        raise
    except Exception as exc:
        message = f"the reader of replies raised {type(exc).__name__}"
        raise AssertionError(message) from exc


def _check_greeting(data: bytes) -> None:
    """Be greeted: imaplib's own reader works here, whose errors are translated too."""
    try:
        with translated(Stage.CONNECT):
            connect(b"", greeting=data).shutdown()
    except ProviderError:
        return


def _by_hand(data: bytes) -> Reply:
    pieces = data.split(SEPARATOR)
    if len(pieces) % 2 == 0:
        pieces.append(b"")
    return Reply(tuple(pieces[::2]), tuple(pieces[1::2]))


def check_reply(reply: Reply) -> None:
    """Understand a reply in every way: values in their bounds come out, or ReplyError."""
    assert len(reply.texts) == len(reply.literals) + 1
    _check_fetch(reply)
    _check_list(reply)
    _check_numbers(reply)
    for read in (imap_reply.parse_search, imap_reply.parse_vanished):
        uids = _read(read, reply)
        if uids is not None:
            _check_uids(uids)
    for prefix in _read(imap_reply.parse_foreign_namespaces, reply) or ():
        assert isinstance(prefix, bytes)
        assert prefix
    imap_reply.parse_capabilities(reply)
    _read(Reply.tokens, reply)


def _read(read: Callable[[Reply], Any], reply: Reply) -> Any:
    try:
        return read(reply)
    except ReplyError:
        return None


def _check_fetch(reply: Reply) -> None:
    fetched = _read(imap_reply.parse_fetch, reply)
    if fetched is None:
        return
    assert fetched.uid is None or 0 <= fetched.uid <= _LAST_UID
    assert fetched.size is None or 0 <= fetched.size <= _LARGEST
    assert fetched.received_at is None or fetched.received_at.tzinfo is UTC
    assert fetched.body is None or isinstance(fetched.body, Literal)
    _storable(*(fetched.flags or ()))
    assert "\\Recent" not in (fetched.flags or ())


def _check_list(reply: Reply) -> None:
    listed = _read(imap_reply.parse_list, reply)
    if listed is None:
        return
    assert isinstance(listed.name, bytes)
    assert listed.separator != ""
    _storable(readable_name(listed.name), listed.name.decode("latin-1"))  # the path, and the key


def _check_numbers(reply: Reply) -> None:
    exists = imap_reply.parse_exists(reply)
    assert exists is None or 0 <= exists <= _LARGEST
    for code in ("UIDVALIDITY", "UIDNEXT", "HIGHESTMODSEQ"):
        number = _read(lambda given, code=code: imap_reply.parse_status_number(given, code), reply)
        assert number is None or 0 <= number <= _LARGEST
    object_id = imap_reply.parse_object_id(reply)
    if object_id is not None:
        assert object_id
        _storable(object_id)


def _check_uids(uids: UidSet) -> None:
    assert len(uids) >= 0
    assert uids == UidSet.parse(str(uids))
    for low, high in uids.ranges:
        assert 0 <= low <= high <= _LAST_UID


def _storable(*texts: str) -> None:
    for text in texts:
        text.encode("utf-8")
        assert "\0" not in text


def _size(literal: Literal) -> int:
    return literal.size if isinstance(literal, SkippedLiteral) else len(literal)
