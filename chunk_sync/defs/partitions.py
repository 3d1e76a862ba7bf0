"""Chunks as Dagster's dynamic partitions: which of them Dagster knows by now.

Only the dispatching sensor adds keys. A run names its chunks by a range of keys, and a range is whatever was added
from its first to its last key: so keys of one job must lie side by side, in their order, within a window.
"""

from dataclasses import replace
from functools import cached_property

import dagster as dg

from chunk_sync.defs.housekeeping import release_keys
from chunk_sync.domain.dispatch import Slice
from chunk_sync.domain.partitions import KEY_WINDOW, PARTITIONS_NAME, between, job_keys, partition_key, window_end
from chunk_sync.store import partition_keys
from chunk_sync.store.database import Database

_KEYS_A_TICK = 2 * KEY_WINDOW

chunk_partitions = dg.DynamicPartitionsDefinition(name=PARTITIONS_NAME)


class LiveKeys:
    """The keys that Dagster has during one tick, and room for more: at most `limit` of them.

    Room is made by deleting keys of chunks that landed, the oldest first. Nothing is read before it is needed.
    """

    def __init__(self, instance: dg.DagsterInstance, database: Database, limit: int) -> None:
        self._instance = instance
        self._database = database
        self._limit = limit

    def register_new(self) -> list[int]:
        """Give Dagster the first keys of newly planned jobs, where there is room; returns these jobs.

        The rest waits for the next tick, which is to stay short; who is asked for before gets its keys all the same.
        """
        done: list[int] = []
        added = 0
        for job_id, chunks in partition_keys.unregistered_jobs(self._database):
            keys = job_keys(job_id, range(min(chunks, KEY_WINDOW)))
            if added + len(keys) > _KEYS_A_TICK or not self._add(keys):
                break
            added += len(keys)
            partition_keys.mark_registered(self._database, job_id)
            done.append(job_id)
        return done

    def prepare(self, slices: list[Slice]) -> list[Slice]:
        """Have the keys of these slices side by side; a slice for which that cannot be is pulled instead."""
        return [piece if piece.scattered or self._hold(piece) else replace(piece, scattered=True) for piece in slices]

    def _hold(self, piece: Slice) -> bool:
        job_id, wanted = piece.job.job_id, job_keys(piece.job.job_id, range(piece.first_index, piece.last_index + 1))
        if wanted == list(between(self._keys, self._places, wanted[0], wanted[-1])):
            return True
        if not self._places.keys().isdisjoint(wanted):
            return False  # some went when there was no room, or somebody deleted them
        end = min(window_end(piece.last_index), partition_keys.total_chunks(self._database, job_id))
        return self._add(self._until_known(job_id, piece.first_index, end))

    def _until_known(self, job_id: int, first: int, end: int) -> list[str]:
        known = (index for index in range(first, end) if partition_key(job_id, index) in self._places)
        return job_keys(job_id, range(first, next(known, end)))

    def _add(self, keys: list[str]) -> bool:
        """Add keys in their order, where there is room; those that are there already stay where they are."""
        missing = len(keys) - len(self._places.keys() & set(keys))
        if not self._has_room(missing):
            return False
        self._instance.add_dynamic_partitions(PARTITIONS_NAME, keys)
        self._keys = [*self._keys, *(key for key in keys if key not in self._places)]
        del self._places
        return True

    def _has_room(self, count: int) -> bool:
        too_many = len(self._keys) + count - self._limit
        if too_many > 0:
            # More than asked for: deleting keys costs Dagster's pages as much, however few they are.
            gone = release_keys(self._instance, self._database, self._keys, max(too_many, KEY_WINDOW))
            if gone:
                self._keys = [key for key in self._keys if key not in gone]
                del self._places
        return len(self._keys) + count <= self._limit

    @cached_property
    def _keys(self) -> list[str]:
        return list(self._instance.get_dynamic_partitions(PARTITIONS_NAME))

    @cached_property
    def _places(self) -> dict[str, int]:
        return {key: place for place, key in enumerate(self._keys)}


def register_new_keys(instance: dg.DagsterInstance, database: Database) -> list[int]:
    """Give Dagster all keys of newly planned jobs, however many; returns the jobs. For tests and benchmarks."""
    jobs = partition_keys.unregistered_jobs(database)
    for job_id, chunks in jobs:
        for start in range(0, chunks, KEY_WINDOW):
            keys = job_keys(job_id, range(start, min(start + KEY_WINDOW, chunks)))
            instance.add_dynamic_partitions(PARTITIONS_NAME, keys)
        partition_keys.mark_registered(database, job_id)
    return [job_id for job_id, _ in jobs]
