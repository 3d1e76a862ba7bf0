"""Faults that the original had in its database, one test each, and proof that such tests can fail.

Rows that concern other rooms, or a subject that has a file of its own, have their tests there: the last test but one
holds that none is without.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

import psycopg
import pytest

from chunk_sync.store.database import Database, query, sql_folder
from chunk_sync_tests.postgres_plugin import PgServer
from chunk_sync_tests.store.queue_model import (
    NOON,
    Console,
    Job,
    Mailbox,
    add_mailbox,
    add_tenant,
    connect,
    faults,
    plan_job,
)

OF_THE_DATABASE = [*range(1, 19), 22, *range(32, 45), 50, 52]
SECOND = timedelta(seconds=1)


class World(Console):
    """A queue whose worker does one thing at a time."""

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn)
        self.planner = self.worker("planner", "10 days")

    def worker(self, name: str = "worker", lease: str = "60 s") -> int:
        """Register a worker."""
        return self.one("SELECT open_worker(%s, %s::interval)", name, lease)

    def mailbox(self, name: str = "box", *, limit: int = 4) -> Mailbox:
        """A tenant of this name with one mailbox."""
        return add_mailbox(self.conn, add_tenant(self.conn, name), name, limit=limit)

    def job(self, box: Mailbox, chunks: int, priority: int = 20) -> Job:
        """Plan a job."""
        return plan_job(self.conn, self.planner, box, query("plan_enqueue"), chunks=chunks, priority=priority)

    def claim(self, worker: int, limit: int = 1) -> list[tuple[Any, ...]]:
        """Claim anything: chunk, token, attempt."""
        return self.rows("SELECT chunk_id, lease_token, attempts FROM claim_chunks(%s, %s)", worker, limit)

    def complete(self, chunk: tuple[Any, ...]) -> str:
        """Complete a chunk; the outcome."""
        return self.one("SELECT outcome FROM complete_chunks(ARRAY[%s::bigint], ARRAY[%s::bigint], '{10}')", *chunk[:2])

    def fail(self, chunk: tuple[Any, ...], category: str = "network") -> datetime | None:
        """Fail a chunk; when it is due again."""
        return self.one(
            "SELECT next_attempt_at FROM fail_chunk(%s, %s, %s::error_category, 'it broke', 'E_BROKE')",
            *chunk[:2],
            category,
        )

    def statuses(self) -> list[str]:
        """The statuses of all chunks."""
        return [row[0] for row in self.rows("SELECT status::text FROM chunk_processing_queue ORDER BY chunk_id")]

    def job_status(self) -> str:
        """The status of the only job."""
        return self.one("SELECT status::text FROM sync_jobs")


@pytest.fixture
def world(database: Database) -> Iterator[World]:
    """A queue with nothing in it, and nothing wrong with it at the end."""
    world = World(database.dsn)
    with world.conn:
        yield world
        assert [] == faults(world.conn)


def test_b01_a_failed_chunk_is_claimed_again_exactly_once(world: World) -> None:
    """It waits, is claimed once when it is due, and by nobody else while it runs."""
    world.job(world.mailbox(), 1)
    worker = world.worker(lease="1 day")
    due = world.fail(world.claim(worker)[0])
    assert due is not None
    assert ["pending"] == world.statuses()
    assert [] == world.claim(worker, 9)
    world.go_to(due)
    assert [2] == [attempt for _, _, attempt in world.claim(worker, 9)]
    assert [] == world.claim(worker, 9)


@pytest.mark.parametrize(
    ("category", "delays"),
    [("rate_limit", [5, 15]), ("temporary", [2, 4]), ("timeout", [3, 6]), ("auth", [2]), ("not_found", [])],
)
def test_b02_nothing_is_claimed_before_it_is_due(world: World, category: str, delays: list[int]) -> None:
    """Each delay is the table's, and a moment before its end nobody gets the chunk, by name or not."""
    world.job(world.mailbox(), 1)
    worker = world.worker(lease="1 day")
    given = "SELECT count(*) FROM claim_chunks(%s, 1, %s)"
    for delay in delays:
        due = world.fail(chunk := world.claim(worker)[0], category)
        assert due is not None
        assert delay <= (due - world.now) / SECOND <= delay * 1.1
        world.go_to(due - timedelta(milliseconds=1))
        assert ([], 0) == (world.claim(worker), world.one(given, worker, [chunk[0]]))
        world.go_to(due)
    assert world.fail(world.claim(worker)[0], category) is None
    assert (["failed"], "failed") == (world.statuses(), world.job_status())


