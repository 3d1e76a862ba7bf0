"""Messages as rows, and rows as the columns in which they are sent: one array each, in PostgreSQL's binary format.

One statement for a whole page instead of one a message: less to be done on both sides of the line.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import zstandard

JOINT = "\x1f"
"""Stands between the items of a list that is sent as one text: no id, flag or name of a defect holds it."""


@dataclass(frozen=True, slots=True)
class AttachmentRow:
    """Metadata of an attachment; `part` is its place in the message's tree, `sha256` of the decoded bytes."""

    part: str
    filename: str | None
    content_type: str
    content_id: str | None
    size: int
    sha256: bytes
    is_inline: bool


@dataclass(frozen=True, slots=True)
class MessageRow:
    """A message ready to be stored: parsed, its raw bytes compressed with `codec`."""

    raw_sha256: bytes
    size: int
    codec: str
    data: bytes
    message_id: str | None
    in_reply_to: str | None
    reference_ids: Sequence[str]
    subject: str
    from_name: str | None
    from_address: str | None
    to_addresses: Sequence[Mapping[str, str]]
    cc_addresses: Sequence[Mapping[str, str]]
    bcc_addresses: Sequence[Mapping[str, str]]
    direction: str
    sent_at: datetime | None
    received_at: datetime | None
    snippet: str
    parse_status: str
    defects: Sequence[str]
    headers: Sequence[tuple[str, str]]
    body_text: str | None
    body_html: str | None
    attachments: Sequence[AttachmentRow]


@dataclass(frozen=True, slots=True)
class LocationRow:
    """Where a mailbox holds a message; `raw_sha256` None: too large to be stored, `size` says how large."""

    uid: int
    raw_sha256: bytes | None
    size: int
    provider_id: str | None
    flags: Sequence[str]
    received_at: datetime | None


def unpacked(codec: str, data: bytes) -> bytes | None:
    """Unpack the bytes of a message as they are kept; None when they are damaged."""
    if codec != "zstd":
        return data
    try:
        return zstandard.decompress(data)
    except zstandard.ZstdError:
        return None


def raw_columns(messages: Sequence[MessageRow]) -> dict[str, object]:
    """Columns of `message_raw`."""
    return _plain(messages, "raw_sha256", "codec", "size", "data")


def message_columns(messages: Sequence[MessageRow]) -> dict[str, object]:
    """Columns of `messages`."""
    return _plain(messages, *_MESSAGE) | {
        "reference_ids": [JOINT.join(m.reference_ids) for m in messages],
        "to_addresses": [_json(m.to_addresses) for m in messages],
        "cc_addresses": [_json(m.cc_addresses) for m in messages],
        "bcc_addresses": [_json(m.bcc_addresses) for m in messages],
        "has_attachments": [any(not a.is_inline for a in m.attachments) for m in messages],
        "defects": [JOINT.join(m.defects) for m in messages],
    }


def body_columns(messages: Mapping[int, MessageRow]) -> dict[str, object]:
    """Columns of `message_bodies`, for messages by their ids."""
    return {
        "message_id": list(messages),
        "headers": [_json(m.headers) for m in messages.values()],
        "body_text": [m.body_text for m in messages.values()],
        "body_html": [m.body_html for m in messages.values()],
    }


def attachment_columns(attachments: Sequence[tuple[int, AttachmentRow]]) -> dict[str, object]:
    """Columns of `attachments`."""
    ids: dict[str, object] = {"message_id": [message_id for message_id, _ in attachments]}
    return ids | _plain([attachment for _, attachment in attachments], *_ATTACHMENT)


def location_columns(places: Sequence[tuple[LocationRow, int]]) -> dict[str, object]:
    """Columns of `message_locations`."""
    return _plain([row for row, _ in places], "uid", "provider_id", "received_at") | {
        "message_id": [message_id for _, message_id in places],
        "flags": [JOINT.join(row.flags) for row, _ in places],
    }


_MESSAGE = (
    "raw_sha256",
    "size",
    "message_id",
    "in_reply_to",
    "subject",
    "from_name",
    "from_address",
    "direction",
    "sent_at",
    "received_at",
    "snippet",
    "parse_status",
)
_ATTACHMENT = ("part", "filename", "content_type", "content_id", "size", "sha256", "is_inline")


def _plain(rows: Sequence[object], *names: str) -> dict[str, object]:
    """Take columns as they are."""
    return {name: [getattr(row, name) for row in rows] for name in names}


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _json(value: object) -> str:
    return _encode(value) if value else "[]"
