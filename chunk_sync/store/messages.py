"""Landing: the idempotent, fenced write of a chunk's messages, the last of them in the transaction that completes it.

Rows that exist are never changed, but for a location's flags and tombstone; so a second run of a chunk changes
nothing, and columns that users add stay theirs. Inserts go in the order of the hash, so that chunks that share messages
cannot deadlock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg.types.json import Jsonb

from chunk_sync.domain.chunks import ClaimedChunk, LandedCounts
from chunk_sync.store.database import Connection, Database, query


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


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a chunk, ready to land: messages by the hash of their bytes, and where they are.

    `known` are the flags, by UID, of messages whose bytes had landed before.
    """

    messages: Mapping[bytes, MessageRow]
    locations: Sequence[LocationRow]
    known: Mapping[int, Sequence[str]]


@dataclass(frozen=True, slots=True)
class AttemptFigures:
    """What an attempt says of itself: its time in ms, its memory in bytes, ms a stage for the attempt's metadata."""

    duration_ms: int
    memory_usage: int | None
    timings: Mapping[str, float]


def known_uids(database: Database, chunk: ClaimedChunk) -> frozenset[int]:
    """List those messages of a chunk that have landed: by an attempt that broke off, or a sync before."""
    rows = database.rows("location_known", _place(chunk) | {"uids": list(chunk.span.uids)})
    return frozenset(row["uid"] for row in rows)


def land_page(database: Database, chunk: ClaimedChunk, page: Page) -> LandedCounts:
    """Land a part of a chunk, which goes on; raises LeaseLost, and then nothing was written."""
    with database.transaction() as conn:
        counts = _insert(conn, chunk, page)
        # At the end: its lock must not be held while lanes are waited for, which come before chunks.
        conn.execute(query("chunk_hold"), {"chunk_id": chunk.chunk_id, "lease_token": chunk.lease_token})
    return counts


def land_chunk(
    database: Database,
    chunk: ClaimedChunk,
    page: Page,
    before: LandedCounts,
    absent: Sequence[int],
    figures: AttemptFigures,
) -> LandedCounts:
    """Land a chunk's last page and complete it, all or nothing; raises LeaseLost, and then nothing was written.

    `before` is what its other pages did; the messages with an `absent` UID are gone from the mailbox.
    """
    with database.transaction() as conn:
        counts = before + _insert(conn, chunk, page) + LandedCounts(absent=len(absent))
        if absent:
            conn.execute(query("location_vanished"), _place(chunk) | {"uids": list(absent)})
        conn.execute(
            query("chunk_complete"),
            {
                "chunk_id": chunk.chunk_id,
                "lease_token": chunk.lease_token,
                "inserted": counts.inserted,
                "unchanged": counts.unchanged,
                "absent": counts.absent,
                "quarantined": counts.quarantined,
                "bytes": counts.bytes,
                "processing_time_ms": figures.duration_ms,
                "metadata": Jsonb(dict(figures.timings)),
                "memory_usage": figures.memory_usage,
            },
        )
    return counts


def _insert(conn: Connection, chunk: ClaimedChunk, page: Page) -> LandedCounts:
    ids = _insert_messages(conn, chunk, page.messages)
    stored = [(row, ids[row.raw_sha256]) for row in page.locations if row.raw_sha256 is not None]
    oversize = [row for row in page.locations if row.raw_sha256 is None]
    inserted = _insert_locations(conn, chunk, stored)
    flags = {row.uid: row.flags for row, _ in stored} if inserted < len(stored) else {}
    _update_flags(conn, chunk, flags | dict(page.known))
    if oversize:
        with conn.cursor() as cursor:
            cursor.executemany(query("quarantine_insert"), [_quarantine_row(chunk, row) for row in oversize])
    return LandedCounts(
        inserted=inserted,
        unchanged=len(stored) - inserted + len(page.known),
        quarantined=len(oversize),
        bytes=sum(row.size for row, _ in stored),
    )


def _insert_messages(conn: Connection, chunk: ClaimedChunk, messages: Mapping[bytes, MessageRow]) -> dict[bytes, int]:
    """Insert what is new; returns the id of every message by its hash."""
    known = _message_ids(conn, chunk.mailbox_id, list(messages))
    new = [messages[sha256] for sha256 in sorted(messages.keys() - known.keys())]
    if not new:
        return known
    reserved = conn.execute(query("message_ids_reserve"), {"count": len(new)}).fetchall()
    mine = {message.raw_sha256: row["id"] for message, row in zip(new, reserved, strict=True)}
    with conn.cursor() as cursor:
        cursor.executemany(query("message_raw_insert"), [_raw_row(chunk, m) for m in new])
        cursor.executemany(query("message_insert"), [_message_row(chunk, m, mine[m.raw_sha256]) for m in new])
    # Another chunk may have landed the same bytes meanwhile: then its row counts, and it has written the parts.
    known |= _message_ids(conn, chunk.mailbox_id, list(mine))
    ours = [m for m in new if known[m.raw_sha256] == mine[m.raw_sha256]]
    with conn.cursor() as cursor:
        cursor.executemany(query("message_body_insert"), [_body_row(chunk, m, mine[m.raw_sha256]) for m in ours])
        cursor.executemany(
            query("attachment_insert"),
            [_attachment_row(chunk, a, mine[m.raw_sha256]) for m in ours for a in m.attachments],
        )
    return known


