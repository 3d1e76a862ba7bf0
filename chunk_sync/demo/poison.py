"""Poison: one message for each way in which mail breaks software. For tests, not for the demo mailbox.

Every message carries, as far as its fault allows it, a subject with its own name.
"""

from __future__ import annotations

import base64
from random import Random

from chunk_sync.demo.parts import base64_lines

DEFAULT_SCALE = 0.02
_TOP = (
    "From: a@example.com\r\nTo: b@example.org\r\nSubject: {name}\r\nMessage-ID: <poison-{name}@example.com>\r\n"
    "Date: Tue, 14 Nov 2023 22:13:20 +0000\r\nMIME-Version: 1.0\r\n"
)


def poison_messages(scale: float = DEFAULT_SCALE) -> list[tuple[str, bytes]]:
    """Make the adversarial set as (unique name, raw message).

    At `scale` 1 the largest message has 50 MB, the longest line 5 MB and the largest multipart 20,000
    parts; smaller scales shrink only those extremes. Nesting depths are always the full ones.
    """
    return [
        *_bytes_and_charsets(),
        *_dates_and_ids(),
        *_references(scale),
        *_structure(scale),
        *_encodings(),
        *_names(),
        *_addresses(scale),
        *_lines(scale),
        *_giants(scale),
    ]


def _with_top(name: str, rest: bytes) -> tuple[str, bytes]:
    return name, _TOP.format(name=name).encode() + rest


def _scaled(size: int, scale: float) -> int:
    return max(1, int(size * scale))


def _bytes_and_charsets() -> list[tuple[str, bytes]]:
    plain = b"Content-Type: text/plain; charset="
    in_base64 = b"\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    utf16 = base64.b64encode("hé\0llo".encode("utf-16-le"))
    return [
        _with_top("nul_body", plain + b"utf-8\r\n\r\nab\x00cd\r\n"),
        ("nul_header", b"From: a@x\r\nSubject: nu\x00l\r\nMessage-ID: <nulh@x>\r\n\r\nx\r\n"),
        _with_top("nul_base64_text", plain + b"utf-8" + in_base64 + base64.b64encode(b"a\x00b\x00c") + b"\r\n"),
        _with_top(
            "bad_utf8",
            plain + b"utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xff\xfe\xc3\x28 \xed\xa0\x80\r\n",
        ),
        (
            "lone_surrogate",
            b"From: a@x\r\nSubject: =?utf-8?B?7aCA?= =?utf-8?Q?=ED=A0=80?=\r\nMessage-ID: <p5@x>\r\n\r\nx\r\n",
        ),
        (
            "raw_8bit_header",
            'From: "Müller" <a@x>\r\nSubject: äö café\r\nMessage-ID: <p6@x>\r\n\r\nx\r\n'.encode("latin-1"),
        ),
        _with_top("unknown_charset", plain + b"x-does-not-exist\r\n\r\nhi\r\n"),
        _with_top("charset_injection", plain + b'"../../etc/passwd"\r\n\r\nhi\r\n'),
        _with_top("iso2022jp_broken", plain + b"iso-2022-jp\r\n\r\n\x1b$B$3$\x1b(Bx\x1b$B\r\n"),
        _with_top("utf7", plain + b"utf-7\r\n\r\n+ADw-script+AD4-\r\n"),
        _with_top("utf16_without_bom", plain + b"utf-16" + in_base64 + utf16 + b"\r\n"),
    ]


