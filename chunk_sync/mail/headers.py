"""Header fields: from the bytes of a message to decoded, storable text. Pure, and never raises.

One implementation for both parsers, so that no header depends on which of them read the body.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass

from chunk_sync.mail.textclean import clean_text, decode_text

_FIELD = re.compile(r"^([!-9;-~]+)[ \t]*:[ \t]*([^\n]*(?:\n[ \t][^\n]*)*)\n?", re.MULTILINE)
_BLANK_LINE = re.compile(rb"\n\r?\n")
_FIRST_LINES = (b"From ", b">From ")
BLANKS = " \t\r\n\v\f"
_FOLD = re.compile(r"[\r\n]+[ \t]*")
# The encoded text of a word holds no `?`; spaces are forbidden too, but common.
_WORD = re.compile(r"=\?([^?\s*]{1,60})(?:\*[^?\s]{0,60})?\?([bBqQ])\?([^?]*)\?=")


@dataclass(frozen=True, slots=True)
class HeaderBlock:
    """The fields of a message in their order; `body` is the offset of its body.

    Values are still raw, one character a byte (Latin-1): decoding a block at once is much cheaper.
    """

    fields: tuple[tuple[str, str], ...]
    body: int
    defects: tuple[str, ...]
    by_name: dict[str, list[str]]

    def values(self, name: str) -> list[str]:
        """Find all values of a field, given in lower case."""
        return self.by_name.get(name, [])

    def first(self, name: str) -> str | None:
        """Find the first value of a field, given in lower case."""
        values = self.by_name.get(name)
        return values[0] if values else None


def split_headers(raw: bytes) -> HeaderBlock:
    """Read the header fields and find the body.

    Lines that are no fields are passed over when fields follow them; else the body begins there. A
    message without any field is all body.
    """
    start = raw.find(b"\n") + 1 if raw.startswith(_FIRST_LINES) else 0
    end, body = _block_end(raw, start)
    fields: list[tuple[str, str]] = []
    by_name: dict[str, list[str]] = {}
    junk, position = False, 0
    block = raw[start:end].decode("latin-1")
    for match in _FIELD.finditer(block):
        junk = junk or match.start() > position
        position = match.end()
        name, value = match[1], match[2]
        fields.append((name, value))
        by_name.setdefault(name.lower(), []).append(value)
    if not fields:
        return HeaderBlock((), 0, ("no-headers",), {})
    if block[position:].strip(" \t\r\n"):  # to Python far more is a blank
        return HeaderBlock(tuple(fields), start + position, ("malformed-header",), by_name)
    defects = ("malformed-header",) if junk or raw.startswith(_FIRST_LINES[1]) else ()
    return HeaderBlock(tuple(fields), body, defects, by_name)


def decode_header(value: str) -> str:
    """Decode a field's raw value: unfolded, encoded words read, storable; what is too long is cut."""
    text = unfold(value)
    return clean_text(decode_words(text)) if "=?" in text else text


def unfold(value: str, limit: int = 1 << 16) -> str:
    """Make one line of a raw value without reading its encoded words; storable, cut at `limit` bytes."""
    if len(value) > limit:
        value = value[:limit]
    value = value.strip(BLANKS)
    if not value.isascii():
        value = decode_text(value.encode("latin-1"), None)[0]
    elif "\0" in value:
        value = clean_text(value)
    return _FOLD.sub(" ", value) if "\n" in value or "\r" in value else value


def decode_words(text: str) -> str:
    """Decode RFC 2047 words; those that cannot be decoded stay as they are.

    Bytes of neighbouring words in one charset are joined first: many programs cut characters in half.
    """
    parts: list[str] = []
    pending, pending_charset = b"", ""
    position = 0
    for match in _WORD.finditer(text):
        gap, charset, data = text[position : match.start()], match[1].lower(), _word_bytes(match[2], match[3])
        if data is None:
            continue
        follows = bool(pending_charset) and not gap.strip()
        if not (follows and charset == pending_charset):
            parts.append(_flush(pending, pending_charset))
            parts.append("" if follows else gap)
            pending, pending_charset = b"", charset
        pending += data
        position = match.end()
    parts.append(_flush(pending, pending_charset))
    parts.append(text[position:])
    return "".join(parts)


def _block_end(raw: bytes, start: int) -> tuple[int, int]:
    """Find where the header block ends and the body begins; without a blank line both are the end."""
    if raw[start : start + 1] == b"\n" or raw[start : start + 2] == b"\r\n":
        return start, raw.find(b"\n", start) + 1
    blank = _BLANK_LINE.search(raw, start)
    return (blank.start() + 1, blank.end()) if blank else (len(raw), len(raw))


def _word_bytes(encoding: str, text: str) -> bytes | None:
    try:
        if encoding in "qQ":
            return binascii.a2b_qp(text.encode("ascii"), header=True)
        packed = text.rstrip("=").encode("ascii")
        return binascii.a2b_base64(packed + b"=" * (-len(packed) % 4))
    except (binascii.Error, UnicodeEncodeError):
        return None


def _flush(data: bytes, charset: str) -> str:
    return decode_text(data, charset)[0] if charset else ""
