"""Fuzz the parser of mail: `python -m chunk_sync_tests.fuzz.parser [seconds]`, see `harness`."""

from __future__ import annotations

from chunk_sync_tests.fuzz.harness import Target, main

MODULE = "chunk_sync_tests.fuzz.parser"
PACKAGES = ["chunk_sync.mail"]

# The dictionary: what mail is made of.
WORDS = [
    *[b"From: ", b"To: ", b"Cc: ", b"Subject: ", b"Date: ", b"Message-ID: ", b"References: ", b"In-Reply-To: "],
    *[b"Content-Type: ", b"Content-Disposition: ", b"Content-Transfer-Encoding: ", b"Content-ID: ", b"MIME-Version: "],
    *[b"multipart/mixed; boundary=b", b"multipart/digest", b"multipart/alternative", b"message/rfc822", b"text/html"],
    *[b"text/plain; charset=", b"application/x; name=", b"attachment; filename=", b"inline", b"filename*0*=utf-8''"],
    *[b"utf-8", b"utf-16", b"utf-7", b"utf-32", b"iso-2022-jp", b"hz", b"gb18030", b"big5hkscs", b"euc_jis_2004"],
    *[b"idna", b"punycode", b"unicode_escape", b"cp037", b"iso-8859-1", b"us-ascii", b"cp932", b"utf_8_sig", b"zlib"],
    *[b"base64", b"quoted-printable", b"x-uuencode", b"8bit", b"begin 644 a\r\n", b"\r\nend\r\n"],
    *[b"\r\n", b"\n\r", b"\r\n\r\n", b"\r\n ", b"\n\n", b"\r\n--b\r\n", b"\r\n--b--\r\n", b"=?utf-8?B?", b"=?utf-8?Q?"],
    *[b"?=", b"=?utf-7?Q?", b"=00", b"=\r\n", b"%00", b"%FF", b"\xed\xa0\x80", b"\xff\xfe", b"\xc3\xa9", b"+2AA-"],
    *[b"Tue, 14 Nov 2023 23:13:20 +0100", b"-9999", b"<a@b>", b'"a" <a@b>', b"(a)", b"A: a@b;", b"From ", b">From "],
    *[b"<style>", b"</style>", b"<!--", b"-->", b"&#0;", b"&#xd800;", b"&nbsp;", b"\xe2\x80\xae", b"\x1b$B", b"~{"],
]


def load() -> Target:
    """Make the target."""
    from chunk_sync.demo.poison import poison_messages
    from chunk_sync.mail.parse import ParseLimits, parse_message
    from chunk_sync_tests.fuzz.storable import check_message
    from chunk_sync_tests.mail.poison import POISON

    usual = ParseLimits()
    small = ParseLimits(text=50, headers=200, recipients=2, references=2, parts=3, depth=2)

    def check(raw: bytes) -> None:
        message = parse_message(raw)
        check_message(message, raw, usual)
        assert message == parse_message(raw), "the same bytes are read in two ways"
        check_message(parse_message(raw, limits=small), raw, small)

    seeds = [*POISON.values(), *(raw for _, raw in poison_messages(scale=0.001))]
    return Target(MODULE, check, seeds, WORDS)


if __name__ == "__main__":
    main(load, PACKAGES)