def _dates_and_ids() -> list[tuple[str, bytes]]:
    dated = b"Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n"
    return [
        ("missing_date", b"From: a@x\r\nSubject: nodate\r\nMessage-ID: <p9@x>\r\n\r\nx\r\n"),
        ("bad_date", b"From: a@x\r\nDate: 32 Foo 99999 99:99:99 +9999\r\nMessage-ID: <p10@x>\r\n\r\nx\r\n"),
        (
            "year_9999",
            b"From: a@x\r\nDate: Fri, 31 Dec 9999 23:59:59 -1200\r\nMessage-ID: <p11@x>\r\n\r\nx\r\n",
        ),
        (
            "year_0000",
            b"From: a@x\r\nDate: Sat, 01 Jan 0000 00:00:00 +0000\r\nMessage-ID: <p12@x>\r\n\r\nx\r\n",
        ),
        ("no_message_id", b"From: a@x\r\nSubject: nomid\r\n" + dated + b"\r\nx\r\n"),
        ("same_id_one", b"From: a@x\r\nSubject: first\r\nMessage-ID: <dup@x>\r\n" + dated + b"\r\nA\r\n"),
        ("same_id_two", b"From: b@x\r\nSubject: second\r\nMessage-ID: <dup@x>\r\n" + dated + b"\r\nB\r\n"),
        ("two_message_ids", b"From: b@x\r\nMessage-ID: <one@x>\r\nMessage-ID: <two@x>\r\n\r\nB\r\n"),
        ("id_with_spaces", b"From: b@x\r\nMessage-ID: < spaced id @x >\r\n\r\nB\r\n"),
        ("id_of_3000", b"From: b@x\r\nMessage-ID: <" + b"a" * 3000 + b"@x>\r\n\r\nB\r\n"),
    ]


def _references(scale: float) -> list[tuple[str, bytes]]:
    many = b"\r\n ".join(b"<r%d@example.com>" % number for number in range(_scaled(5000, scale)))
    return [
        ("references_many", b"From: b@x\r\nReferences: " + many + b"\r\nMessage-ID: <refs@x>\r\n\r\nB\r\n"),
        ("reference_loop_one", b"From: b@x\r\nReferences: <loopb@x>\r\nMessage-ID: <loopa@x>\r\n\r\nB\r\n"),
        ("reference_loop_two", b"From: b@x\r\nReferences: <loopa@x>\r\nMessage-ID: <loopb@x>\r\n\r\nB\r\n"),
        (
            "reference_to_self",
            b"From: b@x\r\nReferences: <self@x>\r\nIn-Reply-To: <self@x>\r\nMessage-ID: <self@x>\r\n\r\nB\r\n",
        ),
    ]


def _structure(scale: float) -> list[tuple[str, bytes]]:
    mixed = b"Content-Type: multipart/mixed; boundary="
    letters = b"From: x@y\r\n\r\ninner\r\n"
    for _ in range(300):
        letters = b"From: x@y\r\nMIME-Version: 1.0\r\nContent-Type: message/rfc822\r\n\r\n" + letters
    return [
        *(_with_top(f"nest_{depth}", _nested(depth)) for depth in (50, 200, 1200)),
        ("rfc822_nest_300", letters),
        _with_top("parts_many", mixed + b"z\r\n\r\n" + b"--z\r\n\r\nx\r\n" * _scaled(20_000, scale) + b"--z--\r\n"),
        _with_top("empty_boundary", mixed + b'""\r\n\r\n--\r\n\r\nx\r\n----\r\n'),
        _with_top("missing_boundary", b"Content-Type: multipart/mixed\r\n\r\n--z\r\n\r\nx\r\n--z--\r\n"),
        _with_top(
            "boundary_prefix",
            mixed + b"b\r\n\r\n--b\r\n" + mixed + b"bb\r\n\r\n--bb\r\n\r\nx\r\n--bb--\r\n--b--\r\n",
        ),
        ("no_headers", b"just a body without any header\r\n"),
        ("empty", b""),
        ("only_crlf", b"\r\n"),
        ("header_without_colon", b"From: a@x\r\nThis line has no colon\r\nSubject: after\r\n\r\nx\r\n"),
    ]


def _nested(depth: int) -> bytes:
    body = b"Content-Type: text/plain\r\n\r\ndeep\r\n"
    for level in range(depth):
        top = b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (level, level)
        body = top + body + b"\r\n--b%d--\r\n" % level
    return body


