"""The work of all set-ups: sync jobs on mailboxes in which there is nothing to fetch, and runs over their chunks."""

from __future__ import annotations

import itertools
import time

import dagster as dg

from benchmarks.orchestration.definitions import CHUNK_MESSAGES, open_empty
from benchmarks.orchestration.launch import ended, launch
from chunk_sync.defs.partitions import register_new_keys
from chunk_sync.domain.partitions import partition_key
from chunk_sync.engine.plan_job import plan_job
from chunk_sync.engine.worker import Worker
from chunk_sync.settings import Settings
from chunk_sync.store.database import Database
from chunk_sync.store.mailboxes import add_mailbox, request_sync

_POLL_SECONDS = 0.5  # a run says itself when it ended; asking more often would take the cores from it
_RANGE = "dagster/asset_partition_range_{}".format


class Work:
    """Asks for work over the webserver at `url`, and waits for it."""

    def __init__(self, url: str, database: Database, instance: dg.DagsterInstance) -> None:
        self._url = url
        self._database = database
        self._instance = instance
        self._names = itertools.count(1)

    def plan(self, chunks: int) -> tuple[int, int]:
        """Plan a job of so many chunks, its keys registered; the job and that number."""
        name = f"box{next(self._names)}"
        add_mailbox(
            self._database, name=name, address=f"maildir:/nowhere/{chunks}", provider="maildir", credential=None
        )
        job_id = request_sync(self._database, name, requested_by="benchmark").job_id
        settings = Settings.read({"CHUNK_SYNC_CHUNK_MESSAGES": str(CHUNK_MESSAGES)})
        with Worker(self._database, "plan", settings.lease_seconds) as worker:
            outcome = plan_job(self._database, settings, open_empty, worker, job_id)
        assert outcome is not None
        assert outcome.result is not None, outcome.error
        assert outcome.result.chunks == chunks
        register_new_keys(self._instance, self._database)
        return job_id, chunks

    def together(self, job: tuple[int, int], a_run: int) -> float:
        """Ask at once for all runs over a job, so many chunks each; seconds until the last has ended."""
        job_id, chunks = job
        asked_at = time.time()
        runs = [self._launch(job_id, first, first + a_run - 1) for first in range(0, chunks, a_run)]
        ends = [self._wait(run_id) for run_id in runs]
        return max(ends) - asked_at

    def _launch(self, job_id: int, first: int, last: int) -> str:
        keys = {_RANGE("start"): partition_key(job_id, first), _RANGE("end"): partition_key(job_id, last)}
        return launch(self._url, keys)

    def _wait(self, run_id: str) -> float:
        while (end := ended(self._url, run_id)) is None:
            time.sleep(_POLL_SECONDS)
        assert end.status == "SUCCESS", run_id
        return end.ended_at
