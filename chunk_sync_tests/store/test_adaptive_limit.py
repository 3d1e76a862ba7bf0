"""How many connections a mailbox bears: fewer when its provider throttles, more again with quiet minutes."""

from __future__ import annotations

import pytest

from chunk_sync.domain.chunks import ClaimedChunk
from chunk_sync.errors import ErrorCategory
from chunk_sync.store import queue
from chunk_sync.store.database import Database
from chunk_sync_tests.factory import PlannedJob, claim, complete, make_job, make_mailbox, move_clock, open_worker

THROTTLED = ErrorCategory.RATE_LIMIT


@pytest.fixture
def job(database: Database) -> PlannedJob:
    """A mailbox that may have eight connections, with a hundred chunks."""
    return make_job(database, make_mailbox(database, limit=8), chunks=100)


def fail(database: Database, chunk: ClaimedChunk, category: ErrorCategory = THROTTLED) -> None:
    """Report a failed attempt."""
    queue.fail_chunk(
        database, chunk, category=category, message="no", code="X", retry_after=None, account_scope=False, duration_ms=1
    )


def allowed(database: Database) -> int | None:
    """Read what the mailbox may have at work; None: as many as its limit says."""
    return database.execute("SELECT allowed FROM mailbox_lanes")[0]["allowed"]


def at_work(database: Database, job: PlannedJob) -> list[ClaimedChunk]:
    """Claim as many chunks as there are to be had."""
    return claim(database, job, open_worker(database), limit=20)


def test_being_throttled_halves_what_was_at_work(database: Database, job: PlannedJob) -> None:
    """Eight were at work: four may be, then two, then one, and never none."""
    chunks = at_work(database, job)
    seen: list[int | None] = []
    for chunk in chunks[:4]:
        fail(database, chunk)
        seen.append(allowed(database))
        move_clock(database, "11 seconds")
    assert ([4, 2, 1, 1], 8) == (seen, len(chunks))


def test_a_burst_of_refusals_is_one(database: Database, job: PlannedJob) -> None:
    """All connections are refused within ten seconds: halved once."""
    for chunk in at_work(database, job)[:4]:
        fail(database, chunk)
    assert 4 == allowed(database)


def test_other_failures_leave_it_alone(database: Database, job: PlannedJob) -> None:
    """A message that cannot be processed says nothing about the provider's patience."""
    fail(database, at_work(database, job)[0], ErrorCategory.PROCESSING_ERROR)
    assert allowed(database) is None


def test_a_quiet_minute_gives_one_more(database: Database, job: PlannedJob) -> None:
    """One a minute, and only while chunks complete; at the mailbox's own limit the memory of it ends."""
    chunks = at_work(database, job)
    fail(database, chunks[0])
    seen: list[int | None] = []
    for chunk in chunks[1:6]:
        complete(database, chunk)
        seen.append(allowed(database))
        move_clock(database, "61 seconds")
        queue.heartbeat(database, 1, 3600)
    assert [4, 5, 6, 7, None] == seen


def test_the_claims_of_given_chunks_and_of_any_keep_to_it(database: Database, job: PlannedJob) -> None:
    """Both ways of claiming know the same limit."""
    database.execute("UPDATE mailbox_lanes SET allowed = 3, allowed_at = clock()")
    worker = open_worker(database)
    anything = "SELECT chunk_id FROM claim_chunks(%s, %s)"
    assert 2 == len(database.execute(anything, (worker, 2)))
    assert 1 == len(claim(database, job, worker, limit=20))
    assert [] == database.execute(anything, (worker, 20))
