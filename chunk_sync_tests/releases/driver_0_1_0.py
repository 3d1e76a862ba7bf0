"""Drive a release of chunk_sync as a process of its own: commands on standard input, a line each, answers on output.

Runs on whatever chunk_sync PYTHONPATH names, from 0.1.0 on, and imports nothing else of ours. It works as Dagster's
runs do: a worker, a plan, a run over a dispatch or over partitions.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import cast

import chunk_sync
from chunk_sync.domain.chunks import ChunkOutcome
from chunk_sync.domain.dispatch import Slice
from chunk_sync.domain.partitions import job_keys
from chunk_sync.domain.spans import Span
from chunk_sync.engine.connect import source_opener
from chunk_sync.engine.plan_job import plan_job
from chunk_sync.engine.range_run import RangeRun, RunRequest, start_run
from chunk_sync.engine.run_chunks import Parts
from chunk_sync.engine.worker import Worker
from chunk_sync.errors import ErrorCategory, ProviderError
from chunk_sync.mail.source import RawMessage, Source
from chunk_sync.settings import Settings
from chunk_sync.store import queue
from chunk_sync.store.database import Database
from chunk_sync.store.mailboxes import Mailbox, add_mailbox, request_sync
from chunk_sync.store.migrations import check_schema, migrate

try:
    from chunk_sync.store import dispatches
except ImportError:  # before 0.3.0 they were part of the queue
    dispatches = queue

LEASE = 60.0
FATES = ("Dead", "Done", "Held", "Lost", "Retry")  # folders of a half-done mailbox, in the order of their chunks


class Driver:
    """One process of the release, with its pool; commands are its public methods."""

    def __init__(self, dsn: str) -> None:
        self._database = Database(dsn, pool_size=8, application="chunk_sync release")
        self._settings = Settings.read()
        self._parts = Parts(self._database, self._settings, source_opener(self._settings))
        self._held: HeldRun | None = None

    def hello(self) -> dict[str, str]:
        """Say who is driven."""
        return {"version": chunk_sync.__version__, "file": str(chunk_sync.__file__)}

    def migrate(self) -> int:
        """Bring the database to this release's schema."""
        return migrate(self._database).version

    def check(self) -> None:
        """Look at the schema as a command does that starts."""
        check_schema(self._database)

    def mailbox(self, name: str, address: str) -> int:
        """Add a mailbox."""
        provider = address.partition(":")[0]
        return add_mailbox(self._database, name=name, address=address, provider=provider, credential=None).id

    def request(self, mailbox: str, sync_type: str | None = None) -> int:
        """Ask for a sync; returns the job."""
        return request_sync(self._database, mailbox, sync_type=sync_type).job_id

    def plan(self, job_id: int) -> str | None:
        """Plan a job as a plan run does; its status then."""
        with Worker(self._database, f"plan-{job_id}", LEASE) as worker:
            outcome = plan_job(self._database, self._settings, self._parts.open_mailbox, worker, job_id)
        return outcome.status if outcome else None

    def run(self, name: str = "run", job_id: int = 0, indexes: Sequence[int] = ()) -> dict[str, str]:
        """Run what is due, or chunks of a job by hand; the state of each chunk."""
        run = start_run(self._parts, RunRequest(name, job_keys(job_id, indexes)))
        try:
            return _states(run.process())
        finally:
            run.close()

    def hold(self, job_id: int) -> dict[str, str]:
        """Leave a job half done: its folders are named after what becomes of their chunk.

        Dead: a dead letter. Done: landed. Held: in the hands of a run that goes on (`heartbeat`, `land`). Lost: in
        the hands of a worker that is gone. Retry: failed once, due again later. What follows these is not touched.
        """
        self._held = HeldRun(self._parts, job_id)
        return self._held.begin()

    def heartbeat(self) -> bool:
        """Renew the lease of the run that holds a chunk."""
        return self._the_run().heartbeat()

    def land(self) -> dict[str, str]:
        """Let the held chunk land, and end the run."""
        return self._the_run().land()

    def stand_by(self, job_id: int, index: int) -> None:
        """Open a worker that nobody else knows, to claim a chunk by hand."""
        self._by_hand = queue.open_worker(self._database, "by-hand", LEASE, "by-hand")
        self._chunk_id = queue.chunks_by_index(self._database, job_id, [index])[0].chunk_id

    def claim(self) -> int:
        """Claim that chunk; its attempt."""
        (self._claimed,) = queue.claim_chunks(self._database, self._by_hand, [self._chunk_id], 1)
        return self._claimed.attempt

    def fail(self) -> bool:
        """Report that chunk as failed; whether it is tried again."""
        answer = queue.fail_chunk(
            self._database,
            self._claimed,
            category=ErrorCategory.NETWORK,
            message="connection reset",
            code=None,
            retry_after=None,
            account_scope=False,
            duration_ms=1,
        )
        return answer.next_attempt_at is not None

    def goodbye(self) -> int:
        """End that worker; how many chunks it gave back."""
        return queue.close_worker(self._database, self._by_hand)

    def recover(self, *run_ids: str) -> list[int]:
        """Give back what runs hold that are dead; the chunks' indexes."""
        return [chunk.chunk_index for chunk in queue.recover(self._database, list(run_ids))]

    def _the_run(self) -> HeldRun:
        assert self._held is not None
        return self._held