def test_b03_all_ends_without_a_single_wake_up(world: World) -> None:
    """Nobody listens: two workers that only poll bring failures, a dead worker and three jobs to their ends."""
    for number in range(3):
        world.job(world.mailbox(f"box{number}"), 5)
    world.claim(world.worker("dead"), 2)
    worker = world.worker(lease="1 day")
    for turn in range(100):
        for chunk in world.claim(worker, 3):
            if (chunk[0] + turn) % 4 == 0:
                world.fail(chunk, "temporary")
            else:
                world.complete(chunk)
        world.wait(5)
        world.one("SELECT cleanup_stuck_chunks()")
    assert {"completed", "failed"} >= set(world.statuses())
    assert 0 == world.one("SELECT count(*) FROM sync_jobs WHERE status = 'processing'")


def test_b04_a_job_with_a_failed_chunk_ends(world: World) -> None:
    """All ended and one failed: the job is closed in the same moment, and the view says partial_failure."""
    world.job(world.mailbox(), 2)
    one, two = world.claim(world.worker(), 2)
    world.fail(one, "permission")
    assert "processing" == world.job_status()
    world.complete(two)
    ended = "SELECT status::text, overall_status, completed_at FROM chunk_processing_status"
    assert [("failed", "partial_failure", NOON)] == world.rows(ended)


def test_b06_a_job_completes_with_its_last_chunk_in_any_order(world: World) -> None:
    """In all twenty-four orders of four chunks the job is open until the fourth is done."""
    box = world.mailbox()
    for order in permutations(range(4)):
        job = world.job(box, 4)
        chunks = sorted(world.claim(world.worker(), 4))
        for place, index in enumerate(order, 1):
            world.complete(chunks[index])
            status = world.one("SELECT status::text FROM sync_jobs WHERE id = %s", job.id)
            assert ("completed" if place == 4 else "processing") == status


RECOVERIES = {
    "cleanup_stuck_chunks": "SELECT cleanup_stuck_chunks()",
    "reset_stuck_chunks": "SELECT reset_count FROM reset_stuck_chunks(1)",
    "force_reset_chunk": "SELECT force_reset_chunk(chunk_id, 'stuck') FROM chunk_processing_queue",
    "reset_sync_job_chunks": "SELECT reset_sync_job_chunks(public_id, 'stuck') FROM sync_jobs",
    "close_worker": "SELECT close_worker(id) FROM workers WHERE name = 'stuck'",
}


@pytest.mark.parametrize("name", list(RECOVERIES))
def test_b07_after_each_way_of_recovery_the_chunk_can_be_claimed(world: World, name: str) -> None:
    """A chunk has one status, in one place: whoever gives it back, the next claim gets it."""
    world.job(world.mailbox(), 1)
    chunk = world.claim(world.worker("stuck"))[0]
    world.wait(120)
    world.one(RECOVERIES[name])
    assert [(chunk[0], 2)] == [again[:2] for again in world.claim(world.worker("next"), 9)]
    assert "stale" == world.complete(chunk)


@pytest.mark.parametrize("lost", ["recovery", "timeout"])
def test_b08_an_exhausted_chunk_is_never_pending(world: World, lost: str) -> None:
    """At its last attempt a chunk fails with timeout, whether its worker died or told so; it cannot be pending."""
    world.job(world.mailbox(), 1)
    worker = world.worker(lease="1 day")
    for _ in range(3):
        if lost == "timeout":
            world.fail(world.claim(worker)[0], "timeout")
        else:
            world.claim(world.worker("dead"))
            world.wait(61)
            world.one("SELECT cleanup_stuck_chunks()")
        world.wait(60)
    assert [("failed", "timeout", 3)] == world.rows(
        "SELECT status::text, error_category::text, attempts FROM chunk_processing_queue"
    )
    with pytest.raises(psycopg.errors.CheckViolation, match="pending_has_attempts_left"):
        world.conn.execute("UPDATE chunk_processing_queue SET status = 'pending', completed_at = NULL")


