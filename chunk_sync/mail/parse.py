"""Parse mail: bytes in, values that PostgreSQL takes out. It never raises, whatever the bytes are.

fast-mail-parser reads the parts of ordinary messages, the stdlib's `email` those of all others; header
fields, charsets and limits are ours for both, so which of them answered does not show. What cannot be
read is flagged and keeps the header fields that could be; the raw message is stored in any case.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from chunk_sync.mail.dates import parse_date
from chunk_sync.mail.header_values import Address, parse_addresses, parse_ids, shorten_references
from chunk_sync.mail.headers import HeaderBlock, decode_header, split_headers, unfold
from chunk_sync.mail.parse_fallback import fallback_structure
from chunk_sync.mail.parse_fast import fast_structure
from chunk_sync.mail.snippet import make_snippet
from chunk_sync.mail.structure import Leaf, ParseLimits, Structure
from chunk_sync.mail.textclean import clean_text, decode_text, fold_whitespace

__all__ = ["Address", "Attachment", "ParseLimits", "ParsedMessage", "parse_many", "parse_message", "part_content"]

ParseStatus = Literal["ok", "defective", "unparsable"]

_DEFAULT_LIMITS = ParseLimits()
_LONGEST_SUBJECT = 4_000
_LONGEST_FILENAME = 255
_LONGEST_TYPE = 255
_LONGEST_CONTENT_ID = 500
_MOST_DEFECTS = 20


@dataclass(frozen=True, slots=True)
class Attachment:
    """A part that is no body: `part` is its path (`2.1`, as in IMAP), `size` and `sha256` of the decoded content."""

    part: str
    filename: str | None
    content_type: str
    size: int
    sha256: bytes
    content_id: str | None
    inline: bool


@dataclass(frozen=True, slots=True)
class ParsedMessage:
    """A message as far as it could be read; ids without angle brackets, times aware and in UTC.

    `status` is "defective" when something was repaired, cut or guessed (`defects` says what), and
    "unparsable" when it has no header fields or its parts could not be told apart.
    """

    message_id: str | None
    in_reply_to: str | None
    references: tuple[str, ...]
    subject: str
    from_: Address | None
    to: tuple[Address, ...]
    cc: tuple[Address, ...]
    bcc: tuple[Address, ...]
    sent_at: datetime | None
    headers: tuple[tuple[str, str], ...]
    body_text: str | None
    body_html: str | None
    snippet: str
    attachments: tuple[Attachment, ...]
    status: ParseStatus
    defects: tuple[str, ...]


def parse_many(raws: Iterable[bytes], *, limits: ParseLimits = _DEFAULT_LIMITS) -> list[ParsedMessage]:
    """Parse a chunk's messages, in order."""
    return [parse_message(raw, limits=limits) for raw in raws]


def parse_message(raw: bytes, *, limits: ParseLimits = _DEFAULT_LIMITS) -> ParsedMessage:
    """Parse one message."""
    head, structure, defects = _read(raw, limits)
    return assemble(head, structure, limits, defects)


def part_content(raw: bytes, part: str, *, limits: ParseLimits = _DEFAULT_LIMITS) -> bytes | None:
    """Give the decoded content of an attachment by its `part`; None when the message has no such part."""
    _, structure, _ = _read(raw, limits)
    return next((leaf.content for leaf in structure.leaves if leaf.path == part), None)


def _read(raw: bytes, limits: ParseLimits) -> tuple[HeaderBlock, Structure, list[str]]:
    defects: list[str] = []
    if b"\n" not in raw and b"\r" in raw:
        raw = raw.replace(b"\r", b"\n")  # line ends of another age
        defects.append("bare-cr")
    head = split_headers(raw)
    structure = None if defects else fast_structure(raw, head, limits)
    if structure is None:
        structure = fallback_structure(raw, head, limits)
    return head, structure, defects


def assemble(
    head: HeaderBlock, structure: Structure, limits: ParseLimits, defects: Iterable[str] = ()
) -> ParsedMessage:
    """Make a message of its fields and its parts, whichever parser found them."""
    return _Assembly(head, structure, limits, [*defects, *head.defects, *structure.defects]).finish()


