"""Mail is read rightly where it is right, and never fails where it is not."""

from __future__ import annotations

import hashlib
import json
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chunk_sync.mail.parse import Address, Attachment, ParsedMessage, ParseLimits, parse_many, parse_message
from chunk_sync_tests.mail.poison import POISON, TOP, forwarded, multipart, nested

LETTER = (
    b"Received: from a\r\nReceived: from b\r\n"
    b"From: =?utf-8?Q?J=C3=B6rg?= <joerg@example.com>\r\n"
    b'To: "Doe, John" <john@example.com>, ann@example.com\r\n'
    b"Cc: Team: a@example.com, b@example.com;\r\n"
    b"Subject: =?iso-8859-1?Q?Gr=FC=DFe?=\r\n =?utf-8?B?IGFuIGFsbGU=?=\r\n"
    b"Date: Tue, 14 Nov 2023 23:13:20 +0100\r\n"
    b"Message-ID: <letter@example.com>\r\n"
    b"In-Reply-To: <parent@example.com>\r\n"
    b"References: <root@example.com><parent@example.com>\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    b"Hallo =E2=82=AC\r\n\r\n  zweite=\r\n Zeile\r\n"
)


def _storable(message: ParsedMessage) -> None:
    """Check what PostgreSQL demands of text, and what the store relies on."""
    texts = [
        *(a for address in (message.from_, *message.to, *message.cc, *message.bcc) if address for a in _pair(address)),
        *(part for header in message.headers for part in header),
        *message.references,
        *message.defects,
        *(t for a in message.attachments for t in (a.part, a.filename, a.content_type, a.content_id) if t is not None),
        *(t for t in (message.message_id, message.in_reply_to, message.body_text, message.body_html) if t is not None),
        message.subject,
        message.snippet,
    ]
    for text in texts:
        text.encode("utf-8")
        assert "\0" not in text
    json.dumps(message.headers)
    assert len(message.snippet) <= 200
    assert len(message.references) <= 50
    assert all(len(a.sha256) == 32 for a in message.attachments)
    assert len({a.part for a in message.attachments}) == len(message.attachments)
    assert message.sent_at is None or message.sent_at.tzinfo is UTC
    assert (message.status == "ok") == (not message.defects)


def _pair(address: Address) -> list[str]:
    assert address.name or address.address
    return [text for text in (address.name, address.address) if text is not None]


def test_a_letter_is_read() -> None:
    """Every field of an ordinary message."""
    message = parse_message(LETTER)
    assert message == ParsedMessage(
        message_id="letter@example.com",
        in_reply_to="parent@example.com",
        references=("root@example.com", "parent@example.com"),
        subject="Grüße an alle",
        from_=Address("Jörg", "joerg@example.com"),
        to=(Address("Doe, John", "john@example.com"), Address(None, "ann@example.com")),
        cc=(Address(None, "a@example.com"), Address(None, "b@example.com")),
        bcc=(),
        sent_at=datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC),
        headers=message.headers,
        body_text="Hallo €\n\n  zweite Zeile",
        body_html=None,
        snippet="Hallo € zweite Zeile",
        attachments=(),
        status="ok",
        defects=(),
    )
    assert message.headers[:3] == (
        ("Received", "from a"),
        ("Received", "from b"),
        ("From", "Jörg <joerg@example.com>"),
    )
    assert ("Subject", "Grüße an alle") in message.headers


def test_attachments_are_counted_like_imap_does() -> None:
    """Paths, names, decoded sizes and hashes; bodies are none; embedded messages are one, and stay closed."""
    inner = b"Subject: in\r\n" + multipart(b"Content-Type: application/x\r\n\r\nhidden", boundary=b"in")
    raw = TOP + multipart(
        multipart(b"\r\ntext", b"Content-Type: text/html\r\n\r\n<p>html</p>", boundary=b"alt"),
        b"Content-Type: image/png; name=a.png\r\nContent-ID: <img@x>\r\nContent-Transfer-Encoding: base64\r\n\r\niVBO",
        b"Content-Type: message/rfc822\r\n\r\n" + inner,
        b"Content-Type: text/plain\r\nContent-Disposition: attachment; filename*=utf-8''%E2%9C%93.txt\r\n\r\nnote",
        b"Content-Type: application/pdf\r\nContent-Disposition: inline; filename=b.pdf\r\n\r\npdf",
    )
    message = parse_message(raw)

    def attachment(part: str, name: str | None, kind: str, data: bytes, cid: str | None, *, inline: bool) -> Attachment:
        return Attachment(part, name, kind, len(data), hashlib.sha256(data).digest(), cid, inline)

    assert message.attachments == (
        attachment("2", "a.png", "image/png", b"\x89PN", "img@x", inline=True),
        attachment("3", None, "message/rfc822", inner, None, inline=False),
        attachment("4", "✓.txt", "text/plain", b"note", None, inline=False),
        attachment("5", "b.pdf", "application/pdf", b"pdf", None, inline=True),
    )
    assert ("text", "<p>html</p>", "text") == (message.body_text, message.body_html, message.snippet)