def test_b12_three_attempts_are_three_executions(world: World) -> None:
    """The k-th failure is logged as attempt k, with the k-th delay, and there are three executions in all."""
    world.job(world.mailbox(), 1)
    worker = world.worker(lease="1 day")
    claimed: list[int] = []
    while chunks := world.claim(worker):
        claimed.append(chunks[0][2])
        due = world.fail(chunks[0], "network")
        world.go_to(due or world.now)
    logged = (
        "SELECT attempt_number, suggested_retry_delay_ms FROM chunked_sync_health_monitoring ORDER BY attempt_number"
    )
    attempts = world.rows(logged)
    assert [1, 2, 3] == claimed == [number for number, _ in attempts]
    assert [2, 4, None] == [delay and delay // 1000 for _, delay in attempts]


def test_b14_a_completion_that_fails_is_no_silent_success(world: World) -> None:
    """A caller with a wrong name gets an error and changes nothing: the lease runs out, the chunk is done again."""
    world.job(world.mailbox(), 1)
    world.claim(world.worker())
    with pytest.raises(psycopg.errors.UndefinedFunction):
        world.conn.execute("SELECT complete_chunk_job_safe(p_chunk_job_id => 1, p_status => 'completed')")
    assert ["processing"] == world.statuses()
    world.wait(61)
    world.one("SELECT cleanup_stuck_chunks()")
    assert "done" == world.complete(world.claim(world.worker())[0])


def test_b16_the_reason_of_a_failure_survives(world: World) -> None:
    """Category, code and text of a failure stand on its attempt, the category on its chunk and its job too."""
    world.job(world.mailbox(), 1)
    world.fail(world.claim(world.worker())[0], "permission")
    assert [("permission", "E_BROKE", "it broke", "permission", "permission", "it broke")] == world.rows(
        "SELECT a.error_category::text, a.error_code, a.error_message, q.error_category::text, j.error_category::text,"
        " j.error_message FROM chunked_sync_health_monitoring AS a, chunk_processing_queue AS q, sync_jobs AS j"
    )


def test_b32_a_requested_job_has_nothing_to_claim(world: World) -> None:
    """Between the request and the plan there is no chunk, and the job does not end for having none."""
    box = world.mailbox()
    world.conn.execute("INSERT INTO sync_jobs (mailbox_id) VALUES (%s)", (box.id,))
    assert [] == world.claim(world.worker(), 9)
    assert ("requested", 0) == world.rows("SELECT status::text, total_chunks FROM sync_jobs")[0]


def test_b33_no_write_depends_on_a_notification(world: World) -> None:
    """No trigger sends anything, no function calls out, and none holds an address or a secret."""
    triggers = "SELECT DISTINCT tgfoid::regproc::text FROM pg_trigger WHERE NOT tgisinternal"
    for name in (row[0] for row in world.rows(triggers)):
        assert "notify" not in world.one("SELECT prosrc FROM pg_proc WHERE oid = %s::regproc", name).lower()
    sources = world.rows(
        "SELECT proname, coalesce(prosrc, '') FROM pg_proc WHERE pronamespace = 'chunk_sync'::regnamespace"
    )
    calls_out = re.compile(r"https?:|\bnet\.|dblink|\bCOPY\b.*PROGRAM|Bearer|eyJ[A-Za-z0-9_-]{10}", re.IGNORECASE)
    assert [] == [name for name, source in sources if calls_out.search(source)]


def test_b34_every_wake_up_that_was_sent_is_kept(world: World) -> None:
    """Planning a job says so once, on the job's row and to whoever listens; a storm of them is one a second."""
    listener = psycopg.connect(world.dsn, autocommit=True)
    listener.execute("LISTEN chunk_sync_work")
    job = world.job(world.mailbox(), 1)
    for _ in range(10):
        world.one("SELECT trigger_next_chunk_processing(%s)", job.uuid)
    world.wait(1)
    world.one("SELECT trigger_next_chunk_processing(%s)", job.uuid)
    heard = [note.payload for note in listener.notifies(timeout=5, stop_after=2)]
    listener.close()
    assert [job.uuid, job.uuid] == heard
    assert [(2, world.now)] == world.rows("SELECT wake_ups, woken_at FROM sync_jobs")


def test_b36_a_small_tenant_does_not_wait_behind_a_huge_one(world: World) -> None:
    """With five hundred chunks planned before its three, each of the three is among the next few claims."""
    world.job(world.mailbox("huge", limit=100), 500)
    world.job(world.mailbox("small", limit=100), 3)
    worker = world.worker(lease="1 day")
    small = {row[0] for row in world.rows("SELECT chunk_id FROM chunk_processing_queue ORDER BY chunk_id DESC LIMIT 3")}
    first = [chunk[0] for _ in range(6) for chunk in world.claim(worker)]
    assert small <= set(first)


def test_b37_highest_priority_first_and_ties_by_index(world: World) -> None:
    """Of one mailbox: the most urgent job, then by due time, then in the order of the index."""
    box = world.mailbox(limit=100)
    low, high = world.job(box, 3, priority=5), world.job(box, 3, priority=30)
    world.wait(1)
    late = world.job(box, 3, priority=30)
    order = [chunk[0] for _ in range(9) for chunk in world.claim(world.worker())]
    indexes = (
        "SELECT sync_job_id, chunk_index FROM chunk_processing_queue ORDER BY array_position(%s::bigint[], chunk_id)"
    )
    assert [(job.id, index) for job in (high, late, low) for index in range(3)] == world.rows(indexes, order)


def test_b38_a_retry_opens_only_what_failed(world: World) -> None:
    """Completed chunks of the job stay as they are, with their counts; the failed one has all its attempts again."""
    job = world.job(world.mailbox(), 3)
    one, two, three = world.claim(world.worker(), 3)
    world.complete(one)
    world.fail(two, "permission")
    world.complete(three)
    assert "failed" == world.job_status()
    world.one("SELECT reset_sync_job_chunks(%s, 'try again')", job.uuid)
    assert ["completed", "pending", "completed"] == world.statuses()
    assert ("processing", 20) == world.rows("SELECT status::text, emails_processed FROM sync_jobs")[0]
    assert [(two[0], 2, 1)] == world.claim(world.worker(), 9)


@pytest.mark.parametrize("step", ["claim", "claimed", "landing", "landed"])
def test_b39_a_worker_may_be_killed_at_every_step(world: World, step: str) -> None:
    """Its connection dies before or after a commit: another worker does what is left, each chunk once."""
    world.job(world.mailbox(), 3)
    victim = connect(world.dsn)
    worker = world.worker("victim")
    claim = ("SELECT chunk_id, lease_token FROM claim_chunks(%s, 2)", (worker,))
    landing = "SELECT complete_chunk(%s, %s, 10, 0, 0, 0, 1, 1)"
    victim.execute("BEGIN")
    chunk = victim.execute(*claim).fetchall()[0]
    if step != "claim":
        victim.execute("COMMIT; BEGIN")
    if step in {"landing", "landed"}:
        victim.execute(landing, chunk)
    if step == "landed":
        victim.execute("COMMIT")
    world.one("SELECT pg_terminate_backend(%s, 5000)", victim.info.backend_pid)
    victim.close()
    world.wait(61)
    world.one("SELECT cleanup_stuck_chunks()")
    for left in world.claim(world.worker("next"), 9):
        assert "done" == world.complete(left)
    assert (["completed"] * 3, "completed") == (world.statuses(), world.job_status())
    assert 3 == world.one("SELECT count(*) FROM chunked_sync_health_monitoring WHERE status = 'success'")


def test_b43_a_chunk_may_be_reset_any_number_of_times(world: World) -> None:
    """The same reset, for the same reason, five times: each is done and kept."""
    world.job(world.mailbox(), 1)
    chunk_id = world.claim(world.worker())[0][0]
    for _ in range(5):
        assert world.one("SELECT force_reset_chunk(%s, 'again')", chunk_id)["success"]
    assert 5 == world.one("SELECT count(*) FROM audit_log WHERE action = 'manual_force_reset' AND reason = 'again'")
    assert [(chunk_id, 2, 1)] == world.claim(world.worker())


def test_every_fault_of_the_database_has_a_test() -> None:
    """Each row that concerns the database is named by a test somewhere."""
    tests = Path(__file__).parent.parent.rglob("test_*.py")
    named = {int(row) for path in tests for row in re.findall(r"def test_b(\d\d)_", path.read_text("utf-8"))}
    assert [] == [row for row in OF_THE_DATABASE if row not in named]


# B52: what these tests hold can be broken. Each rule is broken by one change to one function, and its check must fail.


def check_token(world: World) -> None:
    """An old lease completes nothing."""
    world.job(world.mailbox(), 1)
    old = world.claim(world.worker())[0]
    world.one("SELECT force_reset_chunk(%s, 'x')", old[0])
    world.claim(world.worker())
    assert "stale" == world.complete(old)


def check_due(world: World) -> None:
    """A chunk that failed is not claimed at once."""
    world.job(world.mailbox(), 1)
    world.fail(world.claim(world.worker())[0])
    assert [] == world.claim(world.worker())


def check_connections(world: World) -> None:
    """A mailbox has no more running than its connections."""
    world.job(world.mailbox(limit=2), 5)
    assert 2 == len(world.claim(world.worker(), 5))


def check_tenant(world: World) -> None:
    """A tenant has no more running than its limit."""
    box = world.mailbox()
    world.conn.execute("UPDATE tenant_lanes SET chunk_limit = 3 WHERE tenant_id = %s", (box.tenant.id,))
    world.job(box, 5)
    world.claim(world.worker(), 2)
    assert 1 == len(world.claim(world.worker(), 2))


def check_attempts(world: World) -> None:
    """A claim counts one attempt."""
    world.job(world.mailbox(), 1)
    assert [1] == [attempt for _, _, attempt in world.claim(world.worker())]


def check_snooze(world: World) -> None:
    """A snooze counts none."""
    world.job(world.mailbox(), 1)
    worker = world.worker()
    world.claim(worker)
    world.one("SELECT close_worker(%s)", worker)
    assert [1] == [attempt for _, _, attempt in world.claim(world.worker())]


def check_closing(world: World) -> None:
    """The last chunk closes the job, though it failed."""
    world.job(world.mailbox(), 1)
    world.fail(world.claim(world.worker())[0], "permission")
    assert "failed" == world.job_status()


def check_mark(world: World) -> None:
    """A chunk that is given back is found before those that come after it."""
    world.job(world.mailbox(), 3)
    one, _ = world.claim(world.worker(), 2)
    world.one("SELECT release_chunk(%s, %s)", *one[:2])
    assert [one[0]] == [chunk[0] for chunk in world.claim(world.worker())]


def check_recovery(world: World) -> None:
    """A worker that lives is not robbed."""
    world.job(world.mailbox(), 1)
    worker = world.worker()
    world.claim(worker)
    world.wait(50)
    world.one("SELECT heartbeat(%s)", worker)
    world.wait(50)
    assert 0 == world.one("SELECT cleanup_stuck_chunks()")


def check_cancel(world: World) -> None:
    """A cancelled job's running chunk cannot land."""
    job = world.job(world.mailbox(), 1)
    chunk = world.claim(world.worker())[0]
    world.one("SELECT cancel_sync('sync_job', %s, 'x')", job.uuid)
    assert "stale" == world.complete(chunk)


def check_retry_after(world: World) -> None:
    """The provider's hint is a floor."""
    world.job(world.mailbox(), 1)
    chunk = world.claim(world.worker())[0]
    world.one("SELECT fail_chunk(%s, %s, 'rate_limit', 'slow down', NULL, 100000)", *chunk[:2])
    world.wait(99)
    assert [] == world.claim(world.worker())


MUTATIONS: list[tuple[str, str, str, Callable[[World], None]]] = [
    (
        "complete_chunks",
        "q.lease_token = g.lease_token AND q.status = 'processing'",
        "q.status = 'processing'",
        check_token,
    ),
    ("retry_delay_ms", "floor(greatest(backoff_ms(v_policy, p_attempts), p_retry_after_ms)", "(0", check_due),
    ("retry_delay_ms", ", p_retry_after_ms) *", ") *", check_retry_after),
    ("take_chunks", "WHEN c.place <= lane.room THEN", "WHEN true THEN", check_connections),
    ("room_of", "tenant_room := tenant_room - ", "tenant_room := tenant_room - 0 * ", check_tenant),
    ("take_chunks", "attempts = q.attempts + 1", "attempts = q.attempts + 2", check_attempts),
    ("release_chunks", "attempts = q.attempts - 1,", "", check_snooze),
    ("end_attempt", "settle_sync_job(p_chunk.sync_job_id, 0, 1, 0, 0, 0)", "1", check_closing),
    ("put_back", "v_lane.turn_at, v_lane.chunk_id);", "NULL, NULL);", check_mark),
    ("heartbeat_workers", "greatest(w.lease_until, v_now + p_lease)", "w.lease_until", check_recovery),
    ("cancel_sync", "q.status IN ('pending', 'processing')", "q.status IN ('pending')", check_cancel),
]


def mutate(world: World, function: str, rule: str, broken: str) -> None:
    """Put a function in with one rule broken."""
    source = (sql_folder() / "functions" / f"{function}.sql").read_text("utf-8")
    assert 1 == source.count(rule), f"{function}.sql does not say {rule!r} once: name the rule as it is written now"
    world.conn.execute(source.replace(rule, broken).encode())


@pytest.mark.parametrize(("function", "rule", "broken", "check"), MUTATIONS, ids=[m[3].__name__ for m in MUTATIONS])
def test_b52_a_broken_rule_is_noticed(
    pg_server: PgServer, migrated_template: str, function: str, rule: str, broken: str, check: Callable[[World], None]
) -> None:
    """The check passes on the functions as they are, and fails when one line of one function is changed."""
    for mutant in (False, True):
        with pg_server.cloned(migrated_template) as dsn:
            world = World(dsn)
            with world.conn:
                if not mutant:
                    check(world)
                    continue
                mutate(world, function, rule, broken)
                with pytest.raises((AssertionError, psycopg.Error)):
                    check(world)
