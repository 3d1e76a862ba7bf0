"""The queue against its model: whatever is done to it, in whatever order, by whichever connection.

A session runs sixty histories. For more: `.venv/bin/python -m chunk_sync_tests.store.test_queue_stateful 10000`.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import psycopg
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from chunk_sync.local.dsn import libpq_url
from chunk_sync.store.database import Database, query
from chunk_sync_tests.store.queue_model import (
    DELAYS_MS,
    NOON,
    ROWS,
    Chunk,
    Job,
    Mailbox,
    QueueModel,
    add_mailbox,
    add_tenant,
    connect,
    faults,
    plan_job,
    tell_time,
)

LEASE = timedelta(seconds=60)
SESSIONS = 3
CLEAR = """
    DELETE FROM dispatches; DELETE FROM sync_jobs; DELETE FROM mailboxes; DELETE FROM tenants; DELETE FROM workers;
    DELETE FROM provider_lanes; DELETE FROM chunked_sync_health_monitoring; DELETE FROM audit_log;
    UPDATE queue_rules SET breaker_failures = 3, provider_open_lanes = 2, provider_open_tenants = 2;
"""
RECORDS = """
    SELECT to_jsonb(q), to_jsonb(j), to_jsonb(l), (SELECT jsonb_agg(w ORDER BY w.id) FROM workers AS w),
        (SELECT count(*) FROM chunked_sync_health_monitoring)
    FROM chunk_processing_queue AS q
    INNER JOIN sync_jobs AS j ON j.id = q.sync_job_id
    INNER JOIN mailbox_lanes AS l ON l.mailbox_id = q.mailbox_id
    WHERE q.chunk_id = %s
"""
FAIL = """
    SELECT chunk_id, accepted, chunk_status::text, next_attempt_at FROM fail_chunks(
        %s::bigint[], %s::bigint[], %s::error_category[], %s::text[], NULL, %s::integer[], %s::boolean[], %s::integer[]
    )
