"""Attachments: files of plausible size, and logos that come again and again.

All of them are cut from a few megabytes of shared, already encoded noise, so that a gigabyte of mail
is made at the speed of joining bytes.
"""

from __future__ import annotations

import base64
from functools import cache
from random import Random
from urllib.parse import quote

from chunk_sync.demo import words
from chunk_sync.demo.parts import BASE64_LINE, Part, base64_lines
from chunk_sync.demo.people import encoded_word
from chunk_sync.demo.profiles import Profile, SizeModel

_ENCODED_LINE = 78  # 76 characters and CRLF
_NOISE_LINES = 150_000  # 8.5 MB: only the largest files of `real` come round to where they began
_TEXT_LINES = 10_000
_LOGOS = 40
# name, content type, first bytes; the last three are text and compress well, the others do not at all
_BINARY = (
    ("report.pdf", "application/pdf", b"%PDF-1.7\n"),
    ("photo.jpg", "image/jpeg", b"\xff\xd8\xff\xe0\x00\x10JFIF\x00"),
    ("data.zip", "application/zip", b"PK\x03\x04"),
    (
        "slides.pptx",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        b"PK\x03\x04",
    ),
)
_TEXTUAL = (
    ("export.csv", "text/csv", b"number,name,amount\n"),
    ("log.txt", "text/plain", b""),
    ("invite.ics", "text/calendar", b"BEGIN:VCALENDAR\r\n"),
)


def attachment(rng: Random, profile: Profile) -> Part:
    """Make one attachment; its file name is plain, RFC 2231 (whole or split) or an encoded word."""
    textual = rng.random() < 0.3
    name, content_type, magic = rng.choice(_TEXTUAL if textual else _BINARY)
    name = f"{rng.randrange(10**6)}-{name}"
    body = _cut(rng, magic, profile.attachment.draw(rng), _text_noise() if textual else _noise())
    lines = (
        f'Content-Type: {content_type}; name="{name}"',
        f"Content-Disposition: attachment;\r\n {_file_name(rng, name)}",
        "Content-Transfer-Encoding: base64",
    )
    return Part(lines, body)


def logo(rng: Random, profile: Profile, number: int) -> tuple[str, Part]:
    """Pick one of the few logos; returns its content id, fresh in each message, and the inline part."""
    which = rng.randrange(_LOGOS)
    content_id = f"logo{which}.{rng.getrandbits(48):012x}.{number}@corp.example"
    lines = (
        f'Content-Type: image/png; name="image{which:03d}.png"',
        f'Content-Disposition: inline; filename="image{which:03d}.png"',
        "Content-Transfer-Encoding: base64",
        f"Content-ID: <{content_id}>",
    )
    return content_id, Part(lines, _logo_bodies(profile.logo)[which])


def _file_name(rng: Random, name: str) -> str:
    kind = rng.random()
    if kind < 0.7:
        return f'filename="{name}"'
    if kind < 0.8:
        return "filename*=utf-8''" + quote("✓ " + name)
    if kind < 0.87:
        return f"filename*0*=utf-8''{quote('звіт ')};\r\n filename*1*={quote('за рік ')};\r\n filename*2=\"{name}\""
    if kind < 0.9:
        return f"filename*=iso-8859-1'de'{quote('Prüfung ', encoding='latin-1')}{name}"
    return f'filename="{encoded_word("звіт-" + name, "utf-8")}"'


def _cut(rng: Random, magic: bytes, size: int, pool: bytes) -> bytes:
    """Cut a base64 body of `size` raw bytes: own first line, shared lines, own odd tail."""
    head = (magic + rng.randbytes(BASE64_LINE))[:BASE64_LINE]
    lines = max(0, size // BASE64_LINE - 1)
    pool_lines = len(pool) // _ENCODED_LINE
    at = rng.randrange(pool_lines)
    chunks = [base64.b64encode(head), b"\r\n"]
    while lines > 0:
        taken = min(lines, pool_lines - at)
        chunks.append(pool[at * _ENCODED_LINE : (at + taken) * _ENCODED_LINE])
        lines -= taken
        at = 0
    chunks.append(base64.b64encode(rng.randbytes(1 + size % BASE64_LINE)))
    return b"".join(chunks)


@cache
def _noise() -> bytes:
    return base64_lines(Random("chunk_sync demo noise").randbytes(BASE64_LINE * _NOISE_LINES)) + b"\r\n"


@cache
def _text_noise() -> bytes:
    rng = Random("chunk_sync demo rows")
    texts = words.sentences()
    rows: list[str] = []
    length = 0
    while length < BASE64_LINE * _TEXT_LINES:
        row = f"{rng.randrange(10**6)},{rng.choice(texts)},{rng.randrange(10**5) / 100:.2f}\n"
        rows.append(row)
        length += len(row)
    return base64_lines("".join(rows).encode()[: BASE64_LINE * _TEXT_LINES]) + b"\r\n"


@cache
def _logo_bodies(sizes: SizeModel) -> tuple[bytes, ...]:
    rng = Random("chunk_sync demo logos")
    return tuple(_cut(rng, b"\x89PNG\r\n\x1a\n", sizes.draw(rng), _noise()) for _ in range(_LOGOS))
