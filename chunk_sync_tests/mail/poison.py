"""Mail that broke parsers: every message is made here, and named after what is wrong with it."""

from __future__ import annotations

import base64

TOP = b"From: a@example.com\r\nSubject: poison\r\nMessage-ID: <p@example.com>\r\nMIME-Version: 1.0\r\n"


def nested(levels: int, inner: bytes = b"Content-Type: text/plain\r\n\r\ndeep\r\n") -> bytes:
    """Wrap a part into multiparts."""
    for level in range(levels):
        head = b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n" % level
        inner = head + b"--b%d\r\n%s\r\n--b%d--\r\n" % (level, inner, level)
    return inner


def forwarded(levels: int) -> bytes:
    """Wrap a message into messages."""
    inner = b"From: x@y\r\n\r\ninner\r\n"
    for _ in range(levels):
        inner = b"From: x@y\r\nMIME-Version: 1.0\r\nContent-Type: message/rfc822\r\n\r\n" + inner
    return inner


def multipart(*parts: bytes, boundary: bytes = b"cut", kind: bytes = b"mixed", end: bytes | None = None) -> bytes:
    """Make a multipart body with its own header fields."""
    end = b"--" + boundary + b"--\r\n" if end is None else end
    body = b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts)
    return b"Content-Type: multipart/" + kind + b"; boundary=" + boundary + b"\r\n\r\n" + body + end