def _insert_locations(conn: Connection, chunk: ClaimedChunk, stored: Sequence[tuple[LocationRow, int]]) -> int:
    """Insert where messages are; returns how many of these places were new."""
    if not stored:
        return 0
    with conn.cursor() as cursor:
        cursor.executemany(query("location_insert"), [_location_row(chunk, row, i) for row, i in stored])
        return cursor.rowcount


def _update_flags(conn: Connection, chunk: ClaimedChunk, flags: Mapping[int, Sequence[str]]) -> None:
    if flags:
        uids = sorted(flags)
        joined = ["\x1f".join(flags[uid]) for uid in uids]
        parameters = {"chunk_id": chunk.chunk_id, "uids": uids, "flags": joined}
        conn.execute(query("location_flags"), _place(chunk) | parameters)


def _message_ids(conn: Connection, mailbox_id: int, hashes: list[bytes]) -> dict[bytes, int]:
    rows = conn.execute(query("message_ids"), {"mailbox_id": mailbox_id, "hashes": hashes}).fetchall()
    return {row["raw_sha256"]: row["id"] for row in rows}


def _place(chunk: ClaimedChunk) -> dict[str, object]:
    return {"folder_id": chunk.folder_id, "uidvalidity": chunk.span.uidvalidity}


def _location_row(chunk: ClaimedChunk, row: LocationRow, message_id: int) -> dict[str, object]:
    return _place(chunk) | {
        "tenant_id": chunk.tenant_id,
        "uid": row.uid,
        "message_id": message_id,
        "provider_id": row.provider_id,
        "flags": list(row.flags),
        "received_at": row.received_at,
    }


def _quarantine_row(chunk: ClaimedChunk, row: LocationRow) -> dict[str, object]:
    return _place(chunk) | {
        "tenant_id": chunk.tenant_id,
        "uid": row.uid,
        "provider_id": row.provider_id,
        "size": row.size,
        "reason": "larger than CHUNK_SYNC_MAX_MESSAGE_BYTES",
    }


def _raw_row(chunk: ClaimedChunk, message: MessageRow) -> dict[str, object]:
    return {
        "tenant_id": chunk.tenant_id,
        "sha256": message.raw_sha256,
        "codec": message.codec,
        "size": message.size,
        "data": message.data,
    }


def _message_row(chunk: ClaimedChunk, message: MessageRow, message_id: int) -> dict[str, object]:
    return {
        "id": message_id,
        "tenant_id": chunk.tenant_id,
        "mailbox_id": chunk.mailbox_id,
        "raw_sha256": message.raw_sha256,
        "size": message.size,
        "message_id": message.message_id,
        "in_reply_to": message.in_reply_to,
        "reference_ids": list(message.reference_ids),
        "subject": message.subject,
        "from_name": message.from_name,
        "from_address": message.from_address,
        "to_addresses": Jsonb(list(message.to_addresses)),
        "cc_addresses": Jsonb(list(message.cc_addresses)),
        "bcc_addresses": Jsonb(list(message.bcc_addresses)),
        "direction": message.direction,
        "sent_at": message.sent_at,
        "received_at": message.received_at,
        "snippet": message.snippet,
        "has_attachments": any(not attachment.is_inline for attachment in message.attachments),
        "parse_status": message.parse_status,
        "defects": list(message.defects),
    }


def _body_row(chunk: ClaimedChunk, message: MessageRow, message_id: int) -> dict[str, object]:
    return {
        "message_id": message_id,
        "tenant_id": chunk.tenant_id,
        "headers": Jsonb([list(pair) for pair in message.headers]),
        "body_text": message.body_text,
        "body_html": message.body_html,
    }


def _attachment_row(chunk: ClaimedChunk, attachment: AttachmentRow, message_id: int) -> dict[str, object]:
    return {
        "message_id": message_id,
        "tenant_id": chunk.tenant_id,
        "part": attachment.part,
        "filename": attachment.filename,
        "content_type": attachment.content_type,
        "content_id": attachment.content_id,
        "size": attachment.size,
        "sha256": attachment.sha256,
        "is_inline": attachment.is_inline,
    }
