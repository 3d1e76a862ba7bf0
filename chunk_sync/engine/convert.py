"""Turn fetched messages into rows: hash, parse, compress."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import zstandard

from chunk_sync.mail.parse import Address, ParsedMessage, ParseLimits, parse_many
from chunk_sync.mail.source import RawMessage
from chunk_sync.settings import Settings
from chunk_sync.store.message_rows import AttachmentRow, LocationRow, MessageRow

_OUTGOING = frozenset({"sent", "drafts"})


@dataclass(frozen=True, slots=True)
class Conversion:
    """How messages become rows: `level` of zstd for the raw bytes, None not to keep them."""

    level: int | None
    limits: ParseLimits

    @classmethod
    def of(cls, settings: Settings) -> Conversion:
        """Convert as the settings say."""
        limits = ParseLimits(parts=settings.max_parts, depth=settings.max_depth, text=settings.max_text_characters)
        return cls(settings.raw_level if settings.raw == "keep" else None, limits)

    def to_rows(
        self, fetched: Sequence[RawMessage], folder_role: str | None
    ) -> tuple[dict[bytes, MessageRow], list[LocationRow]]:
        """Make message rows (by hash: equal bytes are one message) and location rows."""
        first: dict[bytes, tuple[RawMessage, bytes]] = {}
        locations: list[LocationRow] = []
        for message in fetched:
            sha256 = hashlib.sha256(message.raw).digest() if message.raw is not None else None
            if sha256 is not None and message.raw is not None:
                first.setdefault(sha256, (message, message.raw))
            locations.append(
                LocationRow(
                    uid=message.uid,
                    raw_sha256=sha256,
                    size=message.size,
                    provider_id=message.provider_id,
                    flags=message.flags,
                    received_at=message.received_at,
                )
            )
        parsed = parse_many((raw for _, raw in first.values()), limits=self.limits)
        compressor = None if self.level is None else zstandard.ZstdCompressor(level=self.level)
        direction = "outgoing" if folder_role in _OUTGOING else "incoming"
        rows = {
            sha256: _row(sha256, message, raw, content, compressor, direction)
            for (sha256, (message, raw)), content in zip(first.items(), parsed, strict=True)
        }
        return rows, locations


def _row(
    sha256: bytes,
    message: RawMessage,
    raw: bytes,
    parsed: ParsedMessage,
    compressor: zstandard.ZstdCompressor | None,
    direction: str,
) -> MessageRow:
    return MessageRow(
        raw_sha256=sha256,
        size=len(raw),
        codec="zstd" if compressor else "off",
        data=compressor.compress(raw) if compressor else b"",
        message_id=parsed.message_id,
        in_reply_to=parsed.in_reply_to,
        reference_ids=parsed.references,
        subject=parsed.subject,
        from_name=parsed.from_.name if parsed.from_ else None,
        from_address=parsed.from_.address if parsed.from_ else None,
        to_addresses=_addresses(parsed.to),
        cc_addresses=_addresses(parsed.cc),
        bcc_addresses=_addresses(parsed.bcc),
        direction=direction,
        sent_at=parsed.sent_at,
        received_at=message.received_at,
        snippet=parsed.snippet,
        parse_status=parsed.status,
        defects=parsed.defects,
        headers=parsed.headers,
        body_text=parsed.body_text,
        body_html=parsed.body_html,
        attachments=[
            AttachmentRow(
                part=a.part,
                filename=a.filename,
                content_type=a.content_type,
                content_id=a.content_id,
                size=a.size,
                sha256=a.sha256,
                is_inline=a.inline,
            )
            for a in parsed.attachments
        ],
    )


def _addresses(addresses: Sequence[Address]) -> list[Mapping[str, str]]:
    return [{"name": a.name or "", "address": a.address or ""} for a in addresses]