@pytest.mark.parametrize("name", POISON)
def test_poison_is_survived(name: str) -> None:
    """Each message that broke a parser becomes rows that PostgreSQL takes, and quickly."""
    started = time.process_time()
    _storable(parse_message(POISON[name]))
    assert time.process_time() - started < 5


@given(st.binary(max_size=2000))
def test_any_bytes_are_parsed(raw: bytes) -> None:
    """No bytes make parsing fail."""
    _storable(parse_message(raw))


_PIECES = st.sampled_from(
    [
        *[b"Subject: ", b"From: ", b"To: ", b"Date: ", b"Message-ID: ", b"References: ", b"Content-ID: "],
        *[b"Content-Type: ", b"Content-Disposition: ", b"Content-Transfer-Encoding: ", b"MIME-Version: 1.0"],
        *[b"multipart/mixed; boundary=", b"multipart/digest; boundary=", b"message/rfc822", b"text/html; charset="],
        *[b"text/plain", b"base64", b"quoted-printable", b"attachment; filename=", b"filename*0*=utf-8''", b"utf-16"],
        *[
            b"\r\n",
            b"\n",
            b"\r",
            b"\r\n\r\n",
            b"\r\n ",
            b"--b",
            b"--b--",
            b"b",
            b'"',
            b"<",
            b">",
            b"@",
            b",",
            b";",
            b":",
        ],
        *[b"=?utf-8?B?", b"=?utf-8?Q?", b"?=", b"=00", b"\0", b"\xff", b"\xed\xa0\x80", b"(", b")", b"=", b"%FF", b"'"],
        *[b"Tue, 14 Nov 2023 23:13:20 +0100", b"x", b"<a@b>", b"From ", b">From "],
    ]
)


@given(st.lists(_PIECES, max_size=60))
def test_any_pieces_of_mail_are_parsed(pieces: list[bytes]) -> None:
    """No heap of fragments of mail makes parsing fail."""
    _storable(parse_message(b"".join(pieces)))


def test_many_are_parsed_in_order() -> None:
    """One bad message does not touch its neighbours."""
    raws = [LETTER, POISON["bytes"], b"", LETTER]
    assert [parse_message(raw) for raw in raws] == parse_many(raws)


@pytest.mark.parametrize(
    ("name", "defect"),
    [
        ("no header", "no-headers"),
        ("1200 levels", "structure-unreadable"),
        ("200 levels", "nested-too-deep"),
        ("20k parts", "too-many-parts"),
        ("20k recipients", "too-many-recipients"),
        ("subject of 1 MB", "headers-cut"),
        ("line of 5 MB", "text-cut"),
        ("unknown charset", "charset"),
        ("bad utf-8", "charset"),
        ("date of nonsense", "bad-date"),
        ("date in year 9999", "bad-date"),
        ("two message ids", "several-message-ids"),
        ("no closing boundary", "close-boundary-not-found"),
        ("bad base64", "invalid-base64-characters"),
        ("unknown encoding", "unknown-encoding"),
        ("line without a colon", "malformed-header"),
        ("bare cr", "bare-cr"),
    ],
)
def test_defects_are_named(name: str, defect: str) -> None:
    """Whoever looks at a defective message is told why."""
    message = parse_message(POISON[name])
    assert defect in message.defects
    assert message.status in {"defective", "unparsable"}


def test_an_unreadable_message_keeps_its_header() -> None:
    """The parts cannot be told apart: subject, sender and ids are there all the same."""
    message = parse_message(POISON["1200 levels"])
    assert ("unparsable", "poison", "p@example.com") == (message.status, message.subject, message.message_id)
    assert message.from_ == Address(None, "a@example.com")


