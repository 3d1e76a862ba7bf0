"""MIME parts: plain text in many charsets, HTML, and multiparts of them. Bodies use CRLF."""

from __future__ import annotations

import base64
import quopri
from collections.abc import Sequence
from functools import cache
from random import Random
from typing import NamedTuple

from chunk_sync.demo import words

BASE64_LINE = 57  # raw bytes that one encoded line of 76 characters carries


class Part(NamedTuple):
    """A MIME part: its header lines (without CRLF) and its encoded body."""

    lines: tuple[str, ...]
    body: bytes

    def rendered(self) -> bytes:
        """Join header lines, blank line and body."""
        return "\r\n".join(self.lines).encode() + b"\r\n\r\n" + self.body


def base64_lines(raw: bytes) -> bytes:
    """Encode as base64 in lines of 76 characters, without a last CRLF."""
    encoded = base64.b64encode(raw)
    return b"\r\n".join(encoded[at : at + 76] for at in range(0, len(encoded), 76))


def quoted_printable(raw: bytes) -> bytes:
    """Encode as quoted-printable; line ends come out as CRLF."""
    return quopri.encodestring(raw.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")


def text_part(rng: Random, size: int, *, signature: str, reply: bool = False) -> Part:
    """Make plain text of about `size` bytes: mostly ASCII prose, else a phrase in some charset."""
    if rng.random() < 0.8:
        body = _prose(rng, size, reply=reply) + f"\r\n-- \r\n{signature}\r\n".encode("ascii", "replace")
        return Part(("Content-Type: text/plain; charset=us-ascii", "Content-Transfer-Encoding: 7bit"), body)
    charset, phrase = rng.choice(words.PHRASES)
    body = words.encode((phrase + "\r\n") * max(1, size // len(phrase)), charset)
    kind = rng.random()
    if kind < 0.4:
        return _text(charset, "8bit", body)
    if kind < 0.7:
        return _text(f'"{charset}"', "base64", base64_lines(body))
    return _text(charset, "quoted-printable", quoted_printable(body))


def _text(charset: str, encoding: str, body: bytes) -> Part:
    return Part((f"Content-Type: text/plain; charset={charset}", f"Content-Transfer-Encoding: {encoding}"), body)


def _prose(rng: Random, size: int, *, reply: bool) -> bytes:
    plain, quoted = words.paragraphs(), words.quoted_paragraphs()
    blocks = ["Hello,\r\n"]
    length = 0
    while length < size:
        pool = quoted if reply and rng.random() < 0.5 else plain
        block = pool[int(rng.random() * len(pool))]
        blocks.append(block)
        length += len(block) + 2
    return "\r\n".join(blocks).encode()


def html_part(rng: Random, size: int, *, images: Sequence[str] = ()) -> Part:
    """Make an HTML part of about `size` bytes before encoding; `images` are content ids to show."""
    rows = [_ROW_IMAGE.format(cid=cid) for cid in images]
    shared = _rows()
    length = 0
    while length < size:
        row = shared[int(rng.random() * len(shared))].replace("{token}", f"{rng.getrandbits(192):048x}")
        rows.append(row)
        length += len(row)
    raw = (_HTML_HEAD + "".join(rows) + "</body></html>\n").encode()
    if rng.random() < 0.75:
        encoding, body = "quoted-printable", quoted_printable(raw)
    else:
        encoding, body = "base64", base64_lines(raw)
    return Part(("Content-Type: text/html; charset=utf-8", f"Content-Transfer-Encoding: {encoding}"), body)


_HTML_HEAD = "<!DOCTYPE html><html><head><style>.a{color:#333;font-family:Arial,sans-serif}</style></head><body>\n"
_ROW_IMAGE = '<p><img src="cid:{cid}" alt="logo" width="120"></p>\n'
_ROW = (
    '<table width="100%" cellpadding="0" cellspacing="0" style="border-collapse:collapse"><tr>'
    '<td class="a" style="padding:12px 24px;font-size:14px">'
    '<a href="https://click.example.com/c/{{token}}">{title}</a>'
    '<p style="margin:0">{text} — résumé &amp; more</p></td></tr></table>\n'
)


@cache
def _rows() -> tuple[str, ...]:
    rng = Random("chunk_sync demo html")
    pool = words.sentences()
    return tuple(
        _ROW.format(title=rng.choice(pool), text=" ".join(rng.choice(pool) for _ in range(rng.randrange(1, 6))))
        for _ in range(500)
    )


def multipart(rng: Random, subtype: str, parts: Sequence[Part]) -> Part:
    """Wrap parts in a multipart with a fresh boundary, with or without a preamble."""
    boundary = f"----=_Part_{rng.getrandbits(64):016x}"
    separator = b"--" + boundary.encode()
    preamble = b"This is a multi-part message in MIME format.\r\n" if rng.random() < 0.4 else b""
    body = b"".join(separator + b"\r\n" + part.rendered() + b"\r\n" for part in parts)
    return Part(
        (f'Content-Type: multipart/{subtype};\r\n\tboundary="{boundary}"',),
        preamble + body + separator + b"--\r\n",
    )
