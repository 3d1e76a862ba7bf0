"""A look at the system as JSON: what `status --json` prints and the live page asks for."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime

from chunk_sync.cli.readings import Reading
from chunk_sync.store.live import LiveStatus
from chunk_sync.store.status import JobStatus


def status_json(reading: Reading[LiveStatus], *, indent: int | None = None) -> str:
    """Write a look, on one line unless it is indented; without one only `at` and `error`, which is null otherwise."""
    if reading.value is None:
        told = {"at": datetime.now(UTC), "error": reading.error}
    else:
        jobs = [_job(job, reading.value) for job in reading.value.jobs]
        told = dataclasses.asdict(reading.value) | {"jobs": jobs, "error": None}
        del told["ends"]  # stands in each job
    return json.dumps(told, default=_text, indent=indent)


def _job(job: JobStatus, status: LiveStatus) -> dict[str, object]:
    low, high = status.ends.get(job.job_id, (None, None))
    return {**dataclasses.asdict(job), "open": job.open, "low_at": low, "high_at": high}


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