class _Assembly:
    """One message on its way from fields and parts to a ParsedMessage."""

    def __init__(self, head: HeaderBlock, structure: Structure, limits: ParseLimits, defects: list[str]) -> None:
        self._head = head
        self._structure = structure
        self._limits = limits
        self._defects = defects

    def finish(self) -> ParsedMessage:
        references = self._ids("references")
        reply_to = self._ids("in-reply-to")
        text, markup = self._body("text/plain"), self._body("text/html")
        senders = self._addresses("from")
        return ParsedMessage(
            message_id=self._message_id(),
            in_reply_to=reply_to[0] if reply_to else None,
            references=shorten_references(references, self._limits.references),
            subject=self._text("subject")[:_LONGEST_SUBJECT],
            from_=senders[0] if senders else None,
            to=self._addresses("to"),
            cc=self._addresses("cc"),
            bcc=self._addresses("bcc"),
            sent_at=self._sent_at(),
            headers=self._headers(),
            body_text=text,
            body_html=markup,
            snippet=make_snippet(text, markup),
            attachments=tuple(_attachment(leaf) for leaf in self._structure.leaves if not leaf.is_body),
            status=self._status(),
            defects=tuple(dict.fromkeys(self._defects))[:_MOST_DEFECTS],
        )

    def _status(self) -> ParseStatus:
        if not self._head.fields or not self._structure.readable:
            return "unparsable"
        return "defective" if self._defects else "ok"

    def _text(self, name: str) -> str:
        value = self._head.first(name)
        return decode_header(value) if value is not None else ""

    def _ids(self, name: str) -> list[str]:
        values = self._head.values(name)
        return parse_ids(" ".join(map(unfold, values))) if values else []

    def _message_id(self) -> str | None:
        values = self._head.values("message-id")
        if len(values) > 1:
            self._defects.append("several-message-ids")
        ids = parse_ids(unfold(values[0])) if values else []
        return ids[0] if ids else None

    def _sent_at(self) -> datetime | None:
        text = self._text("date")
        sent_at = parse_date(text) if text else None
        if text and sent_at is None:
            self._defects.append("bad-date")
        return sent_at

    def _addresses(self, name: str) -> tuple[Address, ...]:
        values = self._head.values(name)
        if not values:
            return ()
        most = self._limits.recipients
        found = parse_addresses(", ".join(unfold(value, self._limits.headers) for value in values), most + 1)
        if len(found) > most:
            self._defects.append("too-many-recipients")
        return found[:most]

    def _headers(self) -> tuple[tuple[str, str], ...]:
        kept: list[tuple[str, str]] = []
        room = self._limits.headers
        for name, value in self._head.fields:
            room -= len(name) + len(value)
            if room < 0:
                self._defects.append("headers-cut")
                break
            kept.append((name, decode_header(value)))
        return tuple(kept)

    def _body(self, content_type: str) -> str | None:
        """Join the readable parts of one type, lines ending in LF; None when there are none."""
        leaves = [leaf for leaf in self._structure.leaves if leaf.is_body and leaf.content_type == content_type]
        room = self._limits.text
        texts: list[str] = []
        for leaf in leaves:
            text, fitted = decode_text(leaf.content, leaf.charset, room + 1)
            if not fitted:
                self._defects.append("charset")
            text = text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text
            # Whether the line end before a boundary belongs to a part is read differently: it tells nothing.
            texts.append(text.rstrip("\n"))
            room -= len(text)
            if room < 0:
                self._defects.append("text-cut")
                break
        return "\n".join(texts)[: self._limits.text] if leaves else None


def _attachment(leaf: Leaf) -> Attachment:
    return Attachment(
        part=leaf.path,
        filename=_file_name(leaf.filename),
        content_type=_one_line(leaf.content_type, _LONGEST_TYPE),
        size=len(leaf.content),
        sha256=hashlib.sha256(leaf.content).digest(),
        content_id=_one_line(leaf.content_id, _LONGEST_CONTENT_ID) or None if leaf.content_id else None,
        inline=leaf.disposition == "inline" or (leaf.content_id is not None and leaf.disposition != "attachment"),
    )


def _one_line(text: str, longest: int) -> str:
    return fold_whitespace(clean_text(text))[:longest].rstrip()


def _file_name(name: str | None) -> str | None:
    """Keep the last component without control characters: a name, never a path."""
    if not name:
        return None
    last = clean_text(name).replace("\\", "/").rpartition("/")[2]
    shown = "".join(letter for letter in last if letter.isprintable()).strip()
    return shown[:_LONGEST_FILENAME] or None