class HeldRun:
    """A run over the fated chunks of a job, in a thread, that waits at the folder Held."""

    def __init__(self, parts: Parts, job_id: int) -> None:
        settings = dataclasses.replace(parts.settings, patience_seconds=0.0)
        self._open = parts.open_mailbox
        self._parts = Parts(parts.database, settings, self._open_fated)
        self._job_id = job_id
        self._outcomes: list[ChunkOutcome] = []
        self._answered = threading.Semaphore(0)
        self._gate = threading.Event()
        self._thread = threading.Thread(target=self._process, daemon=True)

    def begin(self) -> dict[str, str]:
        """Lose one chunk, then dispatch a run; returns what was reported until nothing moves any more."""
        database = self._parts.database
        due = next(job for job in dispatches.due_jobs(database) if job.job_id == self._job_id)
        self._lose(due.chunk_indexes[FATES.index("Lost")])
        piece = Slice(due, due.chunk_indexes[0], due.chunk_indexes[len(FATES) - 1], len(FATES), scattered=False)
        dispatch = dispatches.add_dispatch(database, piece, LEASE)
        request = RunRequest("held-run", dispatch_id=getattr(dispatch, "id", dispatch))
        self._run: RangeRun = start_run(self._parts, request, self._report)
        self._thread.start()
        for _ in FATES[:-1]:  # all but Lost: three reports, and the held one's arrival
            assert self._answered.acquire(timeout=120), self._outcomes
        return _states(self._outcomes)

    def heartbeat(self) -> bool:
        """Renew the run's lease."""
        return queue.heartbeat(self._parts.database, self._run.worker.id, LEASE)

    def land(self) -> dict[str, str]:
        """Open the gate, and end the run; what became of its chunks."""
        self._gate.set()
        self._thread.join(timeout=120)
        self._run.close()
        assert self._run.error is None, self._run.error
        return _states(self._outcomes)

    def meet(self, fate: str) -> None:
        """Do to a fetch what its folder says."""
        if fate == "Held":
            self._answered.release()
            assert self._gate.wait(timeout=300)
        elif fate == "Dead":
            message = "no access"
            raise ProviderError(message, ErrorCategory.PERMISSION)
        elif fate == "Retry":
            message = "connection reset"
            raise ProviderError(message, ErrorCategory.NETWORK)

    def _open_fated(self, mailbox: Mailbox) -> Source:
        return cast("Source", _FatedSource(self._open(mailbox), self))

    def _lose(self, index: int) -> None:
        database = self._parts.database
        worker = queue.open_worker(database, "lost", LEASE, "lost-run")
        chunk = queue.chunks_by_index(database, self._job_id, [index])[0]
        (claimed,) = queue.claim_chunks(database, worker, [chunk.chunk_id], 1)
        assert _fate(claimed.span) == "Lost", claimed

    def _process(self) -> None:
        self._outcomes = self._run.process()

    def _report(self, outcome: ChunkOutcome) -> None:
        self._outcomes.append(outcome)
        self._answered.release()


class _FatedSource:
    """A source that meets the fates of its folders before it gives their messages out."""

    def __init__(self, source: Source, run: HeldRun) -> None:
        self._source = source
        self._fates = run

    def fetch(self, span: Span, *known: frozenset[int], **wishes: bool) -> Iterator[RawMessage]:
        """Later versions also say what they know already, and how they want it."""
        self._fates.meet(_fate(span))
        return self._source.fetch(span, *known, **wishes)

    def __getattr__(self, name: str) -> object:
        return getattr(self._source, name)


def _fate(span: Span) -> str:
    return span.folder_key.rpartition(".")[2]


def _states(outcomes: Sequence[ChunkOutcome]) -> dict[str, str]:
    return {outcome.key: str(outcome.state) for outcome in outcomes}


def main(dsn: str) -> None:
    """Answer commands, `[name, arguments...]`, until there are no more."""
    driver = Driver(dsn)
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        try:
            answer = {"answer": getattr(driver, name)(*arguments)}
        except Exception as error:  # noqa: BLE001 - the answer to whoever asked
            answer = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
