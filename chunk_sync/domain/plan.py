"""Planning: cut a folder's messages into chunks. Pure and deterministic: same listing, same chunks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from chunk_sync.domain.chunks import ChunkPlan, PlannedMessage
from chunk_sync.domain.spans import UidSet

_ROLE_ORDER = {
    "inbox": 0,
    "sent": 1,
    None: 2,
    "flagged": 3,
    "drafts": 4,
    "archive": 5,
    "all": 6,
    "junk": 7,
    "trash": 8,
}


def plan_chunks(messages: Iterable[PlannedMessage], *, max_messages: int, max_bytes: int) -> Iterator[ChunkPlan]:
    """Cut messages, given with the highest UID (the newest) first, into chunks in that order.

    A chunk is closed at `max_messages`, or before it would weigh more than `max_bytes`; a message that is
    larger than that is a chunk of its own.
    """
    chunk: list[PlannedMessage] = []
    weight = 0
    for message in messages:
        if chunk and (len(chunk) >= max_messages or weight + message.size > max_bytes):
            yield _chunk(chunk, weight)
            chunk, weight = [], 0
        chunk.append(message)
        weight += message.size
    if chunk:
        yield _chunk(chunk, weight)


def in_range(received_at: datetime | None, start: datetime | None, end: datetime | None) -> bool:
    """Tell whether a message belongs to the half-open range [start, end). One without a date always does."""
    if received_at is None:
        return True
    return (start is None or received_at >= start) and (end is None or received_at < end)


def folder_rank(role: str | None, path: str) -> tuple[int, str]:
    """Sort key of folders: what people look at first is synced first."""
    return _ROLE_ORDER.get(role, _ROLE_ORDER[None]), path


def _chunk(messages: Sequence[PlannedMessage], weight: int) -> ChunkPlan:
    ascending = sorted(messages, key=lambda m: m.uid)
    ids = tuple(m.provider_id for m in ascending if m.provider_id is not None)
    return ChunkPlan(
        uids=UidSet.of(m.uid for m in ascending),
        provider_ids=ids if len(ids) == len(ascending) else None,
        emails=len(ascending),
        bytes=weight,
    )
