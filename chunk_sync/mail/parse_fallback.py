"""The reference parser: stdlib `email` (compat32), which reads anything and notes what was wrong.

Only the MIME fields of the message go in, the other fields are read elsewhere. Embedded messages are
left closed: they are attachments, their exact bytes count, and nesting them is an attack.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from email.message import Message
from email.parser import BytesParser

from chunk_sync.mail.header_values import parse_parameters
from chunk_sync.mail.headers import BLANKS, HeaderBlock, decode_header
from chunk_sync.mail.structure import KNOWN_ENCODINGS, Leaf, ParseLimits, Structure

# What `email` is known to raise on hostile input. MemoryError is not among them: it is not the mail's fault.
_FAULTS = (ArithmeticError, AssertionError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
_TRAILING_BLANKS = re.compile(rb"[ \t]+(?=\r?\n|\Z)")
_CONTROLS = bytes(code for code in range(128) if chr(code) not in "\t\n\r" and not chr(code).isprintable())
_NO_BLANKS = dict.fromkeys(map(ord, " \t\f"))
# `email` looks at every line once for each container that is open: nesting costs the square of its depth.
_BOUNDARY = re.compile(rb"boundary\*?0?\s*=", re.IGNORECASE)
_UNREADABLE = Structure((), ("structure-unreadable",), readable=False)
_OPAQUE = "application/octet-stream"


class _Part(Message):
    """A part whose embedded messages stay closed: the parser is told that they are plain bytes."""

    def get_content_type(self) -> str:
        declared = super().get_content_type()
        return _OPAQUE if declared.startswith("message/") else declared

    def declared_type(self) -> str:
        """Give the content type that the sender declared."""
        return super().get_content_type()

    def raw_fields(self) -> dict[str, str]:
        """Give the MIME fields raw, one character a byte, the first of each name."""
        fields: dict[str, str] = {}
        for name, value in self.raw_items():
            if name.lower().startswith("content-"):
                raw = str(value).encode("ascii", "surrogateescape")
                fields.setdefault(name.lower(), raw.decode("latin-1"))
        return fields


def fallback_structure(raw: bytes, head: HeaderBlock, limits: ParseLimits) -> Structure:
    """Read a message's parts, whatever they are; `readable` is False when they cannot be told at all."""
    if sum(1 for _ in _BOUNDARY.finditer(raw)) > 2 * limits.depth:
        return _UNREADABLE
    mime_fields = b"".join(
        f"{name}: {value.rstrip(BLANKS)}\r\n".encode("latin-1")
        for name, value in head.fields
        if name.lower().startswith("content-") or name.lower() == "mime-version"
    )
    try:
        parser = BytesParser(_Part)  # compat32 is its default policy
        walk = _Walk(limits)
        leaves = tuple(walk.leaves(parser.parsebytes(mime_fields + b"\r\n" + raw[head.body :])))
    except _FAULTS:
        return _UNREADABLE
    return Structure(leaves, tuple(walk.defects))


class _Walk:
    """A walk over the parts in order, without recursion, that collects what is wrong."""

    def __init__(self, limits: ParseLimits) -> None:
        self._limits = limits
        self.defects: list[str] = []

    def leaves(self, root: _Part) -> Iterator[Leaf]:
        stack = [(root, "", 0)]
        count = 0
        while stack:
            part, path, depth = stack.pop()
            count += 1
            if beyond := self._limits.exceeded(depth, count):
                self.defects.append(beyond)
                return
            if not part.is_multipart():
                yield self._leaf(part, path or "1")
                continue
            self._note(part)
            prefix = f"{path}." if path else ""
            children = [child for child in part.get_payload() if isinstance(child, _Part)]
            stack.extend(
                (child, f"{prefix}{number}", depth + 1) for number, child in reversed(list(enumerate(children, 1)))
            )

    def _leaf(self, part: _Part, path: str) -> Leaf:
        fields = part.raw_fields()
        encoding = decode_header(fields.get("content-transfer-encoding", "")).lower()
        _, parameters = parse_parameters(decode_header(fields.get("content-type", "")))
        disposition, named = parse_parameters(decode_header(fields.get("content-disposition", "")))
        content_type = part.declared_type()
        leaf = Leaf(
            path=path,
            # A container whose parts cannot be found is shown as the text that it is.
            content_type="text/plain" if content_type.startswith("multipart/") else content_type,
            charset=parameters.get("charset"),
            filename=named.get("filename") or parameters.get("name"),
            content_id=decode_header(fields.get("content-id", "")).strip("<> ") or None,
            disposition=disposition or None,
            content=_content(part, encoding),
        )
        if encoding not in KNOWN_ENCODINGS:
            self.defects.append("unknown-encoding")
        self._note(part)  # after decoding, which notes some
        return leaf

    def _note(self, part: _Part) -> None:
        self.defects.extend(_kebab(type(defect).__name__.removesuffix("Defect")) for defect in part.defects)


def _content(part: _Part, encoding: str) -> bytes:
    is_quoted = encoding == "quoted-printable"
    if encoding == "base64" and isinstance(packed := part.get_payload(), str):
        part.set_payload(packed.translate(_NO_BLANKS))  # between the lines they are no fault, and within them nothing
    if is_quoted:
        del part["content-transfer-encoding"]  # the only public way to the bytes as they came
    content = part.get_payload(decode=True)
    if not isinstance(content, bytes):
        return b""
    # RFC 2045: blanks at the end of a line are an accident of transport, control characters are none of the content.
    # `email` keeps both.
    return binascii.a2b_qp(_TRAILING_BLANKS.sub(b"", content.translate(None, _CONTROLS))) if is_quoted else content


def _kebab(name: str) -> str:
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("-")
