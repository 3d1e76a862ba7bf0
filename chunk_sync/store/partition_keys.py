"""Partition keys: which chunks Dagster is to know as partitions, and which it need not know any more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chunk_sync.domain.partitions import ChunkKey
from chunk_sync.store.database import Database


@dataclass(frozen=True, slots=True)
class KeyState:
    """A chunk whose key Dagster has. `landed`: over and told; `expired`: past the retention of its job's keys."""

    landed: bool
    expired: bool


def unregistered_jobs(database: Database) -> list[tuple[int, int]]:
    """List planned jobs whose partition keys Dagster does not know: (job id, chunks)."""
    return [(row["id"], row["total_chunks"]) for row in database.rows("keys_unregistered")]


def total_chunks(database: Database, job_id: int) -> int:
    """Count the chunks that a job was planned with; 0 when there is no such job."""
    row = database.row("keys_job", {"job_id": job_id})
    return row["total_chunks"] if row else 0


def key_states(database: Database, keys: Sequence[ChunkKey]) -> dict[ChunkKey, KeyState]:
    """Look up what became of chunks; a key that is missing from the answer names none."""
    parameters = {"job_ids": [key.job_id for key in keys], "indexes": [key.chunk_index for key in keys]}
    return {
        keys[row["place"]]: KeyState(row["is_landed"], row["is_expired"])
        for row in database.rows("keys_known", parameters)
    }


def mark_registered(database: Database, job_id: int) -> None:
    """Note that Dagster knows a job's partition keys."""
    database.rows("keys_registered", {"job_id": job_id})
