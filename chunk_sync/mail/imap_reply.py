"""IMAP replies: from bytes on the wire to Python values. Pure: no socket, no imaplib.

A reply is text with literals between (`* 4 FETCH (UID 9 BODY[] {120}` + 120 bytes + `)`). Whatever does
not fit the grammar raises `ReplyError`: half-understood replies are how wrong literal sizes corrupt mail.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from chunk_sync.mail.dates import parse_internal_date
from chunk_sync.mail.textclean import clean_text


class ReplyError(Exception):
    """The server sent something that is not IMAP, or not what was asked."""


@dataclass(frozen=True, slots=True)
class SkippedLiteral:
    """A literal above the cap that was read and thrown away."""

    size: int


Literal = bytes | SkippedLiteral
# An atom is text, a quoted string or a literal is bytes, NIL is None, a list is a list.
Token = str | Literal | None | list["Token"]


class Reply(NamedTuple):
    """One untagged reply: `texts` has one item more than `literals`, which stand between them."""

    texts: tuple[bytes, ...]
    literals: tuple[Literal, ...] = ()

    def tokens(self) -> list[Token]:
        """Parse the whole reply after its `* `; raises ReplyError when it does not end well."""
        return _Lexer(self).read()


class Fetched(NamedTuple):
    """What one FETCH reply says of a message; None for what it did not mention (or `body` said NIL)."""

    uid: int | None
    size: int | None
    received_at: datetime | None
    flags: tuple[str, ...] | None
    body: Literal | None
    has_body: bool


@dataclass(frozen=True, slots=True)
class ListedFolder:
    """One LIST reply: attributes in lower case, the separator (None for a flat name), the name's bytes."""

    attributes: frozenset[str]
    separator: str | None
    name: bytes


_TOKEN = re.compile(
    rb'[ ]*(?:(?P<open>\()|(?P<close>\))|"(?P<quoted>(?:[^"\\\r\n]|\\.)*)"'
    # Brackets may hold blanks: BODY[HEADER.FIELDS (TO CC)].
    rb"|(?P<atom>(?:[^\s()\"\[{]+|\[[^\]\r\n]*\]|\[)+)|(?P<end>\r?\n|$))"
)
# Nearly all FETCH replies, in one match: what we ask for, in any order, with the body last.
_USUAL_FETCH = re.compile(
    rb'\* \d{1,10} FETCH \((?: ?UID (\d{1,10})| ?RFC822\.SIZE (\d{1,18})| ?INTERNALDATE "([^"\\\r\n]{1,40})"'
    rb'| ?FLAGS \(([^()"\r\n\[{]*)\))+(?:( BODY\[\] )|(\)\r\n))'
)
_ESCAPED = re.compile(rb"\\(.)")
_MAX_DEPTH = 32
_MAX_TOKENS = 100_000
_STATUS_CODE = re.compile(rb"\[([A-Za-z][A-Za-z0-9.-]*)(?: ([^\]]*))?\]")
_EXISTS = re.compile(rb"\* (\d{1,10}) EXISTS\b", re.IGNORECASE)


class _Lexer:
    """A reader of tokens that never recurses, so that hostile nesting costs nothing."""

    def __init__(self, reply: Reply) -> None:
        self._texts = reply.texts
        self._literals = reply.literals
        self._stack: list[list[Token]] = [[]]
        self._count = 0

    def read(self) -> list[Token]:
        for index, text in enumerate(self._texts):
            self._read_text(text, 2 if index == 0 else 0)
            if index < len(self._literals):
                self._push(self._literals[index])
        if len(self._stack) != 1:
            message = "a reply without its closing parenthesis"
            raise ReplyError(message)
        return self._stack[0]

    def _read_text(self, text: bytes, position: int) -> None:
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None:
                message = "a reply that is not IMAP"
                raise ReplyError(message)
            position = match.end()
            kind = match.lastgroup
            if kind == "end":
                if text[position:]:
                    message = "a line break inside a reply"
                    raise ReplyError(message)
                return
            self._take(kind or "", match[kind or ""])

    def _take(self, kind: str, value: bytes) -> None:
        if kind == "open":
            inner: list[Token] = []
            self._push(inner)
            self._stack.append(inner)
            if len(self._stack) > _MAX_DEPTH:
                message = "a reply nested too deep"
                raise ReplyError(message)
        elif kind == "close":
            self._stack.pop()
            if not self._stack:
                message = "a reply with a closing parenthesis too many"
                raise ReplyError(message)
        elif kind == "quoted":
            self._push(_ESCAPED.sub(rb"\1", value))
        else:
            self._push(None if value.upper() == b"NIL" else value.decode("latin-1"))

    def _push(self, token: Token) -> None:
        self._count += 1
        if self._count > _MAX_TOKENS:
            message = "a reply of too many parts"
            raise ReplyError(message)
        self._stack[-1].append(token)


def status_code(text: bytes) -> tuple[str, bytes] | None:
    """Read the `[CODE argument]` of a status text; None when it begins with none."""
    match = _STATUS_CODE.match(text.lstrip())
    return (match[1].decode("ascii").upper(), match[2] or b"") if match else None


def parse_exists(reply: Reply) -> int | None:
    """Read `* n EXISTS`; None for any other reply."""
    match = _EXISTS.match(reply.texts[0])
    return int(match[1]) if match else None


def parse_status_number(reply: Reply, code: str) -> int | None:
    """Read the number of `* OK [CODE n]`; None for any other reply."""
    found = status_code(reply.texts[0][5:]) if reply.texts[0][:5].upper() == b"* OK " else None
    return int(found[1]) if found and found[0] == code and found[1].isdigit() else None


def parse_search(reply: Reply) -> list[int] | None:
    """Read `* SEARCH 2 84 882`; None for any other reply."""
    words = reply.texts[0].split()
    if len(words) < 2 or words[1].upper() != b"SEARCH":  # noqa: PLR2004  the star and the word
        return None
    return [int(word) for word in words[2:] if word.isdigit()]


def parse_fetch(reply: Reply) -> Fetched | None:
    """Read a FETCH reply; None for any other reply; raises ReplyError on one that is malformed."""
    usual = _USUAL_FETCH.fullmatch(reply.texts[0])
    if usual is not None:
        uid, size, date, flags, body, end = usual.groups()
        if (end and not reply.literals) or (body and reply.texts[1:] == (b")\r\n",)):
            return Fetched(
                uid=int(uid) if uid else None,
                size=int(size) if size else None,
                received_at=parse_internal_date(date.decode("latin-1")) if date else None,
                flags=None if flags is None else tuple(clean_text(flags.decode("latin-1")).split()),
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
    return Fetched(
        uid=_number(items.get("UID")),
        size=_number(items.get("RFC822.SIZE")),
        received_at=parse_internal_date(date.decode("latin-1")) if isinstance(date, bytes) else None,
        flags=tuple(clean_text(f) for f in flags if isinstance(f, str)) if isinstance(flags, list) else None,
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
    if not isinstance(raw_name, bytes):
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


def _number(token: Token) -> int | None:
    return int(token) if isinstance(token, str) and token.isdecimal() and len(token) < 20 else None  # noqa: PLR2004
