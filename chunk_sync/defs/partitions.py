"""Chunks as Dagster's dynamic partitions."""

import dagster as dg

from chunk_sync.domain.partitions import PARTITIONS_NAME, job_keys
from chunk_sync.store import plans
from chunk_sync.store.database import Database

chunk_partitions = dg.DynamicPartitionsDefinition(name=PARTITIONS_NAME)

_KEYS_A_CALL = 5000


def register_new_keys(instance: dg.DagsterInstance, database: Database) -> list[int]:
    """Give Dagster the keys of newly planned jobs; returns the jobs.

    Only the dispatching sensor calls this: a job's keys must lie side by side, in their order, because a run
    names its chunks by a range of keys.
    """
    jobs = plans.unregistered_jobs(database)
    for job_id, chunks in jobs:
        keys = job_keys(job_id, range(chunks))
        for start in range(0, len(keys), _KEYS_A_CALL):
            instance.add_dynamic_partitions(PARTITIONS_NAME, keys[start : start + _KEYS_A_CALL])
        plans.mark_registered(database, job_id)
    return [job_id for job_id, _ in jobs]
