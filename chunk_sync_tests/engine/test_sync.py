"""The engine: plan, run, retry, recover, against a mailbox that fails on demand and a real PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from chunk_sync.domain.chunks import ChunkOutcome, ChunkState
from chunk_sync.domain.partitions import partition_key
from chunk_sync.engine import worker
from chunk_sync.engine.range_run import RunRequest, start_run
from chunk_sync.engine.verify import FolderVerdict
from chunk_sync.engine.worker import Worker
from chunk_sync.errors import ErrorCategory, ErrorScope, LeaseLost, ProviderError, UsageError
from chunk_sync.store import queue
from chunk_sync_tests.engine.world import World
from chunk_sync_tests.factory import job_row, move_clock


def failing(times: int, error: Exception, only: int | None = None) -> Callable[[int], None]:
    """Make an `on_fetch` that raises an error some times, for one UID or all."""
    left = [times]

    def fetch(uid: int) -> None:
        if left[0] and only in {None, uid}:
            left[0] -= 1
            raise error

    return fetch


def test_a_whole_sync(world: World) -> None:
    """Every message of every folder lands once; the mailbox verifies equal."""
    world.mail.deliver(30, "Sent")
    job = job_row(world.database, world.sync())
    assert ("completed", 6, 130) == (job["status"], job["total_chunks"], job["emails_processed"])
    assert FolderVerdict("INBOX", 100, 100) == world.verdict()


def test_incremental_lands_exactly_what_is_new(world: World) -> None:
    """After a completed first sync the next one plans and fetches the new messages only."""
    world.sync()
    world.mail.fetched.clear()
    new = world.mail.deliver(7)
    job = job_row(world.database, world.sync())
    assert ("incremental", "completed", 7) == (job["sync_type"], job["status"], job["emails_estimated"])
    assert new == world.mail.fetched


def test_b22_an_empty_mailbox_is_a_completed_sync(world: World) -> None:
    """Nothing to do is done."""
    world.mail.folders["INBOX"].clear()
    job = job_row(world.database, world.sync())
    assert ("completed", 0) == (job["status"], job["total_chunks"])


def test_b20_arrivals_and_deletions_during_the_sync(world: World) -> None:
    """With mail arriving and vanishing at every chunk, all that was there throughout is stored exactly once."""
    deleted: list[int] = []

    def churn(uid: int) -> None:
        if uid % 25 == 0:
            world.mail.deliver(10)
            for gone in [u for u in world.mail.folders["INBOX"] if u < uid - 5][-1:]:
                del world.mail.folders["INBOX"][gone]
                deleted.append(gone)

    world.configure(run_threads=1)
    world.mail.on_fetch = churn
    world.sync()
    world.mail.on_fetch = lambda _: None
    stored = [row["uid"] for row in world.database.execute("SELECT uid FROM message_locations ORDER BY uid")]
    survivors = set(range(1, 101)) - set(deleted)
    assert [94, 69, 44, 19] == deleted
    assert survivors <= set(stored)
    assert len(stored) == len(set(stored))
    world.sync()
    assert world.verdict().ok


def test_b21_the_plan_does_not_depend_on_estimates(world: World) -> None:
    """A date range freezes exactly the messages in it, by one predicate."""
    job = job_row(world.database, world.sync(sync_from=None, sync_to=None))
    assert 100 == job["emails_estimated"]
    ranged = world.request(
        sync_type="manual",
        sync_from=datetime(2026, 1, 2, tzinfo=UTC),
        sync_to=datetime(2026, 1, 3, tzinfo=UTC),
    )
    outcome = world.plan(ranged)
    assert outcome is not None
    assert outcome.result is not None
    assert 24 == outcome.result.emails


def test_b01_a_failed_chunk_is_tried_again_by_the_same_run(world: World) -> None:
    """A failure that is due again within the run's patience is retried there: three executions in all."""
    world.mail.on_fetch = failing(2, ProviderError("broken MIME", ErrorCategory.PROCESSING_ERROR), only=50)
    job = job_row(world.database, world.sync())
    assert ("completed", 100) == (job["status"], job["emails_processed"])
    attempts = world.database.execute("SELECT attempt_number AS n FROM chunked_sync_health_monitoring ORDER BY n")
    assert [1, 1, 1, 1, 2, 3] == [row["n"] for row in attempts]