POISON: dict[str, bytes] = {
    "empty": b"",
    "only line ends": b"\r\n\r\n",
    "no header": b"just a text\r\n\r\nand more of it\r\n",
    "bytes": bytes(range(256)) * 4,
    "nul in body": TOP + b"\r\na\0b\r\n",
    "nul in header": TOP.replace(b"poison", b"po\0ison") + b"\r\nx\r\n",
    "nul in base64": TOP + b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.b64encode(b"a\0b") + b"\r\n",
    "nul in encoded word": TOP.replace(b"poison", b"=?utf-8?Q?a=00b?=") + b"\r\nx\r\n",
    "nul in file name": TOP + b'Content-Type: application/x; name="a\0b"\r\nContent-Disposition: attachment\r\n\r\nx',
    "bad utf-8": TOP + b"Content-Type: text/plain; charset=utf-8\r\n\r\n\xff\xfe\xc3\x28 \xed\xa0\x80\r\n",
    "surrogates in words": TOP.replace(b"poison", b"=?utf-8?B?7aCA?= =?utf-8?Q?=ED=A0=80?=") + b"\r\nx\r\n",
    "surrogates in utf-16": TOP + b"Content-Type: text/plain; charset=utf-16\r\n\r\n\xff\xfe\x00\xd8a\x00",
    "surrogates in utf-7": TOP + b"Content-Type: text/plain; charset=utf-7\r\n\r\n+2AA- and +2AA\r\n",
    "8-bit header": "From: Müller <a@x>\r\nSubject: café\r\n\r\nx\r\n".encode("latin-1"),
    "8-bit field name": b"S\xfcbject: x\r\nFrom: a@x\r\n\r\nx\r\n",
    "unknown charset": TOP + b"Content-Type: text/plain; charset=x-none\r\n\r\n\xe9\r\n",
    "path as charset": TOP + b'Content-Type: text/plain; charset="../../etc/passwd"\r\n\r\nhi\r\n',
    "nul as charset": TOP + b'Content-Type: text/plain; charset="a\0b"\r\n\r\nhi\xff\r\n',
    "codec that is no charset": TOP + b"Content-Type: text/plain; charset=zlib\r\n\r\nhi\xff\r\n",
    "rot13 as charset": TOP + b"Content-Type: text/plain; charset=rot13\r\n\r\nhi\xff\r\n",
    "slow codec": TOP + b"Content-Type: text/plain; charset=punycode\r\n\r\n" + b"a-" * 100_000 + b"\xff",
    "escape codec": TOP + b"Content-Type: text/plain; charset=unicode_escape\r\n\r\n\\ud800\\x00\r\n",
    "broken iso-2022-jp": TOP + b"Content-Type: text/plain; charset=iso-2022-jp\r\n\r\n\x1b$B$3$\x1b(Bx\x1b$B\r\n",
    "no date": b"From: a@x\r\n\r\nx\r\n",
    "date of nonsense": TOP + b"Date: 32 Foo 99999 99:99:99 +9999\r\n\r\nx\r\n",
    "date in year 9999": TOP + b"Date: Fri, 31 Dec 9999 23:59:59 -1200\r\n\r\nx\r\n",
    "date in year 0": TOP + b"Date: Sat, 01 Jan 0000 00:00:00 +0000\r\n\r\nx\r\n",
    "date of digits": TOP + b"Date: " + b"9" * 5000 + b"\r\n\r\nx\r\n",
    "two message ids": b"Message-ID: <one@x>\r\nMessage-ID: <two@x>\r\n\r\nx\r\n",
    "id of 3 KB": b"Message-ID: <" + b"a" * 3000 + b"@x>\r\n\r\nx\r\n",
    "5000 references": TOP + b"References: " + b"\r\n ".join(b"<r%d@x>" % n for n in range(5000)) + b"\r\n\r\nx\r\n",
    "20k recipients": TOP + b"To: " + b",\r\n ".join(b"u%d@example.com" % n for n in range(20_000)) + b"\r\n\r\nx\r\n",
    "subject of 1 MB": b"Subject: " + b"\r\n ".join([b"x" * 70] * 14_000) + b"\r\n\r\nx\r\n",
    "endless encoded words": b"Subject: " + b"=?utf-8?q?" * 20_000 + b"\r\n\r\nx\r\n",
    "endless open quotes": b"From: " + b'"\\' * 50_000 + b"\r\nTo: " + b"<(" * 50_000 + b"\r\n\r\nx\r\n",
    "endless open comments": b"From: " + b"(" * 100_000 + b"\r\nDate: " + b"(" * 100_000 + b"\r\n\r\nx\r\n",
    "endless parameters": TOP + b"Content-Type: text/plain" + b"; a*0*=b" * 20_000 + b"\r\n\r\nx\r\n",
    "50 levels": TOP + nested(50),
    "200 levels": TOP + nested(200),
    "1200 levels": TOP + nested(1200),
    "300 forwards": forwarded(300),
    "20k parts": TOP + multipart(*[b"\r\nx"] * 20_000),
    "empty boundary": TOP + b'Content-Type: multipart/mixed; boundary=""\r\n\r\n--\r\n\r\nx\r\n----\r\n',
    "no boundary": TOP + b"Content-Type: multipart/mixed\r\n\r\n--z\r\n\r\nx\r\n--z--\r\n",
    "boundary of nul": TOP + b'Content-Type: multipart/mixed; boundary="\0"\r\n\r\n--\0\r\n\r\nx\r\n--\0--\r\n',
    "no closing boundary": TOP + multipart(b"\r\none", b"\r\ntwo", end=b""),
    "no part": TOP + multipart(),
    "boundary that is a prefix": TOP + multipart(multipart(b"\r\nx", boundary=b"cut2")),
    "encoded multipart": TOP + b"Content-Transfer-Encoding: base64\r\n" + multipart(b"\r\nx"),
    "bad base64": TOP + b"Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n%%%=no===A\r\n",
    "bad quoted-printable": TOP + b"Content-Transfer-Encoding: quoted-printable\r\n\r\n=ZZ=\r\n=4 =\t\r\n=",
    "8-bit quoted-printable": TOP + b"Content-Transfer-Encoding: quoted-printable\r\n\r\ncaf\xc3\xa9 =C3=A9\r\n",
    "quoted-printable attachment": (
        TOP + b"Content-Type: a/b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\na=3D\r\nb\r\n"
    ).replace(b"\r\n", b"\n"),
    "boundary used twice": TOP
    + multipart(
        multipart(b"\r\none", boundary=b"in"),
        multipart(b"\r\ntwo", boundary=b"in", end=b""),
    ),
    "unknown encoding": TOP + b"Content-Transfer-Encoding: x-magic\r\n\r\nhi\r\n",
    "uuencode": TOP + b"Content-Transfer-Encoding: x-uuencode\r\n\r\nbegin 644 a\r\n#:&D*\r\n`\r\nend\r\n",
    "broken uuencode": TOP + b"Content-Transfer-Encoding: x-uuencode\r\n\r\nbegin\r\n\xff\xff\r\n",
    "path as file name": TOP + b'Content-Type: a/b; name="../../etc/cron.d/x\x01"\r\n\r\nx\r\n',
    "bare cr": TOP.replace(b"\r\n", b"\r") + b"\rone\rtwo\r",
    "mixed line ends": TOP + b"\r\none\rtwo\nthree\r\n",
    "line of 5 MB": TOP + b"\r\n" + b"x" * 5_000_000,
    "html bomb": TOP + b"Content-Type: text/html\r\n\r\n" + b"<div>" * 100_000,
    "style bomb": TOP + b"Content-Type: text/html\r\n\r\n" + b"<style" * 100_000,
    "html of entities": TOP + b"Content-Type: text/html\r\n\r\n&#0;&#xd800;&#x110000;&nbsp;x",
    "mbox line in front": b"From a@x Mon Jan  1 00:00:00 2024\r\n" + TOP + b"\r\nx\r\n",
    "quoted mbox line in front": b">From a@x Mon Jan  1 00:00:00 2024\r\n" + TOP + b"\r\nx\r\n",
    "line without a colon": b"From: a@x\r\nThis is no field\r\nSubject: after\r\n\r\nx\r\n",
    "no blank line": b"From: a@x\r\nSubject: s\r\nand here the text begins\r\n",
    "groups and garbage": b"From: Nobody: ;\r\nTo: A:a@x,b@y;,, ;<<>>@@\r\nCc: ,,,;\r\n\r\nx\r\n",
    "content type of nonsense": TOP + b"Content-Type: ;;;===\r\n\r\nx\r\n",
    "content type twice": TOP + b"Content-Type: text/html\r\nContent-Type: text/plain\r\n\r\n<b>x</b>\r\n",
    "digest": TOP + multipart(b"\r\nFrom: in@x\r\n\r\nx", kind=b"digest"),
    "report": TOP
    + multipart(b"\r\nx", b"Content-Type: message/delivery-status\r\n\r\nA: b\r\n\r\nC: d", kind=b"report"),
}