@pytest.mark.parametrize("name", ["empty", "only line ends", "no header", "bytes"])
def test_without_a_header_it_is_no_mail(name: str) -> None:
    """Bytes without any field are unparsable, but their text is there."""
    assert parse_message(POISON[name]).status == "unparsable"
    assert parse_message(POISON["no header"]).body_text == "just a text\n\nand more of it"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("nul in body", "a\ufffdb"),
        ("nul in base64", "a\ufffdb"),
        ("unknown charset", "é"),
        ("path as charset", "hi"),
        ("bad utf-8", "\ufffd\ufffd\ufffd( \ufffd\ufffd\ufffd"),
        ("surrogates in utf-16", "\ufffda"),
        ("bare cr", "one\ntwo"),
        ("mixed line ends", "one\ntwo\nthree"),
        ("mbox line in front", "x"),
        ("quoted mbox line in front", "x"),
        ("no blank line", "and here the text begins"),
        ("no closing boundary", "one\ntwo"),
        ("50 levels", "deep"),
        ("uuencode", "hi"),
        ("8-bit quoted-printable", "café é"),
    ],
)
def test_text_is_saved_where_it_can_be(name: str, text: str) -> None:
    """Repairs keep what was meant."""
    assert text == parse_message(POISON[name]).body_text


def _text(charset: str | None, body: bytes) -> str | None:
    declared = f"; charset={charset}".encode() if charset else b""
    return parse_message(TOP + b"Content-Type: text/plain" + declared + b"\r\n\r\n" + body).body_text


@pytest.mark.parametrize(
    ("charset", "body", "expected"),
    [
        ("utf-8", "Grüße €".encode(), "Grüße €"),
        (None, "Grüße €".encode(), "Grüße €"),
        (None, "Grüße".encode("latin-1"), "Grüße"),
        ("us-ascii", "Grüße".encode(), "Grüße"),
        ("iso-8859-1", b"\x80 \x93quoted\x94", "€ “quoted”"),
        ('"windows-1251"', "Привет".encode("cp1251"), "Привет"),
        ("koi8-r", "Привет".encode("koi8-r"), "Привет"),
        ("gb2312", "镕".encode("gbk"), "镕"),
        ("shift_jis", "①".encode("cp932"), "①"),
        ("iso-2022-jp", "日本語".encode("iso-2022-jp"), "日本語"),
        ("utf-7", b"+AOQ-", "ä"),
        ("utf-16", "hé".encode("utf-16"), "hé"),
        ("windows-874", "สวัสดี".encode("cp874"), "สวัสดี"),
        ("x-unknown", "Grüße".encode(), "Grüße"),
        ("utf-8", b"good \xff good", "good \ufffd good"),
    ],
)
def test_charsets(charset: str | None, body: bytes, expected: str) -> None:
    """The declared one, then UTF-8, then whatever loses least."""
    assert expected == _text(charset, body)


def test_every_codec_of_python_is_survived() -> None:
    """A sender may name any codec."""
    import encodings.aliases

    for name in {*encodings.aliases.aliases, *encodings.aliases.aliases.values(), "idna", "undefined", "mbcs", "oem"}:
        for body in (b"plain", b"\xff\xfe\x80+AD\x1b$B~{", bytes(range(256))):
            text = _text(name, body)
            assert text is not None
            text.encode("utf-8")