def _encodings() -> list[tuple[str, bytes]]:
    pdf = b"Content-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    return [
        _with_top("bad_base64", pdf + b"%%%=notbase64===A\r\n"),
        _with_top("unknown_encoding", b"Content-Transfer-Encoding: x-magic\r\n\r\nhi\r\n"),
        _with_top(
            "encoded_multipart",
            b"Content-Type: multipart/mixed; boundary=q\r\nContent-Transfer-Encoding: base64\r\n\r\n"
            b"--q\r\n\r\nx\r\n--q--\r\n",
        ),
        _with_top("uuencode", b"\r\nbegin 644 a.txt\r\n#:&D*\r\n`\r\nend\r\n"),
        _with_top(
            "tnef",
            b"Content-Type: application/ms-tnef; name=winmail.dat\r\nContent-Transfer-Encoding: base64\r\n\r\n"
            b"eJ8+IgAAAAA=\r\n",
        ),
    ]


def _names() -> list[tuple[str, bytes]]:
    binary = b"Content-Type: application/octet-stream"
    return [
        _with_top(
            "path_filename",
            binary + b'; name="../../../../etc/cron.d/x"\r\n'
            b'Content-Disposition: attachment; filename="..\\..\\x\x01\x07.exe"\r\n\r\nx\r\n',
        ),
        _with_top(
            "filename_of_4000",
            binary + b'\r\nContent-Disposition: attachment; filename="' + b"\xc3\xa9" * 2000 + b'.txt"\r\n\r\nx\r\n',
        ),
        _with_top(
            "rfc2231_split",
            b"Content-Type: application/x; name*0*=utf-8''%E2%82%AC; name*1=abc; name*2*=%E2%82\r\n\r\nx\r\n",
        ),
        _with_top(
            "filename_reversed",
            b'Content-Type: text/plain; name="=?UTF-8?B?4oCucnR4LmV4ZQ==?="\r\n'
            b"Content-Disposition: attachment\r\n\r\nx\r\n",
        ),
    ]


def _addresses(scale: float) -> list[tuple[str, bytes]]:
    many = b",\r\n ".join(b"u%d@example.com" % number for number in range(_scaled(20_000, scale)))
    return [
        (
            "group_address",
            (
                b"From: Undisclosed: ;\r\nTo: A Group:a@x,b@y;\r\nSubject: =?x-bad?B?!!!?=\r\n"
                b"Message-ID: <grp@x>\r\n\r\nx\r\n"
            ),
        ),
        (
            "garbage_address",
            b'From: <<<>>>@@ "unclosed\r\nTo: ,,,;\r\nSubject: =?utf-8?Q?=zz?=\r\nMessage-ID: <grb@x>\r\n\r\nx\r\n',
        ),
        ("receivers_many", b"From: b@x\r\nTo: " + many + b"\r\nMessage-ID: <to@x>\r\n\r\nB\r\n"),
    ]


def _lines(scale: float) -> list[tuple[str, bytes]]:
    _, bare_lf = _with_top("bare_lf", b"\r\nline1\r\nline2\r\n")
    _, plain = _with_top("mbox_line", b"\r\nx\r\n")
    return [
        _with_top("bare_cr", b"\r\nline1\rline2\rline3\r\n"),
        ("bare_lf", bare_lf.replace(b"\r\n", b"\n")),
        ("mbox_line", b"From nobody@x Mon Jan  1 00:00:00 2024\r\n" + plain),
        _with_top("line_long", b"\r\n" + b"x" * _scaled(5_000_000, scale) + b"\r\n"),
    ]


def _giants(scale: float) -> list[tuple[str, bytes]]:
    subject = b"\r\n ".join([b"x" * 70] * _scaled(14_000, scale))
    noise = base64_lines(Random("chunk_sync poison").randbytes(_scaled(37_000_000, scale)))
    archive = b"Content-Type: application/zip; name=h.zip\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    return [
        ("subject_huge", b"From: b@x\r\nSubject: " + subject + b"\r\nMessage-ID: <sub@x>\r\n\r\nB\r\n"),
        _with_top("html_bomb", b"Content-Type: text/html\r\n\r\n" + b"<div>" * _scaled(100_000, scale)),
        _with_top("message_huge", archive + noise + b"\r\n"),
    ]
