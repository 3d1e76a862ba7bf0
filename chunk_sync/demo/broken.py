"""Broken mail: the nine ways in which about one message in fifty of a real mailbox is wrong."""

from __future__ import annotations

from collections.abc import Callable

Breaker = Callable[[bytes], bytes]


def _no_message_id(raw: bytes) -> bytes:
    return raw.replace(b"Message-ID:", b"X-No-MID:", 1)


def _no_date(raw: bytes) -> bytes:
    return raw.replace(b"\r\nDate:", b"\r\nX-No-Date:", 1)


def _truncated(raw: bytes) -> bytes:
    return raw[: len(raw) * 4 // 5]


def _raw_8bit_subject(raw: bytes) -> bytes:
    return raw.replace(b"Subject: ", b"Subject: \xe4\xf6\xfc \xc0\xff raw8bit ", 1)


def _bad_charset(raw: bytes) -> bytes:
    wrong = raw.replace(b"charset=utf-8", b"charset=utf-8bogus")
    return wrong.replace(b"charset=us-ascii", b'charset="us-ascii', 1)


def _nul_tail(raw: bytes) -> bytes:
    return raw + b"\x00\x00NUL\x00 tail"


def _unknown_encoding(raw: bytes) -> bytes:
    return raw.replace(b"base64", b"x-uuencode", 1).replace(b"quoted-printable", b"8-bit", 1)


def _bad_date(raw: bytes) -> bytes:
    return raw.replace(b"\r\nDate: ", b"\r\nDate: Foo, 99 Bar 20xx 25:61:61 ", 1)


def _mbox_line(raw: bytes) -> bytes:
    return b">From nobody Mon Jan  1\r\n" + raw


BREAKERS: tuple[Breaker, ...] = (
    _no_message_id,
    _no_date,
    _truncated,
    _raw_8bit_subject,
    _bad_charset,
    _nul_tail,
    _unknown_encoding,
    _bad_date,
    _mbox_line,
)
