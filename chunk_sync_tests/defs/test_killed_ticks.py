"""A daemon that is killed at any moment of a tick does no harm: what it asked for is there once, or asked for again."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from dagster import DagsterRunStatus, RunsFilter

from chunk_sync.domain.partitions import PARTITIONS_NAME
from chunk_sync.settings import PROJECT_ROOT
from chunk_sync_tests import factory
from chunk_sync_tests.defs.conftest import Edge, keys_of
from chunk_sync_tests.factory import PlannedJob

NOON = "2026-01-01 12:00:00+00"
CHUNKS = 3
DEATHS = 5


class Daemon:
    """Ticks in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def tick(self, fatal: int = 0) -> int:
        """Evaluate all sensors once, or until the fatal statement; its number of statements, 0 when it was killed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{fatal}\n")
        self._process.stdin.flush()
        code, statements = map(int, self._process.stdout.readline().split())
        assert (-9 if fatal else 0) == code
        return statements


@contextmanager
def daemon() -> Iterator[Daemon]:
    """Start it with this process's environment."""
    command = [sys.executable, "-m", "chunk_sync_tests.defs.tick_child"]
    with subprocess.Popen(
        command, cwd=PROJECT_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Daemon(process)
        finally:
            process.kill()


def run_queued(edge: Edge) -> None:
    """Run all that Dagster has queued, the oldest first, as its queue would."""
    for run in reversed(edge.instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.QUEUED]))):
        edge.instance.delete_run(run.run_id)
        edge.run(run.job_name, tags=dict(run.tags), run_config=dict(run.run_config))


def covered(edge: Edge, job: PlannedJob) -> list[int]:
    """List the chunks of a job that live dispatches cover; one that two cover is there twice."""
    rows = edge.database.execute(
        "SELECT first_index, last_index FROM dispatches WHERE sync_job_id = %s AND ended_at IS NULL", (job.id,)
    )
    return sorted(n for row in rows for n in range(row["first_index"], row["last_index"] + 1))


@pytest.mark.usefixtures("dagster_instance")
def test_killed_all_over_a_tick(edge: Edge) -> None:
    """Keys side by side and once, each chunk covered once, each run claims its own, every message lands once.

    Killed before some of its statements, from the first on: the sensors come in any order, so that in
    time each of them is hit everywhere.
    """
    factory.set_clock(edge.database, NOON)
    mailbox = factory.make_mailbox(edge.database)
    jobs: list[PlannedJob] = []
    with daemon() as killed:
        factory.make_job(edge.database, factory.make_mailbox(edge.database, "first"), chunks=CHUNKS)
        statements = killed.tick()
        assert statements > DEATHS
        run_queued(edge)
        for number in range(DEATHS):
            job = factory.make_job(edge.database, mailbox, chunks=CHUNKS)
            jobs.append(job)
            killed.tick(1 + number * (statements // 2) // DEATHS)
            assert covered(edge, job) in ([], list(range(CHUNKS)))
            factory.move_clock(edge.database, "121 s")  # what was asked for and got lost is given up
            killed.tick()
            killed.tick()
            assert list(range(CHUNKS)) == covered(edge, job)
            run_queued(edge)
            assert ("completed", CHUNKS) == tuple(
                factory.job_row(edge.database, job.id)[name] for name in ("status", "completed_chunks")
            )
    live = list(edge.instance.get_dynamic_partitions(PARTITIONS_NAME))
    assert [key for job in jobs for key in keys_of(job)] == live[CHUNKS:]
    attempts = edge.database.execute("SELECT DISTINCT attempts FROM chunk_processing_queue")
    assert [{"attempts": 1}] == attempts