def test_a_run_without_patience_leaves_the_retry_to_a_later_one(world: World) -> None:
    """The chunk is pending with its due time, and the run ends."""
    world.configure(patience_seconds=0.0)
    world.mail.on_fetch = failing(1, ProviderError("reset", ErrorCategory.NETWORK), only=50)
    job_id = world.request()
    world.plan(job_id)
    states = sorted(outcome.state for outcome in world.run())
    assert [ChunkState.COMPLETED] * 3 + [ChunkState.RETRY] == states
    assert "processing" == job_row(world.database, job_id)["status"]


def test_b25_a_permanent_failure_is_a_dead_letter_and_the_rest_lands(world: World) -> None:
    """One bad chunk does not stop the mailbox; the job says so, and the chunk can be opened again by hand."""
    world.mail.on_fetch = failing(99, ProviderError("no access", ErrorCategory.PERMISSION), only=50)
    job_id = world.sync()
    job = job_row(world.database, job_id)
    assert ("failed", 3, 1, 75) == tuple(
        job[k] for k in ("status", "completed_chunks", "failed_chunks", "emails_processed")
    )
    world.mail.on_fetch = lambda _: None
    bad = world.database.execute("SELECT chunk_index AS i FROM chunk_processing_queue WHERE status = 'failed'")[0]["i"]
    outcomes = world.run("by-hand", [partition_key(job_id, bad)])
    assert [ChunkState.COMPLETED] == [outcome.state for outcome in outcomes]
    assert "completed" == job_row(world.database, job_id)["status"]
    assert [{"run_id": "by-hand"}] == world.database.execute("SELECT run_id FROM audit_log")


def test_b46_a_cut_in_mid_stream_is_no_success(world: World) -> None:
    """A connection that breaks inside a chunk lands nothing of it, and the retry lands it whole."""
    world.mail.on_fetch = failing(1, ConnectionResetError(104, "Connection reset by peer"), only=60)
    world.sync()
    rows = world.database.execute(
        "SELECT error_category::text AS c FROM chunked_sync_health_monitoring WHERE status = 'error'"
    )
    assert [{"c": "network"}] == rows
    assert FolderVerdict("INBOX", 100, 100) == world.verdict()


def test_a_changed_uidvalidity_stores_nothing_wrong(world: World) -> None:
    """A span of an epoch that ended is a data conflict: never retried, never filled with other messages."""
    job_id = world.request()
    world.plan(job_id)
    world.mail.uidvalidity += 1
    world.run()
    job = job_row(world.database, job_id)
    assert ("failed", "data_conflict", 0) == (job["status"], job["error_category"], job["emails_processed"])


def test_a_new_uidvalidity_is_planned_anew_and_deduped(world: World) -> None:
    """After a reset the next incremental sync covers the new epoch; equal bytes stay one message."""
    world.sync()
    world.mail.uidvalidity += 1
    job = job_row(world.database, world.sync())
    assert ("incremental", 100) == (job["sync_type"], job["emails_processed"])
    assert [{"n": 100}] == world.database.execute("SELECT count(*) AS n FROM messages")
    assert world.verdict().ok


def test_archives_keep_their_numbers(world: World) -> None:
    """A source without UIDs: known messages keep theirs, new ones follow, a second full sync changes nothing."""
    world.mail.provider_ids = True
    world.sync()
    world.mail.deliver(5)
    assert 5 == job_row(world.database, world.sync())["emails_estimated"]
    before = world.database.execute("SELECT uid, provider_id FROM message_locations ORDER BY uid")
    job = job_row(world.database, world.sync(sync_type="initial"))
    assert 105 == job["emails_processed"]
    assert before == world.database.execute("SELECT uid, provider_id FROM message_locations ORDER BY uid")
    assert FolderVerdict("INBOX", 105, 105) == world.verdict()


def test_a_plan_that_fails_is_tried_again_by_its_category(world: World) -> None:
    """A login that is refused is tried once more after its delay, then the job fails and says why."""

    def refuse() -> None:
        message = "login refused"
        raise ProviderError(message, ErrorCategory.AUTH, scope=ErrorScope.ACCOUNT)

    world.mail.on_open = refuse
    job_id = world.request()
    move_clock(world.database, "0 seconds")  # it stands still: the delay does not pass
    first = world.plan(job_id)
    assert first is not None
    assert ("requested", "auth") == (first.status, first.category)
    assert world.plan(job_id) is None
    world.database.execute("UPDATE sync_jobs SET plan_available_at = clock() WHERE id = %s", (job_id,))
    second = world.plan(job_id)
    assert second is not None
    assert "failed" == second.status
    job = job_row(world.database, job_id)
    assert ("failed", "auth", "login refused") == (job["status"], job["error_category"], job["error_message"])


