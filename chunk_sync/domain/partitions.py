"""Partition keys: `j000042-c000017` is chunk 17 of sync job 42. Pure.

Keys are public in the UI: opaque, `[a-z0-9-]`, of fixed width so that they sort, and with the job in
front so that the Partitions tab's filter shows one job.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

PARTITIONS_NAME = "chunks"
KEY_WINDOW = 2000
"""Chunks whose keys Dagster is given at once: keys of one job lie side by side within a window, and nowhere else."""
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


def window_end(chunk_index: int) -> int:
    """Give the first index after the window that a chunk is in."""
    return (chunk_index // KEY_WINDOW + 1) * KEY_WINDOW


def between(keys: Sequence[str], places: dict[str, int], first: str, last: str) -> Sequence[str]:
    """Give what Dagster understands by a range of keys: all that were added from the first to the last of them.

    `places` are the keys' own, in the order in which they were added. Nothing, where one is missing.
    """
    if first not in places or last not in places:
        return ()
    return keys[places[first] : places[last] + 1]
