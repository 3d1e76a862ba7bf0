"""Give out what landed: an attachment's content, cut from the kept bytes of its message on demand."""

from __future__ import annotations

import hashlib

from chunk_sync.errors import ChunkSyncError, UsageError
from chunk_sync.mail.parse import ParseLimits, part_content
from chunk_sync.store.database import Database
from chunk_sync.store.message_rows import unpacked
from chunk_sync.store.reading import Attachment, kept_bytes, message_attachments

_WIDEST = ParseLimits(parts=100_000, depth=200)
"""As wide as settings allow: whatever they were when the message landed, its parts are found."""
_LONGEST_NAME = 200  # bytes; file systems take 255


def attachment_content(database: Database, message_id: int, part: str) -> tuple[Attachment, bytes]:
    """Read an attachment: its metadata and its decoded content, which is checked against its hash.

    Raises UsageError when there is none or its bytes were not kept, ChunkSyncError when they are damaged.
    """
    attachments = message_attachments(database, message_id)
    found = next((attachment for attachment in attachments if attachment.part == part), None)
    if found is None:
        parts = ", ".join(attachment.part for attachment in attachments)
        message = f"message {message_id} has no attachment {part}; there are: {parts or 'none'}"
        raise UsageError(message)
    content = part_content(raw_message(database, message_id), part, limits=_WIDEST)
    if content is None or hashlib.sha256(content).digest() != found.sha256:
        message = f"attachment {part} of message {message_id} is not what landed: its hash differs"
        raise ChunkSyncError(message)
    return found, content


def raw_message(database: Database, message_id: int) -> bytes:
    """Read a message's exact bytes, checked against their hash.

    Raises UsageError when there is no such message or its bytes were not kept, ChunkSyncError when they are damaged.
    """
    kept = kept_bytes(database, message_id)
    if kept.codec == "off":
        message = f"the bytes of message {message_id} were not kept: CHUNK_SYNC_RAW=off was set when it landed"
        raise UsageError(message)
    raw = unpacked(kept.codec, kept.data) if kept.codec is not None and kept.data is not None else None
    if raw is None or hashlib.sha256(raw).digest() != kept.raw_sha256:
        message = f"the kept bytes of message {message_id} are gone or damaged: `verify` finds all such messages"
        raise ChunkSyncError(message)
    return raw


def file_name(attachment: Attachment) -> str:
    """Name the file for an attachment: what its sender called it, never a path and never hidden."""
    name = (attachment.filename or "").replace("/", "_").lstrip(". ")
    stem, dot, suffix = name.rpartition(".")
    if len(name.encode()) > _LONGEST_NAME:
        kept = f"{dot}{suffix}" if stem and len(suffix.encode()) < _LONGEST_NAME // 2 else ""
        name = name.encode()[: _LONGEST_NAME - len(kept.encode())].decode(errors="ignore") + kept
    return name or f"attachment-{attachment.message_id}-{attachment.part}"
