"""Landing: the idempotent, fenced write of a chunk's messages, the last of them in the transaction that completes it.

Rows that exist are never changed, but for a location's flags and tombstone; so a second run of a chunk changes
nothing, and columns that users add stay theirs. Inserts go in the order of the hash, so that chunks that share messages
cannot deadlock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from psycopg.types.json import Jsonb

from chunk_sync.domain.chunks import ClaimedChunk, LandedCounts
from chunk_sync.store.database import Connection, Database, query
from chunk_sync.store.message_rows import (
    JOINT,
    LocationRow,
    MessageRow,
    attachment_columns,
    body_columns,
    location_columns,
    message_columns,
    raw_columns,
)
from chunk_sync.store.threads import thread_landed

_HEAVY_BYTES = 24 << 20


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a chunk, ready to land: messages by the hash of their bytes, and where they are.

    `known` are the flags, by UID, of messages whose bytes had landed before.
    """

    messages: Mapping[bytes, MessageRow]
    locations: Sequence[LocationRow]
    known: Mapping[int, Sequence[str]]

    @property
    def is_heavy(self) -> bool:
        """Say whether sending it takes memory that is worth giving back."""
        return sum(len(message.data) for message in self.messages.values()) > _HEAVY_BYTES


@dataclass(frozen=True, slots=True)
class AttemptFigures:
    """What an attempt says of itself: its time in ms, its memory in bytes, ms a stage, requests to the provider."""

    duration_ms: int
    memory_usage: int | None
    timings: Mapping[str, float]
    requests: int = 0


def known_sizes(database: Database, chunk: ClaimedChunk) -> dict[int, int]:
    """Give bytes by UID of those messages of a chunk that have landed: by an attempt that broke off, or before."""
    rows = database.rows("location_known", _place(chunk) | {"uids": list(chunk.span.uids)})
    return {row["uid"]: row["size"] for row in rows}


def land_page(database: Database, chunk: ClaimedChunk, page: Page) -> LandedCounts:
    """Land a part of a chunk, which goes on; raises LeaseLost, and then nothing was written."""
    with database.transaction(heavy=page.is_heavy) as conn:
        counts, new = _insert(conn, chunk, page)
        thread_landed(conn, chunk, new)
        # At the end: its lock must not be held while lanes are waited for, which come before chunks.
        conn.execute(query("chunk_hold"), {"chunk_id": chunk.chunk_id, "lease_token": chunk.lease_token})
    return counts


def land_chunk(
    database: Database,
    chunk: ClaimedChunk,
    page: Page,
    before: LandedCounts,
    absent: Sequence[int],
    measure: Callable[[], AttemptFigures],
) -> LandedCounts:
    """Land a chunk's last page and complete it, all or nothing; raises LeaseLost, and then nothing was written.

    `before` is what its other pages did; the messages with an `absent` UID are gone from the mailbox. `measure` is
    asked when all but the completion is done.
    """
    with database.transaction(heavy=page.is_heavy) as conn:
        landed, new = _insert(conn, chunk, page)
        counts = before + landed + LandedCounts(absent=len(absent))
        if absent:
            conn.execute(query("location_vanished"), _place(chunk) | {"uids": list(absent)})
        thread_landed(conn, chunk, new)
        figures = measure()
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
                "metadata": Jsonb({"requests": figures.requests, **figures.timings}),
                "memory_usage": figures.memory_usage,
            },
        )
    return counts


def _insert(conn: Connection, chunk: ClaimedChunk, page: Page) -> tuple[LandedCounts, dict[int, MessageRow]]:
    """Insert a page; returns its counts, and by their ids the messages that are new.

    Their threads come after everything else but the lease: landings of one mailbox take turns from there on.
    """
    ids, new = _insert_messages(conn, chunk, page.messages)
    stored = [(row, ids[row.raw_sha256]) for row in page.locations if row.raw_sha256 is not None]
    oversize = [row for row in page.locations if row.raw_sha256 is None]
    inserted = _insert_locations(conn, chunk, stored)
    flags = {row.uid: row.flags for row, _ in stored} if inserted < len(stored) else {}
    _update_flags(conn, chunk, flags | dict(page.known))
    if oversize:
        with conn.cursor() as cursor:
            cursor.executemany(query("quarantine_insert"), [_quarantine_row(chunk, row) for row in oversize])
    counts = LandedCounts(
        inserted=inserted,
        unchanged=len(stored) - inserted + len(page.known),
        quarantined=len(oversize),
        bytes=sum(row.size for row, _ in stored),
    )
    return counts, new


def _insert_messages(
    conn: Connection, chunk: ClaimedChunk, messages: Mapping[bytes, MessageRow]
) -> tuple[dict[bytes, int], dict[int, MessageRow]]:
    """Insert what is new; returns the id of every message by its hash, and by their ids those that this inserted."""
    known = _message_ids(conn, chunk.mailbox_id, list(messages))
    new = [messages[sha256] for sha256 in sorted(messages.keys() - known.keys())]
    if not new:
        return known, {}
    owner: dict[str, object] = {"tenant_id": chunk.tenant_id, "mailbox_id": chunk.mailbox_id}
    conn.execute(query("message_raw_insert"), owner | raw_columns(new))
    inserted = conn.execute(query("message_insert"), owner | message_columns(new)).fetchall()
    mine = {row["raw_sha256"]: row["id"] for row in inserted}
    if len(mine) < len(new):
        # Another chunk has landed the same bytes meanwhile: its rows count, and it has written the parts.
        known |= _message_ids(conn, chunk.mailbox_id, [m.raw_sha256 for m in new if m.raw_sha256 not in mine])
    ours = {mine[m.raw_sha256]: m for m in new if m.raw_sha256 in mine}
    conn.execute(query("message_body_insert"), owner | body_columns(ours))
    attachments = [(message_id, attachment) for message_id, m in ours.items() for attachment in m.attachments]
    if attachments:
        conn.execute(query("attachment_insert"), owner | attachment_columns(attachments))
    return known | mine, ours


def _insert_locations(conn: Connection, chunk: ClaimedChunk, stored: Sequence[tuple[LocationRow, int]]) -> int:
    """Insert where messages are; returns how many of these places were new."""
    if not stored:
        return 0
    owner: dict[str, object] = {"tenant_id": chunk.tenant_id}
    return conn.execute(query("location_insert"), owner | _place(chunk) | location_columns(stored)).rowcount


def _update_flags(conn: Connection, chunk: ClaimedChunk, flags: Mapping[int, Sequence[str]]) -> None:
    if flags:
        uids = sorted(flags)
        joined = [JOINT.join(flags[uid]) for uid in uids]
        parameters = {"chunk_id": chunk.chunk_id, "uids": uids, "flags": joined}
        conn.execute(query("location_flags"), _place(chunk) | parameters)


def _message_ids(conn: Connection, mailbox_id: int, hashes: list[bytes]) -> dict[bytes, int]:
    rows = conn.execute(query("message_ids"), {"mailbox_id": mailbox_id, "hashes": hashes}).fetchall()
    return {row["raw_sha256"]: row["id"] for row in rows}


def _place(chunk: ClaimedChunk) -> dict[str, object]:
    return {"folder_id": chunk.folder_id, "uidvalidity": chunk.span.uidvalidity}


def _quarantine_row(chunk: ClaimedChunk, row: LocationRow) -> dict[str, object]:
    return _place(chunk) | {
        "tenant_id": chunk.tenant_id,
        "uid": row.uid,
        "provider_id": row.provider_id,
        "size": row.size,
        "reason": "larger than CHUNK_SYNC_MAX_MESSAGE_BYTES",
    }
