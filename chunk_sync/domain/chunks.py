"""Chunks as values: a planned one, a claimed one, what became of an attempt. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from chunk_sync.domain.partitions import partition_key
from chunk_sync.domain.spans import Span, UidSet
from chunk_sync.errors import ErrorCategory


@dataclass(frozen=True, slots=True)
class PlannedMessage:
    """A message as the planner weighs it; `size` in bytes, `provider_id` for sources without UIDs."""

    uid: int
    size: int
    provider_id: str | None = None


@dataclass(frozen=True, slots=True)
class ChunkPlan:
    """A chunk to be: the messages by UID, in ascending order, and what they should weigh in bytes."""

    uids: UidSet
    provider_ids: tuple[str, ...] | None
    emails: int
    bytes: int


@dataclass(frozen=True, slots=True)
class ClaimedChunk:
    """A chunk that we hold a lease on. Every later write carries `lease_token`, the fencing token."""

    chunk_id: int
    lease_token: int
    attempt: int
    max_attempts: int
    job_id: int
    chunk_index: int
    tenant_id: int
    mailbox_id: int
    folder_id: int
    folder_role: str | None
    span: Span
    estimated_emails: int
    estimated_bytes: int

    @property
    def key(self) -> str:
        """The partition key."""
        return partition_key(self.job_id, self.chunk_index)


@dataclass(frozen=True, slots=True)
class LandedCounts:
    """What a landing did: requested = inserted + unchanged + absent + quarantined, always."""

    inserted: int = 0
    unchanged: int = 0
    absent: int = 0
    quarantined: int = 0
    bytes: int = 0

    def __add__(self, other: LandedCounts) -> LandedCounts:
        return LandedCounts(
            self.inserted + other.inserted,
            self.unchanged + other.unchanged,
            self.absent + other.absent,
            self.quarantined + other.quarantined,
            self.bytes + other.bytes,
        )

    @property
    def emails(self) -> int:
        """Messages that are accounted for."""
        return self.inserted + self.unchanged + self.absent + self.quarantined


class ChunkState(StrEnum):
    """How an attempt ended, as the run reports it."""

    COMPLETED = "completed"
    RETRY = "retry"  # failed, due again later
    FAILED = "failed"  # dead letter
    LOST = "lost"  # the lease went to somebody else: nothing of this attempt was written


@dataclass(frozen=True, slots=True)
class ChunkOutcome:
    """What became of one attempt at a chunk. Times in milliseconds."""

    chunk_id: int
    key: str
    attempt: int
    state: ChunkState
    duration_ms: int
    counts: LandedCounts | None = None
    category: ErrorCategory | None = None
    reason: str | None = None
    next_attempt_at: datetime | None = None
    seconds_to_next: float | None = None
