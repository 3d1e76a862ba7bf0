"""Mail that was built as it should be is read back: text, attachments, fields; folder names both ways round."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from email.headerregistry import Address as MailAddress
from email.message import EmailMessage
from email.policy import SMTP, EmailPolicy
from email.utils import format_datetime

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from chunk_sync.mail.headers import split_headers
from chunk_sync.mail.imap_names import decode_modified_utf7, encode_modified_utf7
from chunk_sync.mail.parse import Address, ParsedMessage, ParseLimits, assemble, parse_message
from chunk_sync.mail.parse_fallback import fallback_structure
from chunk_sync.mail.parse_fast import fast_structure
from chunk_sync_tests.fuzz.storable import check_message
from chunk_sync_tests.mail.poison import TOP, multipart

_LIMITS = ParseLimits()
_FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

# What a person writes: no control characters, no lone surrogates.
_letters = st.characters(codec="utf-8", exclude_categories=["C", "Z"]) | st.sampled_from(" äöü€日本")
_words = st.text(_letters, max_size=60).map(lambda text: " ".join(text.split()))
_lines = st.lists(st.text(_letters, max_size=120).map(str.rstrip), max_size=6).map("\n".join)
_names = st.text(st.characters(codec="utf-8", categories=["L", "N"]), min_size=1, max_size=60)
_blobs = st.binary(max_size=300)
_types = st.sampled_from(["application/pdf", "image/png", "application/octet-stream", "audio/ogg", "x-a/x-b.c+d"])


@dataclass(frozen=True)
class _File:
    """An attachment as it was put in."""

    kind: str
    name: str | None
    data: bytes
    inline: bool


_files = st.lists(st.builds(_File, _types, st.none() | _names, _blobs, st.booleans()), max_size=3)


def _policy(*, unix: bool) -> EmailPolicy:
    return SMTP.clone(linesep="\n") if unix else SMTP


def _build(text: str | None, markup: str | None, files: list[_File], encoding: str | None) -> EmailMessage:
    """Make the tree that mail programs make: alternatives within a container with attachments."""
    message = EmailMessage()
    message["Subject"] = "s"
    if text is not None:
        message.set_content(text, cte=encoding)
    if markup is not None:
        add = message.set_content if text is None else message.add_alternative
        add(markup, subtype="html", cte=encoding)
    for file in files:
        main, _, sub = file.kind.partition("/")
        how = "inline" if file.inline else "attachment"
        message.add_attachment(file.data, main, sub, filename=file.name, disposition=how)
    return message


_bodies = st.none() | _lines
_encodings = st.sampled_from([None, "base64", "quoted-printable"])


@_FEW
@given(_bodies, _bodies, _files, _encodings, st.booleans())
def test_what_was_put_in_comes_out(
    text: str | None, markup: str | None, files: list[_File], encoding: str | None, unix: bool
) -> None:
    """Bodies in each encoding, attachments with their names, types and bytes; line ends of both kinds."""
    raw = _build(text, markup, files, encoding).as_bytes(policy=_policy(unix=unix))
    message = parse_message(raw)
    check_message(message, raw, _LIMITS)
    # The line end before a boundary is the boundary's.
    bodies = [None if body is None else body.rstrip("\n") for body in (text, markup)]
    if bodies == [None, None] and not files:
        bodies[0] = ""  # a message without anything is one without text
    assert bodies == [message.body_text, message.body_html]
    assert [(f.kind, f.name, len(f.data), hashlib.sha256(f.data).digest(), f.inline) for f in files] == [
        (a.content_type, a.filename, a.size, a.sha256, a.inline) for a in message.attachments
    ]
    assert ("ok", ()) == (message.status, message.defects)


_trees = st.recursive(
    st.builds(lambda text: ("text", text), _lines) | st.builds(lambda data: ("file", data), _blobs),
    lambda children: st.lists(children, min_size=1, max_size=3).map(lambda parts: ("mixed", parts)),
    max_leaves=8,
)


def _message(tree: tuple[str, object]) -> EmailMessage:
    message = EmailMessage()
    kind, content = tree
    if kind == "text":
        message.set_content(content)
    elif kind == "file":
        message.set_content(content, "application", "octet-stream")
    else:
        message.make_mixed()
        for part in content:
            message.attach(_message(part))
    return message


def _leaves(tree: tuple[str, object], path: str = "") -> list[tuple[str, str, object]]:
    kind, content = tree
    if kind != "mixed":
        return [(path or "1", kind, content)]
    prefix = f"{path}." if path else ""
    return [leaf for number, part in enumerate(content, 1) for leaf in _leaves(part, f"{prefix}{number}")]


@_FEW
@given(_trees, st.booleans())
def test_any_tree_is_walked_in_order(tree: tuple[str, object], unix: bool) -> None:
    """Containers in containers: paths count like IMAP, texts are joined, files are found, however deep."""
    built = _message(tree)
    built["Subject"] = "s"
    raw = built.as_bytes(policy=_policy(unix=unix))
    message = parse_message(raw)
    check_message(message, raw, _LIMITS)
    leaves = _leaves(tree)
    texts = [content.rstrip("\n") for _, kind, content in leaves if kind == "text"]
    assert ("\n".join(texts) if texts else None) == message.body_text
    assert [(path, len(content)) for path, kind, content in leaves if kind == "file"] == [
        (attachment.part, attachment.size) for attachment in message.attachments
    ]


_moments = st.datetimes(datetime(1971, 1, 1), datetime(2099, 12, 30)).map(lambda moment: moment.replace(microsecond=0))  # noqa: DTZ001 - made aware below
_zones = st.integers(-12 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@_FEW
@given(_words, _words, st.lists(_words, max_size=4), _moments, _zones)
def test_fields_come_back(subject: str, sender: str, receivers: list[str], moment: datetime, zone: timezone) -> None:
    """Subjects and names in any script, encoded as the standard library does, and moments of any zone."""
    built = EmailMessage()
    built["From"] = MailAddress(sender, "from", "example.com")
    built["To"] = [MailAddress(name, f"to{number}", "example.com") for number, name in enumerate(receivers)]
    built["Subject"] = subject
    built["Date"] = format_datetime(moment.replace(tzinfo=zone))
    built.set_content("x")
    raw = built.as_bytes(policy=SMTP)
    assume(b"=2C?=" not in raw)  # `email` sometimes packs the comma between two addresses into an encoded word
    message = parse_message(raw)
    assert subject == message.subject
    assert Address(sender or None, "from@example.com") == message.from_
    expected = [Address(name or None, f"to{number}@example.com") for number, name in enumerate(receivers)]
    assert expected == list(message.to)
    assert moment.replace(tzinfo=zone).astimezone(UTC) == message.sent_at


@given(st.text(st.characters(codec="utf-8", exclude_characters="\ufffd")))
def test_folder_names_go_both_ways(name: str) -> None:
    """A UTF-8 name in modified UTF-7 is ASCII of printable characters, and reads as the same name."""
    encoded = encode_modified_utf7(name.encode())
    assert all(0x20 <= byte <= 0x7E for byte in encoded)
    assert name == decode_modified_utf7(encoded)


_QUOTED = TOP + b"Content-Transfer-Encoding: quoted-printable\r\n\r\n"
_BASE64 = TOP + b"Content-Transfer-Encoding: base64\r\n\r\n"

# Where the fast library drops bytes, joins other lines or finds other parts than the reference does.
MISREAD: dict[str, tuple[bytes, str | None]] = {
    "stray sign": (_QUOTED + b"a=3=3Db\r\n", "a=3=b"),
    "two signs": (_QUOTED + b"a==\r\n", "a="),
    "control at a soft line end": (_QUOTED + b"a=\x01\r\nb\r\n", "ab"),
    "control characters": (_QUOTED + b"a\x0cb\0c\r\n", "abc"),
    "quoted cr on unix": ((_QUOTED + b"a=0D\r\nb\r\n").replace(b"\r\n", b"\n"), "a\nb"),
    "blanks in base64": (_BASE64 + b"YWJj \tZGVm \r\n", "abcdef"),
    "control characters after the fields": (TOP + b"\x1f\r\n\r\nxyz\r\n", "\x1f\n\nxyz"),
    "part without a blank line": (TOP + multipart(b"\r\none", b"two"), "one\ntwo"),
    "field with an impossible name": (TOP + multipart(b"X-\xcdA: base64\r\n\r\none"), "X-ÍA: base64\n\none"),
    "type with two strokes": (
        (TOP + multipart(b"\r\none")).replace(b"multipart/mixed", b"multipart/a b/c"),
        "--cut\n\none\n--cut--",
    ),
    "delimiters in a preamble": (
        TOP
        + multipart(multipart(b"\r\ntwo", boundary=b"in", end=b"")).replace(b"--cut", b"--in\r\n--in--\r\n--cut", 1),
        "two",
    ),
}


def _read(raw: bytes, *, fast: bool) -> ParsedMessage | None:
    head = split_headers(raw)
    structure = fast_structure(raw, head, _LIMITS) if fast else fallback_structure(raw, head, _LIMITS)
    return assemble(head, structure, _LIMITS) if structure else None


@pytest.mark.parametrize("name", MISREAD)
def test_what_the_fast_library_misreads_is_left_to_the_reference(name: str) -> None:
    """Nothing of the text is lost, and which parser answered does not show."""
    raw, text = MISREAD[name]
    assert text == parse_message(raw).body_text
    reference = _read(raw, fast=False)
    assert (_read(raw, fast=True) or reference) == reference


def test_types_and_ids_of_attachments_are_short_lines() -> None:
    """What a sender calls a part's type or id is one line of bounded length, however it was written."""
    long = b"x" * 1000
    fields = b"Content-Type: a/b\r\n c" + long + b"\r\nContent-ID: <=?utf-8?Q?a=0Ab?= " + long + b">\r\n"
    (attachment,) = parse_message(TOP + fields + b"\r\nx").attachments
    assert (f"a/b c{'x' * 250}", f"a b {'x' * 496}") == (attachment.content_type, attachment.content_id)
