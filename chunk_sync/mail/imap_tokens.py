"""IMAP replies as tokens: text, strings, literals, lists. Pure, and it never recurses.

A reply is text with literals between (`* 4 FETCH (UID 9 BODY[] {120}` + 120 bytes + `)`). Whatever does
not fit the grammar raises `ReplyError`: half-understood replies are how wrong literal sizes corrupt mail.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple


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


_TOKEN = re.compile(
    rb'[ ]*(?:(?P<open>\()|(?P<close>\))|"(?P<quoted>(?:[^"\\\r\n]|\\.)*)"'
    # Brackets may hold blanks: BODY[HEADER.FIELDS (TO CC)].
    rb"|(?P<atom>(?:[^\s()\"\[{]+|\[[^\]\r\n]*\]|\[)+)|(?P<end>\r?\n|$))"
)
_ESCAPED = re.compile(rb"\\(.)")
_MAX_DEPTH = 32
_MAX_TOKENS = 100_000


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
