"""IMAP replies: what each kind says, as Python values. Pure: no socket, no imaplib.

Whatever does not fit the grammar raises `ReplyError` (see `imap_tokens`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from chunk_sync.domain.spans import NO_UIDS, UidSet
from chunk_sync.mail.dates import parse_internal_date
from chunk_sync.mail.imap_names import readable_name
from chunk_sync.mail.imap_tokens import Literal, Reply, ReplyError, Token
from chunk_sync.mail.textclean import clean_text


class Fetched(NamedTuple):
    """What one FETCH reply says of a message; None for what it did not mention (or `body` said NIL)."""

    uid: int | None
    size: int | None
    received_at: datetime | None
    flags: tuple[str, ...] | None  # sorted, without \\Recent; Gmail's labels among them
    body: Literal | None
    has_body: bool


@dataclass(frozen=True, slots=True)
class ListedFolder:
    """One LIST reply: attributes in lower case, the separator (None for a flat name), the name's bytes."""

    attributes: frozenset[str]
    separator: str | None
    name: bytes


# Nearly all FETCH replies, in one match: what we ask for, in any order, with the body last.
_USUAL_FETCH = re.compile(
    rb'\* \d{1,10} FETCH \((?: ?UID (\d{1,10})| ?RFC822\.SIZE (\d{1,18})| ?INTERNALDATE "([^"\\\r\n]{1,40})"'
    rb'| ?FLAGS \(([^()"\r\n\[{]*)\)| ?MODSEQ \(\d{1,20}\))+(?:( BODY\[\] )|(\)\r\n))'
)
_STATUS_CODE = re.compile(rb"\[([A-Za-z][A-Za-z0-9.-]*)(?: ([^\]]*))?\]")
_SEARCH = re.compile(rb"\* SEARCH(?=[ \r\n])", re.IGNORECASE)
_ESEARCH = re.compile(rb"\* ESEARCH\b", re.IGNORECASE)
_ALL = re.compile(rb" ALL ([\d:,]+)", re.IGNORECASE)
_NUMBER = re.compile(rb"\d{1,19}")  # longer than any UID, so that what is none is seen as such
_VANISHED = re.compile(rb"\* VANISHED \(EARLIER\) ([\d:,]+)", re.IGNORECASE)
_EXISTS = re.compile(rb"\* (\d{1,10}) EXISTS\b", re.IGNORECASE)
_LAST_UID = (1 << 32) - 1
_LONGEST_NUMBER = 18  # digits that surely fit into 63 bits


def status_code(text: bytes) -> tuple[str, bytes] | None:
    """Read the `[CODE argument]` of a status text; None when it begins with none."""
    match = _STATUS_CODE.match(text.lstrip())
    return (match[1].decode("ascii").upper(), match[2] or b"") if match else None


def parse_exists(reply: Reply) -> int | None:
    """Read `* n EXISTS`; None for any other reply."""
    match = _EXISTS.match(reply.texts[0])
    return int(match[1]) if match else None


def parse_status_number(reply: Reply, code: str) -> int | None:
    """Read the number of `* OK [CODE n]`; None for any other reply, and for a number that IMAP does not have."""
    found = status_code(reply.texts[0][5:]) if reply.texts[0][:5].upper() == b"* OK " else None
    return _number(found[1].decode("latin-1")) if found and found[0] == code else None


def parse_object_id(reply: Reply) -> str | None:
    """Read `* OK [MAILBOXID (F2212ea87)]` (RFC 8474); None for any other reply."""
    found = status_code(reply.texts[0][5:]) if reply.texts[0][:5].upper() == b"* OK " else None
    if found is None or found[0] != "MAILBOXID":
        return None
    return clean_text(found[1].strip(b"() ").decode("latin-1")) or None


def parse_search(reply: Reply) -> UidSet | None:
    """Read `* SEARCH 2 84 882` or `* ESEARCH (TAG "S1") UID ALL 2,84:90`; None for any other reply.

    Number by number: an answer of a million costs its line and its ranges, and no list.
    """
    text = reply.texts[0]
    if _SEARCH.match(text):
        return _within_bounds(UidSet.of(int(number[0]) for number in _NUMBER.finditer(text, 8)))
    if not _ESEARCH.match(text):
        return None
    found = _ALL.search(text)
    return _uid_set(found[1]) if found else NO_UIDS


def parse_vanished(reply: Reply) -> UidSet | None:
    """Read `* VANISHED (EARLIER) 41,43:116`; None for any other reply, what vanished just now among them."""
    match = _VANISHED.match(reply.texts[0])
    return _uid_set(match[1]) if match else None


def parse_capabilities(reply: Reply, kind: str = "CAPABILITY") -> tuple[str, ...] | None:
    """Read `* CAPABILITY IMAP4rev1 …`, or of another kind `* ENABLED …`, in capitals; None for any other reply."""
    words = reply.texts[0].decode("ascii", "replace").upper().split()
    return tuple(words[2:]) if words[1:2] == [kind] else None


def parse_foreign_namespaces(reply: Reply) -> tuple[bytes, ...]:
    """Read the prefixes of other people's and shared folders from `* NAMESPACE`; () for any other reply."""
    if reply.texts[0][2:12].upper() != b"NAMESPACE ":
        return ()
    groups = [group for group in reply.tokens()[2:4] if isinstance(group, list)]
    first = [namespace[0] for group in groups for namespace in group if isinstance(namespace, list) and namespace]
    return tuple(prefix for prefix in first if isinstance(prefix, bytes) and prefix)