def _subject(value: bytes) -> str:
    return parse_message(b"Subject: " + value + b"\r\n\r\nx").subject


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"plain", "plain"),
        (b"=?utf-8?B?w6Q=?=", "ä"),
        (b"=?UTF-8?q?a_b=20c?=", "a b c"),
        (b"x =?utf-8?B?w6Q=?= y", "x ä y"),
        (b"=?utf-8?B?w6Q=?= =?utf-8?B?w7Y=?=", "äö"),
        (b"=?utf-8?B?w6Q=?=\r\n\t=?utf-8?B?w7Y=?=", "äö"),
        (b"=?utf-8?B?4oI=?= =?utf-8?B?rA==?=", "€"),
        (b"=?utf-8?B?w6Q?=", "ä"),
        (b"=?utf-8*de?Q?=C3=A4?=", "ä"),
        (b"=?utf-8?Q?with space?=", "with space"),
        (b"=?x-none?Q?=E4?=", "ä"),
        (b"=?utf-8?X?a?=", "=?utf-8?X?a?="),
        (b"=?utf-8?B?A?=", "=?utf-8?B?A?="),
        ("käse".encode(), "käse"),
        ("käse".encode("latin-1"), "käse"),
        (b"folded\r\n  line", "folded line"),
        (b"", ""),
    ],
)
def test_encoded_words(value: bytes, expected: str) -> None:
    """RFC 2047, and how it is broken in practice."""
    assert expected == _subject(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"a@x", [(None, "a@x")]),
        (b"Ann <a@x>", [("Ann", "a@x")]),
        (b'"Ann \\"B\\" C" <a@x>', [('Ann "B" C', "a@x")]),
        (b'"Last, First" <a@x>, b@y', [("Last, First", "a@x"), (None, "b@y")]),
        (b"=?utf-8?Q?L=C3=A4st=2C_F?= <a@x>", [("Läst, F", "a@x")]),
        (b"a@x (Ann)", [("Ann", "a@x")]),
        (b"Ann (home) <a@x>", [("Ann", "a@x")]),
        (b"Team: a@x, B <b@y>; c@z", [(None, "a@x"), ("B", "b@y"), (None, "c@z")]),
        (b"undisclosed-recipients:;", []),
        (b"<@relay,@other:a@x>", [(None, "a@x")]),
        (b'"john doe"@x', [(None, '"john doe"@x')]),
        (b"Ann a@x", [("Ann", "a@x")]),
        (b"Just A Name", [("Just A Name", None)]),
        (b"<>", []),
        (b"Ann <>", [("Ann", None)]),
        (b'"unclosed <a@x>', [("unclosed", "a@x")]),
        (b"Ann <a@x", [("Ann", "a@x")]),
        (b",,;", []),
        ("Jürgen <j@x>".encode("latin-1"), [("Jürgen", "j@x")]),
        (b"Ann\r\n <a@x>,\r\n b@y", [("Ann", "a@x"), (None, "b@y")]),
    ],
)
def test_addresses(value: bytes, expected: list[tuple[str | None, str | None]]) -> None:
    """RFC 5322 in its common and its broken forms."""
    assert [Address(*pair) for pair in expected] == list(parse_message(b"To: " + value + b"\r\n\r\nx").to)


def test_several_fields_of_recipients_are_one_list() -> None:
    """To may come twice."""
    assert parse_message(b"To: a@x\r\nTo: b@y\r\n\r\n").to == (Address(None, "a@x"), Address(None, "b@y"))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"Tue, 14 Nov 2023 22:13:20 +0000", "2023-11-14T22:13:20+00:00"),
        (b"14 Nov 2023 22:13:20 -0130 (CET)", "2023-11-14T23:43:20+00:00"),
        (b"Tue, 14 Nov 23 22:13 GMT", "2023-11-14T22:13:00+00:00"),
        (b"Tue, 14 Nov 2023 17:13:20 EST", "2023-11-14T22:13:20+00:00"),
        (b"Sat, 30 Dec 2016 23:59:60 +0000", "2016-12-30T23:59:59+00:00"),
        (b"Thu, 01 Jan 1970 00:00:00 +0000", None),
        (b"Fri, 01 Jan 2100 00:00:00 +0000", None),
        (b"yesterday", None),
        (b"Tue, 31 Feb 2023 22:13:20 +0000", None),
        (b"Tue, 14 Nov 2023 22:13:20 +9900", None),
    ],
)
def test_dates(value: bytes, expected: str | None) -> None:
    """UTC, and None for what is no moment of this time."""
    message = parse_message(b"Date: " + value + b"\r\n\r\nx")
    assert expected == (message.sent_at.isoformat() if message.sent_at else None)


@pytest.mark.parametrize(
    ("fields", "message_id", "reply_to", "references"),
    [
        (b"Message-ID: <a@x>", "a@x", None, ()),
        (b"Message-Id:\r\n <a@x>", "a@x", None, ()),
        (b"Message-ID: < spaced id @x >", "spacedid@x", None, ()),
        (b"Message-ID: bare@x", "bare@x", None, ()),
        (b"Message-ID: no id at all", None, None, ()),
        (b"In-Reply-To: Your mail of Monday <a@x> <b@x>", None, "a@x", ()),
        (b"References: <a@x><b@x>,<a@x>\r\n\t<c@x>", None, None, ("a@x", "b@x", "c@x")),
        (b"References: <>", None, None, ()),
    ],
)
def test_ids(fields: bytes, message_id: str | None, reply_to: str | None, references: tuple[str, ...]) -> None:
    """Without brackets, glued ones apart, doubles once."""
    message = parse_message(fields + b"\r\n\r\nx")
    assert (message_id, reply_to, references) == (message.message_id, message.in_reply_to, message.references)


def test_a_long_chain_keeps_its_root_and_its_nearest() -> None:
    """5,000 references become 50: the first, and the last 49."""
    references = parse_message(POISON["5000 references"]).references
    assert references == ("r0@x", *(f"r{number}@x" for number in range(4951, 5000)))