def test_a_listing_that_is_short_is_not_believed(world: World) -> None:
    """A server that announces more messages than it lists is asked again; the plan fails rather than lose mail."""
    world.mail.hidden = {7}
    job_id = world.request()
    outcome = world.plan(job_id)
    assert outcome is not None
    assert ("requested", "temporary") == (outcome.status, outcome.category)
    assert "folder INBOX: 100 messages announced, 99 listed" == outcome.error


def test_b32_a_planner_that_was_given_up_leaves_nothing(world: World) -> None:
    """Plan and enqueue are one transaction, fenced: a planner whose lease is gone commits no chunk."""
    job_id = world.request()

    def lose() -> None:
        world.database.execute("UPDATE sync_jobs SET plan_worker_id = open_worker('other') WHERE id = %s", (job_id,))

    world.mail.on_open = lose
    outcome = world.plan(job_id)
    assert outcome is not None
    assert "lost" == outcome.status
    assert [{"n": 0}] == world.database.execute("SELECT count(*) AS n FROM sync_chunks")


def test_an_incremental_sync_waits_for_the_one_before(world: World) -> None:
    """Two syncs in a row: the second is planned when the first is over, and finds nothing to do."""
    first, second = world.request(), world.request(sync_type="incremental")
    world.plan(first)
    assert world.plan(second) is None
    world.run()
    outcome = world.plan(second)
    assert outcome is not None
    assert "completed" == outcome.status


def test_two_runs_at_once_share_the_chunks(world: World) -> None:
    """Two runs that pull the same due chunks do each of them once."""
    world.mail.deliver(400)
    job_id = world.request()
    world.plan(job_id)
    outcomes: list[ChunkOutcome] = []
    threads = [threading.Thread(target=lambda i=i: outcomes.extend(world.run(f"run-{i}"))) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 20 == len(outcomes) == len({outcome.chunk_id for outcome in outcomes})
    assert sorted(world.mail.fetched) == list(range(1, 501))


def test_b38_a_run_that_loses_its_lease_stops_and_lands_nothing_more(world: World) -> None:
    """When the sweep has given a worker's chunks away, its run ends with what it had landed before."""
    world.configure(run_threads=1)
    job_id = world.request()
    world.plan(job_id)
    run = start_run(world.parts, RunRequest("victim"))

    def rob(uid: int) -> None:
        if uid == 60:
            queue.recover(world.database, ["victim"])
            run.worker._refused = True  # what the next heartbeat would find

    world.mail.on_fetch = rob
    outcomes = run.process()
    run.close()
    assert run.error is not None
    assert {ChunkState.COMPLETED} == {outcome.state for outcome in outcomes}
    world.mail.on_fetch = lambda _: None
    world.run("heir")
    assert FolderVerdict("INBOX", 100, 100) == world.verdict()


def test_the_worker_fences_itself(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that could not renew for 0.8 of its lease stops by itself."""
    now = [1000.0]
    monkeypatch.setattr(worker, "time", SimpleNamespace(monotonic=lambda: now[0]))
    with Worker(world.database, "w", 600) as one:  # the next heartbeat is minutes away
        one.check()
        now[0] += 479
        one.check()
        now[0] += 2
        with pytest.raises(LeaseLost, match="could not renew"):
            one.check()


def test_an_invented_partition_key_is_a_clear_error(world: World) -> None:
    """What the dialog of the UI can make up is refused by name."""
    with pytest.raises(UsageError, match="no chunk has the partition key nonsense, j000099-c000000"):
        world.run("run", ["nonsense", partition_key(99, 0)])
    assert [{"n": 0}] == world.database.execute("SELECT count(*) AS n FROM workers WHERE ended_at IS NULL")


def test_verify_names_what_is_wrong(world: World) -> None:
    """A message that is missing and one whose bytes differ are named; what the source deleted is no error."""
    world.sync()
    world.database.execute("DELETE FROM message_locations WHERE uid = 3")
    world.database.execute(
        "UPDATE message_raw SET codec = 'none', data = 'x' WHERE sha256 ="
        " (SELECT m.raw_sha256 FROM messages AS m JOIN message_locations AS l ON l.message_id = m.id WHERE l.uid = 5)"
    )
    del world.mail.folders["INBOX"][9]
    verdict = world.verdict()
    assert (["3"], ["5"], 1, False) == (verdict.missing, verdict.different, verdict.gone_from_source, verdict.ok)
