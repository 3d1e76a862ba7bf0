"""One process of the engine alone: `python -m benchmarks.mail.engine`, through the product's own use cases.

The first of them requests the sync and plans it; the job's chunks are cut into dispatches, as the sensor would, and
each process runs its own. Words: `plan PROCESSES`, then `run ID,ID`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

from benchmarks.mail.programs.meter import cpu_seconds, peak_megabytes
from benchmarks.queue.programs.wire import Wire, main
from chunk_sync.domain.chunks import ChunkState
from chunk_sync.domain.dispatch import MAX_SLICE, DueJob, Slice
from chunk_sync.engine.connect import source_opener
from chunk_sync.engine.plan_job import plan_job
from chunk_sync.engine.range_run import RunRequest, start_run
from chunk_sync.engine.run_chunks import Parts
from chunk_sync.engine.worker import Worker
from chunk_sync.settings import Settings
from chunk_sync.store import dispatches
from chunk_sync.store.database import Database
from chunk_sync.store.mailboxes import add_mailbox, get_mailbox, request_sync
from chunk_sync.store.migrations import migrate

MAILBOX = "box"
_MARK_SECONDS = 3600.0


def setup(wire: Wire) -> None:
    """Migrate, and add the mailbox."""
    job = wire.job
    with Database(wire.dsn) as database:
        migrate(database)
        credential = f"file:{job['secret']}"
        add_mailbox(database, name=MAILBOX, address=job["address"], provider="imap", credential=credential)


def work(wire: Wire) -> None:
    """Plan when told to, run what is given, and say what it took."""
    settings = Settings.read({"CHUNK_SYNC_HOME": wire.job["home"], **wire.job["settings"]})
    with Database(wire.dsn) as database:
        parts = Parts(database, settings, source_opener(settings))
        dispatches.live_runs(database)  # connected
        wire.say(ready=True)
        cpu = cpu_seconds()
        while (word := wire.word()) != "stop":
            verb, _, argument = word.partition(" ")
            if verb == "plan":
                wire.say(planned=_plan(parts, int(argument)))
            elif verb == "run":
                _run(parts, [int(number) for number in argument.split(",") if number])
                wire.say(result={"cpu": cpu_seconds() - cpu, "peak_mb": peak_megabytes()})


def _plan(parts: Parts, processes: int) -> dict[str, Any]:
    """Request and plan; the job, and the dispatches that share it evenly."""
    database = parts.database
    box = get_mailbox(database, MAILBOX)
    job_id = request_sync(database, MAILBOX, requested_by="benchmark").job_id
    with Worker(database, "plan", parts.settings.lease_seconds) as worker:
        outcome = plan_job(database, parts.settings, parts.open_mailbox, worker, job_id)
    assert outcome is not None
    assert outcome.result is not None, outcome.error
    chunks = outcome.result.chunks
    due = DueJob(job_id, box.tenant_id, box.id, box.name, box.tenant, 20, box.connection_limit, range(chunks))
    rounds = math.ceil(chunks / (processes * MAX_SLICE))
    size = math.ceil(chunks / (processes * rounds))
    slices = [
        Slice(due, first, min(first + size, chunks) - 1, min(size, chunks - first), scattered=False)
        for first in range(0, chunks, size)
    ]
    return {
        "job": job_id,
        "dispatches": [dispatches.add_dispatch(database, piece, _MARK_SECONDS).id for piece in slices],
    }


def _run(parts: Parts, dispatches: Sequence[int]) -> None:
    for number in dispatches:
        run = start_run(parts, RunRequest(f"benchmark-{os.getpid()}-{number}", dispatch_id=number))
        try:
            outcomes = run.process()
        finally:
            run.close()
        bad = [outcome for outcome in outcomes if outcome.state is not ChunkState.COMPLETED]
        if bad or run.error:
            message = f"{len(bad)} chunks did not land: {run.error or bad[0].reason}"
            raise RuntimeError(message)


if __name__ == "__main__":
    main(setup=setup, work=work)