def test_overlong_ids_are_shortened_alike_everywhere() -> None:
    """An id of 3 KB is the same id in Message-ID and in References, and another one is another."""
    long = b"a" * 3000
    message = parse_message(b"Message-ID: <" + long + b"@x>\r\nReferences: <" + long + b"@x> <" + long + b"@y>\r\n\r\n")
    assert message.message_id is not None
    assert len(message.message_id) <= 500
    assert message.references[0] == message.message_id != message.references[1]


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        (b'Content-Disposition: attachment; filename="a b.txt"', "a b.txt"),
        (b"Content-Disposition: attachment; filename=a.txt; size=3", "a.txt"),
        (b"Content-Type: a/b; name*0*=utf-8''%E2%82%AC; name*1=abc", "€abc"),
        (b"Content-Disposition: attachment; filename*=iso-8859-1'de'%E4.txt; filename=x", "ä.txt"),
        (b'Content-Type: a/b; name="=?utf-8?B?w6Q=?=.txt"', "ä.txt"),
        ('Content-Type: a/b; name="ä.txt"'.encode(), "ä.txt"),
        (b'Content-Type: a/b; name="C:\\dir\\x.exe"', "x.exe"),
        (b'Content-Type: a/b; name="../../x\x07.exe"', "x.exe"),
        (b'Content-Type: a/b; name="=?UTF-8?B?4oCucnR4LmV4ZQ==?="', "rtx.exe"),
        (b'Content-Type: a/b; name=".."', ".."),
        (b'Content-Type: a/b; name="/"', None),
        (b"Content-Type: a/b", None),
    ],
)
def test_file_names(fields: bytes, name: str | None) -> None:
    """RFC 2231, RFC 2047, raw bytes; never a path, never a control character."""
    base = b"" if fields.startswith(b"Content-Type") else b"Content-Type: a/b\r\n"
    (attachment,) = parse_message(TOP + base + fields + b"\r\n\r\nx").attachments
    assert name == attachment.filename


@pytest.mark.parametrize(
    ("markup", "snippet"),
    [
        (b"<p>Hello<br>world</p>", "Hello world"),
        (b"<head><title>t</title></head><style>x{}</style><!-- c --><script>s</script>A &amp; B&nbsp;C", "A & B C"),
        (b"<style>never closed", ""),
        (b"a < b > c", "a c"),
        (b"preview&zwnj;&#847;&shy; text", "preview text"),
        (b"&#0;&#xd800;", "\ufffd\ufffd"),
    ],
)
def test_snippets_of_html(markup: bytes, snippet: str) -> None:
    """What a reader would see first."""
    assert snippet == parse_message(TOP + b"Content-Type: text/html\r\n\r\n" + markup).snippet


def test_snippets_are_short_and_folded() -> None:
    """At most 200 characters, single spaces, also when the text begins with much emptiness."""
    message = parse_message(TOP + b"\r\n" + b" \r\n" * 2000 + b"word \t word\r\n" * 100)
    assert message.snippet == ("word word " * 20).strip()


def test_limits_are_kept_and_noted() -> None:
    """Smaller limits cut more; the defects say so."""
    limits = ParseLimits(text=5, headers=60, recipients=1, references=2, parts=3, depth=1)
    raw = (
        b"To: a@x, b@x\r\nReferences: <a@x> <b@x> <c@x>\r\nX: "
        + b"y" * 100
        + b"\r\n"
        + multipart(b"\r\n1234", b"\r\n5678", b"\r\n90")
    )
    message = parse_message(raw, limits=limits)
    assert ("1234\n", ("a@x", "c@x"), (Address(None, "a@x"),)) == (message.body_text, message.references, message.to)
    assert {"text-cut", "headers-cut", "too-many-recipients", "too-many-parts"} == set(message.defects)
    deep = parse_message(TOP + nested(2), limits=limits)
    assert "nested-too-deep" in deep.defects


def test_a_text_is_cut_between_characters() -> None:
    """The cap does not turn good UTF-8 into a defect of its charset."""
    raw = TOP + b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + ("€" * 50).encode()
    message = parse_message(raw, limits=ParseLimits(text=7))
    assert ("€" * 7, ("text-cut",)) == (message.body_text, message.defects)


def test_embedded_messages_stay_closed() -> None:
    """300 messages in each other are one attachment."""
    message = parse_message(forwarded(300))
    assert ["message/rfc822"] == [attachment.content_type for attachment in message.attachments]
    assert message.body_text is None
