"""The parts of a message: what both parsers give, and the limits that both keep."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ParseLimits:
    """How much of a message is kept; whatever is cut is noted as a defect. The raw bytes are kept whole.

    `text` in characters for each of the two bodies, `headers` in bytes.
    """

    text: int = 1_000_000
    headers: int = 256_000
    recipients: int = 1_000
    references: int = 50
    parts: int = 1_000
    depth: int = 100

    def exceeded(self, depth: int, count: int) -> str | None:
        """Name the defect of a part at this depth, the `count`-th of its message; None when it may be read."""
        if depth > self.depth:
            return "nested-too-deep"
        return "too-many-parts" if count > self.parts else None


@dataclass(frozen=True, slots=True)
class Leaf:
    """A part that is no container; `path` counts like IMAP (`2.1`), `content` is transfer-decoded."""

    path: str
    content_type: str
    charset: str | None
    filename: str | None
    content_id: str | None
    disposition: str | None
    content: bytes

    @property
    def is_body(self) -> bool:
        """Say whether the part is text to read rather than an attachment."""
        return self.content_type in {"text/plain", "text/html"} and self.disposition != "attachment"


@dataclass(frozen=True, slots=True)
class Structure:
    """All leaves of a message in their order, and what was wrong with it."""

    leaves: tuple[Leaf, ...]
    defects: tuple[str, ...] = ()
    readable: bool = True


KNOWN_ENCODINGS = frozenset({"", "7bit", "8bit", "binary", "quoted-printable", "base64"})
UNENCODED = frozenset({"", "7bit", "8bit", "binary"})
