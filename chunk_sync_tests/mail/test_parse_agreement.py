"""Which parser answered does not show: where the fast one answers, the reference says the same.

The reference is stdlib `email`; the fast one may decline a message, and must not decline ordinary mail.
"""

from __future__ import annotations

import base64
import quopri
from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from chunk_sync.demo.mailbox import iter_messages
from chunk_sync.mail.headers import split_headers
from chunk_sync.mail.parse import ParsedMessage, ParseLimits, assemble, parse_message
from chunk_sync.mail.parse_fallback import fallback_structure
from chunk_sync.mail.parse_fast import fast_structure
from chunk_sync_tests.mail.poison import POISON

_LIMITS = ParseLimits()


def _both(raw: bytes) -> tuple[ParsedMessage | None, ParsedMessage]:
    head = split_headers(raw)
    fast = fast_structure(raw, head, _LIMITS)
    reference = assemble(head, fallback_structure(raw, head, _LIMITS), _LIMITS)
    return (assemble(head, fast, _LIMITS) if fast else None), reference


def test_generated_mail_is_read_alike_and_fast() -> None:
    """Ordinary mail: both say the same, and the fast parser answers nearly always."""
    answered = 0
    for message in islice(iter_messages(seed=5), 300):
        fast, reference = _both(message.raw)
        if fast is not None:
            assert reference == fast
            answered += 1
    assert answered > 270


def test_poison_is_read_alike() -> None:
    """Where the fast parser dares to answer for broken mail, it is right."""
    for name, raw in POISON.items():
        fast, reference = _both(raw)
        if fast is not None:
            assert reference == fast, name


_TYPES = st.sampled_from(["text/plain", "text/html", "application/pdf", "image/png", "message/rfc822", "text/csv"])
_CHARSETS = st.sampled_from(["", "; charset=utf-8", '; charset="iso-8859-1"', "; charset=x-none", "; format=flowed"])
_NAMES = st.sampled_from(
    ["", "; name=a.txt", '; name="a b;c.txt"', "; name*=utf-8''%E2%82%AC.txt", '; name="=?utf-8?Q?=C3=A4?="', "; name="]
)
_DISPOSITIONS = st.sampled_from(["", "attachment", "inline", 'attachment; filename="x, y.pdf"', "ATTACHMENT"])
_BODIES = st.lists(
    st.sampled_from(
        [b"line\r\n", b"\r\n", b"trailing \r\n", b"=3D\r\n", b"--x\r\n", b"caf\xc3\xa9\r\n", b"From me\r\n", b"end"]
    )
).map(b"".join)


@st.composite
def _parts(draw: st.DrawFn) -> bytes:
    kind, body = draw(_TYPES), draw(_BODIES)
    head = f"Content-Type: {kind}{draw(_CHARSETS)}{draw(_NAMES)}\r\n"
    if disposition := draw(_DISPOSITIONS):
        head += f"Content-Disposition: {disposition}\r\n"
    if draw(st.booleans()):
        head += "Content-ID: <id@x>\r\n"
    encoding = draw(st.sampled_from(["", "7bit", "8BIT", "base64", "quoted-printable"]))
    if encoding:
        head += f"Content-Transfer-Encoding: {encoding}\r\n"
    if encoding == "base64":
        body = base64.encodebytes(body).replace(b"\n", b"\r\n")
    elif encoding == "quoted-printable" and draw(st.booleans()):
        body = quopri.encodestring(body.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")
    return head.encode() + b"\r\n" + body


@st.composite
def _containers(draw: st.DrawFn, children: st.SearchStrategy[bytes]) -> bytes:
    boundary = draw(st.sampled_from([b"b", b"bb", b"=_x", b"a-b", b"cut", b"cut1", b"cut2", b"cut3"]))
    parts = draw(st.lists(children, min_size=1, max_size=3))
    kind = draw(st.sampled_from([b"mixed", b"alternative", b"related", b"digest"]))
    body = b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts)
    head = b"Content-Type: multipart/" + kind + b'; boundary="' + boundary + b'"\r\n\r\n'
    preamble = draw(st.sampled_from([b"", b"preamble\r\n"]))
    return head + preamble + body + draw(st.sampled_from([b"--" + boundary + b"--\r\n", b"--" + boundary + b"--", b""]))


@given(st.recursive(_parts(), _containers, max_leaves=6), st.booleans())
def test_any_structure_is_read_alike(structure: bytes, unix: bool) -> None:
    """Containers in containers with equal boundaries, all encodings, CRLF and LF."""
    raw = b"From: a@x\r\nSubject: s\r\nMIME-Version: 1.0\r\n" + structure
    fast, reference = _both(raw.replace(b"\r\n", b"\n") if unix else raw)
    if fast is not None:
        assert reference == fast


def test_parse_message_takes_one_of_the_two() -> None:
    """What the world sees is what was compared here."""
    for message in islice(iter_messages(seed=6), 20):
        fast, reference = _both(message.raw)
        assert parse_message(message.raw) == (fast or reference)