def parse_fetch(reply: Reply) -> Fetched | None:
    """Read a FETCH reply; None for any other reply; raises ReplyError on one that is malformed."""
    usual = _USUAL_FETCH.fullmatch(reply.texts[0])
    if usual is not None:
        uid, size, date, flags, body, end = usual.groups()
        if (end and not reply.literals) or (body and reply.texts[1:] == (b")\r\n",)):
            return Fetched(
                uid=_uid(int(uid)) if uid else None,
                size=int(size) if size else None,
                received_at=parse_internal_date(date.decode("latin-1")) if date else None,
                flags=None if flags is None else _flags(flags),
                body=reply.literals[0] if body else None,
                has_body=body is not None,
            )
    return _parse_any_fetch(reply) if _is_fetch(reply) else None


def _parse_any_fetch(reply: Reply) -> Fetched:
    tokens = reply.tokens()
    if len(tokens) != 3 or not isinstance(tokens[2], list):  # noqa: PLR2004  number, FETCH, list
        message = "a FETCH reply that is not one list"
        raise ReplyError(message)
    items = dict(_pairs(tokens[2]))
    body_name = next((name for name in ("BODY[]", "RFC822") if name in items), None)
    body = items[body_name] if body_name else None
    if isinstance(body, str | list):
        message = "a FETCH reply whose body is no string"
        raise ReplyError(message)
    date, flags = items.get("INTERNALDATE"), items.get("FLAGS")
    labels = items.get("X-GM-LABELS")
    if isinstance(flags, list) and isinstance(labels, list):
        flags = flags + labels
    return Fetched(
        uid=_uid(_number(items.get("UID"))),
        size=_number(items.get("RFC822.SIZE")),
        received_at=parse_internal_date(date.decode("latin-1")) if isinstance(date, bytes) else None,
        flags=_tidy(_word(flag) for flag in flags) if isinstance(flags, list) else None,
        body=body,
        has_body=body_name is not None,
    )


def parse_list(reply: Reply) -> ListedFolder | None:
    """Read a LIST reply; None for any other reply; raises ReplyError on one that is malformed."""
    if reply.texts[0][2:7].upper() != b"LIST ":
        return None
    tokens = reply.tokens()
    if len(tokens) < 4 or not isinstance(tokens[1], list):  # noqa: PLR2004  LIST, attributes, separator, name
        message = "a LIST reply without attributes, separator and name"
        raise ReplyError(message)
    separator, name = tokens[2], tokens[3]
    # An unquoted name is an atom: also one that reads NIL, or that looks like a number.
    raw_name = b"NIL" if name is None else name.encode("latin-1") if isinstance(name, str) else name
    if not isinstance(raw_name, bytes) or b"\0" in raw_name:  # IMAP has strings without NUL only
        message = "a LIST reply whose name is no string"
        raise ReplyError(message)
    return ListedFolder(
        attributes=frozenset(a.lower() for a in tokens[1] if isinstance(a, str)),
        separator=separator.decode("latin-1") if isinstance(separator, bytes) and separator else None,
        name=raw_name,
    )


def _is_fetch(reply: Reply) -> bool:
    words = reply.texts[0].split(None, 3)
    return len(words) > 2 and words[1].isdigit() and words[2].upper() == b"FETCH"  # noqa: PLR2004


def _pairs(items: list[Token]) -> Iterator[tuple[str, Token]]:
    if len(items) % 2:
        message = "a FETCH reply with an item that has no value"
        raise ReplyError(message)
    for name, value in zip(items[::2], items[1::2], strict=True):
        if not isinstance(name, str):
            message = "a FETCH reply whose item has no name"
            raise ReplyError(message)
        yield name.upper(), value


@lru_cache(maxsize=256)
def _flags(text: bytes) -> tuple[str, ...]:
    """Read the inside of a list of flags: mailboxes know few combinations of them."""
    return _tidy(clean_text(text.decode("latin-1")).split())


def _tidy(flags: Iterable[str]) -> tuple[str, ...]:
    """Put flags in order: servers list them in any, and "recent" is the connection's and not the message's."""
    return tuple(sorted({flag for flag in flags if flag and flag.lower() != "\\recent"}))


def _word(token: Token) -> str:
    """Read a flag, or a label: these come as any kind of string, in modified UTF-7."""
    if isinstance(token, bytes):
        return clean_text(readable_name(token)).replace("\x1f", " ")
    return clean_text(token) if isinstance(token, str) else ""


def _uid(number: int | None) -> int | None:
    """Take a number for a UID, of 32 bits: what counts with it has no room for more."""
    if number is not None and number > _LAST_UID:
        message = "a UID that is none"
        raise ReplyError(message)
    return number


def _uid_set(text: bytes) -> UidSet:
    try:
        return _within_bounds(UidSet.parse(text.decode("ascii")))
    except ValueError:
        message = "a set of UIDs that is none"
        raise ReplyError(message) from None


def _within_bounds(uids: UidSet) -> UidSet:
    _uid(uids.ranges[-1][1] if uids.ranges else None)
    return uids


def _number(token: Token) -> int | None:
    return int(token) if isinstance(token, str) and token.isdecimal() and len(token) <= _LONGEST_NUMBER else None
