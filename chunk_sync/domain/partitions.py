"""Partition keys: `j000042-c000017` is chunk 17 of sync job 42. Pure.

Keys are public in the UI: opaque, `[a-z0-9-]`, of fixed width so that they sort, and with the job in
front so that the Partitions tab's filter shows one job.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

PARTITIONS_NAME = "chunks"
_KEY = re.compile(r"j(\d{6,})-c(\d{6,})")


class ChunkKey(NamedTuple):
    """A chunk as Dagster names it: its sync job and its index in that job (0 is the newest mail)."""

    job_id: int
    chunk_index: int


def partition_key(job_id: int, chunk_index: int) -> str:
    """Name a chunk for Dagster."""
    return f"j{job_id:06d}-c{chunk_index:06d}"


def parse_partition_key(key: str) -> ChunkKey | None:
    """Read a partition key; None when it is not one of ours (the UI's dialog can invent keys)."""
    match = _KEY.fullmatch(key)
    return ChunkKey(int(match[1]), int(match[2])) if match else None


def job_keys(job_id: int, chunk_indexes: Iterable[int]) -> list[str]:
    """Name many chunks of one job, in the order given."""
    return [partition_key(job_id, index) for index in chunk_indexes]