"""

pick = st.integers(0, 999)
scopes = st.sampled_from(["sync_job", "mailbox", "tenant"])
outcomes = st.sampled_from(["completed", "completed", None, None, "network", "rate_limit", "unknown", "permission"])
waits = st.one_of(st.integers(2, 20), st.integers(21, 130), st.integers(131, 3600))


class QueueMachine(RuleBasedStateMachine):
    """A small world of two or three tenants; each rule does something to both queues and compares the answers."""

    conns: ClassVar[list[psycopg.Connection[Any]]]
    """Of all histories: what a connection remembers of an earlier one must not matter."""

    def __init__(self) -> None:
        super().__init__()
        self.model = QueueModel()
        self.workers: list[int] = []
        self.conns[0].execute(CLEAR)
        for conn in self.conns:
            tell_time(conn, NOON)
            conn.execute("SELECT setseed(0.5)")

    # What it takes to do something

    def ask(self, session: int, statement: str, *parameters: object) -> list[Any]:
        """Run a statement on one of the connections."""
        cursor = self.conns[session % SESSIONS].execute(statement.encode(), parameters)
        return cursor.fetchall()

    def one(self, session: int, statement: str, *parameters: object) -> Any:
        """Run a statement; the first column of its first row."""
        return self.ask(session, statement, *parameters)[0][0]

    def worker(self, session: int, number: int) -> int:
        """Choose a worker, rather one with a lease."""
        alive = [worker for worker in self.workers if self.model.alive(worker)]
        if number % 6 == 0:
            return self.workers[number // 6 % len(self.workers)]
        return alive[number // 6 % len(alive)] if alive else self.open_worker(session)

    def job(self, number: int) -> Job:
        """Choose a job."""
        return self.model.jobs[number % len(self.model.jobs)]

    def chunk(self, number: int) -> Chunk:
        """Choose a chunk, rather a running one."""
        running = [chunk for chunk in self.model.chunks if chunk.status == "processing"]
        among = running if running and number % 4 else self.model.chunks
        return among[number // 4 % len(among)]

    def some(self, numbers: Sequence[int], zombies: bool) -> list[tuple[Chunk, int]]:
        """Choose different chunks, each with its token, or with an older one for a zombie."""
        chunks = dict.fromkeys(self.chunk(number) for number in numbers)
        return [(chunk, chunk.token - (zombies and number % 2)) for chunk, number in zip(chunks, numbers, strict=False)]

    def scope(self, scope: str, number: int) -> tuple[str, Sequence[Job]]:
        """Choose a job, mailbox or tenant: its public id, and its open jobs."""
        job = self.job(number)
        box = job.mailbox
        uuid, jobs = {
            "sync_job": (job.uuid, [job]),
            "mailbox": (box.uuid, [j for j in self.model.jobs if j.mailbox is box]),
            "tenant": (box.tenant.uuid, [j for j in self.model.jobs if j.mailbox.tenant is box.tenant]),
        }[scope]
        return uuid, [j for j in jobs if j.status == "processing"]

    @contextmanager
    def nothing_changes(self, chunks: Sequence[Chunk]) -> Iterator[None]:
        """Hold that a refused call leaves chunk, job, lane, workers and attempts as they were."""
        before = [self.ask(0, RECORDS, chunk.id) for chunk in chunks]
        yield
        assert before == [self.ask(0, RECORDS, chunk.id) for chunk in chunks]

    def observe(self) -> dict[str, int | None]:
        """Read what the breakers say; the room that each provider leaves."""
        for box_id, breaker, not_before, allowed in self.ask(
            0, "SELECT mailbox_id, breaker::text, not_before, allowed FROM mailbox_lanes"
        ):
            box = next(box for box in self.model.mailboxes if box.id == box_id)
            ready = breaker == "half_open" or (breaker == "open" and not_before <= self.model.now)
            box.breaker, box.not_before = "half_open" if ready else breaker, not_before
            box.allowed = allowed
            assert box.throttled_until <= not_before
            assert not_before <= max(self.model.now + timedelta(minutes=15), box.throttled_until)
        providers = self.ask(0, "SELECT provider, chunk_limit, breaker::text, not_before FROM provider_lanes")
        return {
            provider: 0 if not_before > self.model.now else limit if breaker == "closed" else 1
            for provider, limit, breaker, not_before in providers
        }

    # The world

    @initialize(
        limits=st.lists(st.sampled_from([None, None, 1, 2, 3, 5]), min_size=2, max_size=3),
        boxes=st.lists(st.tuples(pick, st.integers(1, 4), st.booleans()), min_size=2, max_size=4),
        provider_limit=st.sampled_from([None, None, 2, 4, 6]),
        jobs=st.lists(st.tuples(pick, st.integers(1, 6), st.integers(1, 30), st.booleans()), min_size=2, max_size=5),
    )
    def build(
        self,
        limits: list[int | None],
        boxes: list[tuple[int, int, bool]],
        provider_limit: int | None,
        jobs: list[tuple[int, int, int, bool]],
    ) -> None:
        """Make tenants with and without limits, mailboxes at two providers, the first jobs and workers."""
        conn = self.conns[0]
        tenants = [add_tenant(conn, f"t{i}", weight=i + 1, limit=limit) for i, limit in enumerate(limits)]
        for number, (tenant, limit, other) in enumerate(boxes):
            host = "two.example" if other else "one.example"
            owner = tenants[tenant % len(tenants)]
            self.model.mailboxes.append(add_mailbox(conn, owner, f"b{number}", host=host, limit=limit))
        conn.execute(
            "UPDATE provider_lanes SET chunk_limit = %s WHERE provider = 'imap:one.example'", (provider_limit,)
        )
        self.planner = self.one(0, "SELECT open_worker('planner', '100 days')")
        self.workers = [self.open_worker(0), self.open_worker(0)]
        for session, (box, chunks, priority, few) in enumerate(jobs):
            self.plan(session, box, chunks, priority, few)

    def open_worker(self, session: int) -> int:
        """Register a worker."""
        worker = self.one(session, "SELECT open_worker('worker', %s)", LEASE)
        self.workers.append(worker)
        self.model.leases[worker] = self.model.now + LEASE
        return worker

    @rule(session=pick, box=pick, chunks=st.integers(0, 6), priority=st.integers(1, 30), few=st.booleans())
    def plan(self, session: int, box: int, chunks: int, priority: int, few: bool) -> None:
        """A job is planned; half of the jobs allow other numbers of attempts than three."""
        mailbox: Mailbox = self.model.mailboxes[box % len(self.model.mailboxes)]
        conn = self.conns[session % SESSIONS]
        job = plan_job(conn, self.planner, mailbox, query("plan_enqueue"), chunks=chunks, priority=priority)
        attempts = 1 + box % 5 if few else 3
        conn.execute("UPDATE chunk_processing_queue SET max_attempts = %s WHERE sync_job_id = %s", (attempts, job.id))
        now = self.model.now
        for (chunk_id,) in self.ask(0, "SELECT id FROM sync_chunks WHERE sync_job_id = %s ORDER BY id", job.id):
            chunk = Chunk(chunk_id, job, priority, now, now - priority * timedelta(minutes=1), max_attempts=attempts)
            job.chunks.append(chunk)
        job.closed_at = None if chunks else now
        self.model.jobs.append(job)

    @rule(seconds=waits, sweep=st.booleans(), beats=st.lists(pick, max_size=2))
    def time_passes(self, seconds: int, sweep: bool, beats: list[int]) -> None:
        """Leases expire or are renewed, retries fall due, breakers half-open."""
        self._set_clock(self.model.now + timedelta(seconds=seconds))
        for number in beats:
            self.heartbeat(seconds, number)
        if sweep:
            self.recover(seconds, None)

    @rule(session=pick, worker=pick)
    def a_chunk_falls_due(self, session: int, worker: int) -> None:
        """A millisecond before its time nobody gets it, at its time somebody does."""
        due = min(
            (c.available for c in self.model.chunks if c.status == "pending" and c.available > self.model.now),
            default=None,
        )
        if due is None:
            return
        for moment in (due - timedelta(milliseconds=1), due):
            self._set_clock(moment)
            chunks = [n for n, c in enumerate(self.model.chunks) if c.status == "pending" and c.available >= due]
            self.claim_given(session, worker, chunks, limit=4)
        self._set_clock(due + timedelta(seconds=2))

    def _set_clock(self, now: datetime) -> None:
        self.model.now = now
        for conn in self.conns:
            tell_time(conn, now)

    # Workers

    @rule(session=pick, worker=pick, limit=st.integers(0, 8))
    def claim_anything(self, session: int, worker: int, limit: int) -> None:
        """A claim takes due chunks: within all limits, each mailbox's first ones; none only if there is none."""
        worker = self.worker(session, worker)
        rooms = self.observe()
        waiting = [chunk for chunk in self.model.chunks if self.model.ready(chunk)]
        eligible = [chunk for chunk in waiting if self.model.room(chunk.job.mailbox, rooms) > 0]
        try:
            rows = self.ask(session, "SELECT chunk_id, lease_token, attempts FROM claim_chunks(%s, %s)", worker, limit)
        except psycopg.DatabaseError as error:
            assert ("CS002", False) == (error.sqlstate, self.model.alive(worker))  # noqa: PT017 - either way is right
            return
        assert self.model.alive(worker)
        assert len(rows) <= limit
        assert rows or not eligible or not limit
        if limit == 1 and rows:
            assert min(map(self.model.urgency, eligible)) == self.model.urgency(self._by_id(rows[0][0]))
        self._take(rows, worker, waiting, rooms)

    @rule(session=pick, worker=pick, numbers=st.lists(pick, min_size=1, max_size=4), limit=st.integers(1, 4))
    def claim_given(self, session: int, worker: int, numbers: list[int], limit: int) -> None:
        """A claim of given chunks takes as many of them as are due and have room."""
        worker = self.worker(session, worker)
        rooms = self.observe()
        wanted = list(dict.fromkeys(self.model.chunks[number % len(self.model.chunks)] for number in numbers))
        waiting = [chunk for chunk in wanted if self.model.ready(chunk)]
        statement = "SELECT chunk_id, lease_token, attempts FROM claim_chunks(%s, %s, %s)"
        eligible = [chunk for chunk in waiting if self.model.room(chunk.job.mailbox, rooms) > 0]
        try:
            rows = self.ask(session, statement, worker, limit, [chunk.id for chunk in wanted])
        except psycopg.DatabaseError as error:
            assert ("CS002", False) == (error.sqlstate, self.model.alive(worker))  # noqa: PT017 - either way is right
            return
        assert len(rows) <= limit
        assert rows or not eligible
        self._take(rows, worker, waiting, rooms)

    @rule(session=pick, worker=pick, limit=st.integers(1, 8), outcomes=st.lists(outcomes, min_size=1, max_size=8))
    def work(self, session: int, worker: int, limit: int, outcomes: list[str | None]) -> None:
        """What happens most: a claim, and something becomes of chunks; somebody plans when there is nothing to do."""
        if not any(chunk.status == "pending" for chunk in self.model.chunks):
            self.plan(session, box=worker, chunks=limit, priority=10 + limit, few=False)
        self.claim_anything(session, worker, limit)
        for number, outcome in zip(range(1, 99, 4), outcomes, strict=False):  # see chunk()
            if outcome == "completed":
                self.complete(session, [number], zombies=False, by_name=False)
            elif outcome is not None:
                self.fail(session, [number], zombies=False, account=limit == 8, category=outcome, hint=None)

    def _take(self, rows: list[Any], worker: int, waiting: list[Chunk], rooms: dict[str, int | None]) -> None:
        taken = [self._by_id(row[0]) for row in rows]
        for chunk, (_, token, attempts) in zip(taken, rows, strict=True):
            assert chunk in waiting
            assert self.model.room(chunk.job.mailbox, rooms) > 0
            self.model.claimed(chunk, worker)
            assert (chunk.token, chunk.attempts) == (token, attempts)
        for box in {chunk.job.mailbox for chunk in taken}:
            last = max((chunk.turn, chunk.id) for chunk in taken if chunk.job.mailbox is box)
            left = [chunk for chunk in waiting if chunk.job.mailbox is box and chunk not in taken]
            assert all((chunk.turn, chunk.id) > last for chunk in left)

    def _by_id(self, chunk_id: int) -> Chunk:
        return next(chunk for chunk in self.model.chunks if chunk.id == chunk_id)

    @rule(session=pick, numbers=st.lists(pick, min_size=1, max_size=4), zombies=st.booleans(), by_name=st.booleans())
    def complete(self, session: int, numbers: list[int], zombies: bool, by_name: bool) -> None:
        """Completions: of what is held, of what is not, again, and by zombies."""
        given = self.some(numbers, zombies)[: 1 if by_name else None]
        refused = [chunk for chunk, token in given if not self.model.held(chunk, token)]
        ids, tokens = [chunk.id for chunk, _ in given], [token for _, token in given]
        if len(refused) == len(given):
            with self.nothing_changes(refused):
                answers = self._complete(session, ids, tokens, by_name)
        else:
            answers = self._complete(session, ids, tokens, by_name)
        expected = {chunk.id: self.model.completed(chunk, token) for chunk, token in given}
        assert expected == answers or (by_name and (expected[ids[0]] != "stale") == (answers[ids[0]] == "accepted"))

    def _complete(self, session: int, ids: list[int], tokens: list[int], by_name: bool) -> dict[int, str]:
        if by_name:
            statement = (
                "SELECT complete_chunk_job_safe(chunk_id, queue_id, 'completed', 7, p_lease_token => %s) ->> 'accepted'"
                " FROM chunk_processing_queue WHERE chunk_id = %s"
            )
            return {ids[0]: "accepted" if self.one(session, statement, tokens[0], ids[0]) == "true" else "refused"}
        statement = "SELECT chunk_id, outcome FROM complete_chunks(%s, %s, %s, %s, NULL, NULL, %s)"
        counts = list(range(len(ids)))
        return dict(self.ask(session, statement, ids, tokens, counts, counts, counts))

    @rule(
        session=pick, numbers=st.lists(pick, min_size=1, max_size=3), zombies=st.booleans(), account=st.booleans(),
        category=st.sampled_from([*DELAYS_MS, "network", "rate_limit"]),
        hint=st.sampled_from([None, None, 500, 90_000]),
    )  # fmt: skip
    def fail(
        self, session: int, numbers: list[int], zombies: bool, account: bool, category: str, hint: int | None
    ) -> None:
        """Failures of any category: due again within the rule's bounds, or a dead letter; stale ones change nothing."""
        given = sorted(self.some(numbers, zombies), key=lambda pair: pair[0].id)
        size = len(given)
        ids, tokens = [chunk.id for chunk, _ in given], [token for _, token in given]
        call = (FAIL, ids, tokens, [category] * size, ["it broke"] * size, [hint] * size, [account] * size, [5] * size)
        if not any(self.model.held(chunk, token) for chunk, token in given):
            with self.nothing_changes([chunk for chunk, _ in given]):
                answers = self.ask(session, *call)
            assert [False] * size == [accepted for _, accepted, *_ in answers]
            return
        answers = {row[0]: row[1:] for row in self.ask(session, *call)}
        for chunk, token in given:
            accepted, status, due = answers[chunk.id]
            assert self.model.held(chunk, token) == accepted
            if not accepted:
                continue
            bounds = self.model.failed(chunk, category, hint)
            assert ("failed" if bounds is None else "pending") == status
            if bounds is not None:
                assert bounds[0] <= (due - self.model.now) / timedelta(milliseconds=1) <= bounds[1]
            self.model.failure(chunk, category, due, account=account)

    @rule(session=pick, numbers=st.lists(pick, min_size=1, max_size=3), zombies=st.booleans(), delay=st.integers(0, 90))
    def release(self, session: int, numbers: list[int], zombies: bool, delay: int) -> None:
        """A snooze uses no attempt."""
        given = self.some(numbers, zombies)
        statement = "SELECT release_chunks(%s::bigint[], %s::bigint[], %s)"
        pause = timedelta(seconds=delay)
        rows = self.ask(session, statement, [chunk.id for chunk, _ in given], [token for _, token in given], pause)
        kept = [chunk for chunk, token in given if self.model.held(chunk, token)]
        assert sorted(chunk.id for chunk in kept) == sorted(row[0] for row in rows)
        self.model.released(kept, self.model.now + pause, keep_turn=not delay)

    @rule(session=pick, worker=pick)
    def heartbeat(self, session: int, worker: int) -> None:
        """A lease is renewed, unless it has run out."""
        worker = self.workers[worker % len(self.workers)]
        assert self.model.alive(worker) == self.one(session, "SELECT heartbeat(%s)", worker)
        if self.model.alive(worker):
            self.model.leases[worker] = self.model.now + LEASE

    @rule(session=pick, worker=pick)
    def close_worker(self, session: int, worker: int) -> None:
        """A goodbye gives back what is held."""
        worker = self.worker(session, worker)
        held = [chunk for chunk in self.model.chunks if chunk.status == "processing" and chunk.worker == worker]
        assert len(held) == self.one(session, "SELECT close_worker(%s)", worker)
        self.model.released(held, self.model.now, keep_turn=True)
        self.model.leases.pop(worker, None)

    # Recovery and operators

    @rule(session=pick, minutes=st.sampled_from([None, None, None, 1, 10]))
    def recover(self, session: int, minutes: int | None) -> None:
        """The sweep takes what expired leases held; the manual one what silent workers hold."""
        if minutes is None:
            dead = [worker for worker in self.workers if not self.model.alive(worker)]
            answer = self.one(session, "SELECT cleanup_stuck_chunks()")
            for worker in dead:
                self.model.leases.pop(worker, None)
        else:
            silent = self.ask(
                session,
                "SELECT id FROM workers WHERE ended_at IS NULL AND heartbeat_at < clock() - make_interval(mins => %s)",
                minutes,
            )
            dead = [row[0] for row in silent]
            answer = self.one(session, "SELECT reset_count FROM reset_stuck_chunks(%s)", minutes)
        assert len(self.model.recovered(dead)) == answer

    @rule(session=pick, number=pick, scope=scopes)
    def cancel(self, session: int, number: int, scope: str) -> None:
        """Nothing of what is cancelled is pending or running any more."""
        uuid, jobs = self.scope(scope, number)
        assert self.model.cancelled(jobs) == self.one(
            session, "SELECT cancel_sync(%s::sync_scope, %s, 'why')", scope, uuid
        )

    @rule(session=pick, number=pick, scope=scopes, more=st.booleans())
    def pause_or_resume(self, session: int, number: int, scope: str, more: bool) -> None:
        """What runs of a pause is given back, and nothing of it is claimed until it is resumed."""
        paused = [
            (kind, j)
            for j in self.model.jobs
            for kind, it in (("sync_job", j), ("mailbox", j.mailbox), ("tenant", j.mailbox.tenant))
            if it.paused
        ]
        if paused and not more:
            self._resume(session, *paused[number % len(paused)])
            return
        uuid, jobs = self.scope(scope, number)
        job = self.job(number)
        assert self.model.paused(jobs) == self.one(session, "SELECT pause_sync(%s::sync_scope, %s, 'why')", scope, uuid)
        self._mark(job, scope, paused=True)

    def _resume(self, session: int, scope: str, job: Job) -> None:
        uuid, _ = self.scope(scope, self.model.jobs.index(job))
        self.one(session, "SELECT resume_sync(%s::sync_scope, %s, 'why')", scope, uuid)
        if scope == "sync_job" and job.status == "processing":
            self.model.resumed(job)
        self._mark(job, scope, paused=False)

    def _mark(self, job: Job, scope: str, *, paused: bool) -> None:
        {"sync_job": job, "mailbox": job.mailbox, "tenant": job.mailbox.tenant}[scope].paused = paused

    @rule(session=pick, number=pick, how=st.sampled_from(["reopen", "force", "job"]))
    def reopen(self, session: int, number: int, how: str) -> None:
        """Chunks opened again have all their attempts, and their job is open."""
        chunk = self.model.chunks[number % len(self.model.chunks)]
        if how == "reopen":
            assert chunk.status == self.one(session, "SELECT reopen_chunk(%s, 'why')::text", chunk.id)
            self.model.reopened([chunk], everything=False)
        elif how == "force":
            answer = self.one(session, "SELECT force_reset_chunk(%s, 'why')", chunk.id)
            assert (True, chunk.status) == (answer["success"], answer["previous_status"])
            self.model.reopened([chunk], everything=True)
        else:
            chunks = [c for c in chunk.job.chunks if c.status in {"failed", "processing"}]
            answer = self.one(session, "SELECT reset_sync_job_chunks(%s, 'why')", chunk.job.uuid)
            assert len(chunks) == answer["reset_count"]
            self.model.reopened(chunks, everything=True)

    @rule(session=pick, what=st.sampled_from(["wake_lanes()", "rebalance_lanes()", "repair_lanes()"]))
    def maintain(self, session: int, what: str) -> None:
        """Maintenance may come at any time, and there is never anything to repair."""
        changed = self.one(session, f"SELECT {what}")
        assert what != "repair_lanes()" or changed == 0

    # What always holds

    @invariant()
    def nothing_is_wrong(self) -> None:
        """No drift, no counter that is off, no limit exceeded: see queue_model.FAULTS."""
        assert [] == faults(self.conns[0])

    @invariant()
    def every_chunk_is_as_the_model_says(self) -> None:
        """Status, attempts, token, lost leases, due time and holder of every chunk."""
        assert [chunk.row() for chunk in self.model.chunks] == self.ask(0, ROWS)

    @invariant()
    def every_job_is_as_the_model_says(self) -> None:
        """Open until its last chunk has ended, closed at that moment and not again."""
        rows = self.ask(0, "SELECT id, status::text, completed_at FROM sync_jobs ORDER BY id")
        assert [(job.id, job.status, job.closed_at) for job in self.model.jobs] == rows

    @invariant()
    def every_execution_that_ended_is_one_attempt(self) -> None:
        """One row an execution, with its number: no more, no less."""
        statement = (
            "SELECT chunk_id, lease_token, status::text, attempt_number FROM chunked_sync_health_monitoring"
            " ORDER BY 1, 2"
        )
        assert [(chunk.id, *ended) for chunk in self.model.chunks for ended in chunk.ended] == self.ask(0, statement)


def play(dsn: str, histories: int, steps: int) -> None:
    """Run histories on a database of our schema."""
    QueueMachine.conns = [connect(libpq_url(dsn)) for _ in range(SESSIONS)]
    run_state_machine_as_test(
        QueueMachine,
        settings=settings(
            max_examples=histories,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_any_history_agrees_with_the_model(database: Database) -> None:
    """Hypothesis makes up histories and looks for one in which the queue breaks a rule or differs from its model."""
    play(database.dsn, histories=60, steps=40)


if __name__ == "__main__":
    from chunk_sync.local.postgres import EmbeddedPostgres
    from chunk_sync.store.migrations import migrate

    with tempfile.TemporaryDirectory(prefix="chunk-sync-test-", dir="/dev/shm") as name:
        Path(name).chmod(0o711)
        with EmbeddedPostgres(Path(name) / "postgres", test=True) as server:
            with Database(server.url("chunk_sync")) as ours:
                migrate(ours)
            play(server.url("chunk_sync"), histories=int(sys.argv[1]), steps=100)
