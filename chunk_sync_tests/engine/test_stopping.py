"""A run that is stopped from outside: cancelled, paused, reset or throttled while it works."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chunk_sync.domain.chunks import ChunkState
from chunk_sync.engine import run_chunks
from chunk_sync.errors import ErrorCategory, ProviderError
from chunk_sync.store import control
from chunk_sync.store.control import Decision
from chunk_sync_tests.engine.world import World
from chunk_sync_tests.factory import job_row

WHY = Decision("asked to", "ann")


@pytest.fixture(autouse=True)
def looks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The run looks before every message whether the chunk is still its own."""
    monkeypatch.setattr(run_chunks, "_LOOK", 0.0)


def once(act: Callable[[], object]) -> Callable[[int], None]:
    """Make an `on_fetch` that acts at the first message only."""
    left = [act]

    def fetch(_uid: int) -> None:
        if left:
            left.pop()()

    return fetch


@pytest.mark.parametrize("stop", [control.cancel, control.pause])
def test_b38_a_running_chunk_stops_at_its_next_message(
    world: World,
    stop: Callable[..., int],
) -> None:
    """Cancelled or paused in mid-chunk: nothing of it lands, and the rest of its messages is not fetched."""
    world.configure(run_threads=1)
    job = world.request()
    world.plan(job)
    target = control.find_target(world.database, mailbox=world.box.name)
    world.mail.on_fetch = once(lambda: stop(world.database, target, WHY))
    outcomes = world.run()
    assert [ChunkState.LOST] == [outcome.state for outcome in outcomes]
    assert len(world.mail.fetched) < 5
    assert [{"n": 0}] == world.database.execute("SELECT count(*) AS n FROM messages")
    expected = "cancelled" if stop is control.cancel else "processing"
    assert expected == job_row(world.database, job)["status"]


def test_a_paused_job_goes_on_where_it_was(world: World) -> None:
    """After the resume every message lands once and no attempt was used up."""
    world.configure(run_threads=1)
    job = world.request()
    world.plan(job)
    target = control.find_target(world.database, job_id=job)
    world.mail.on_fetch = once(lambda: control.pause(world.database, target, WHY))
    world.run()
    control.resume(world.database, target, WHY)
    outcomes = world.run("again")
    assert [(ChunkState.COMPLETED, 1)] * 4 == [(each.state, each.attempt) for each in outcomes]
    assert "completed" == job_row(world.database, job)["status"]
    assert world.verdict().ok


def test_a_refusal_at_the_door_uses_no_attempt(world: World) -> None:
    """Throttled before any work was done: the mailbox pauses as long as the provider asked, the chunks wait unused."""
    world.configure(run_threads=1, patience_seconds=0.2)
    job = world.request()
    world.plan(job)

    def refuse() -> None:
        message = "too many connections"
        raise ProviderError(message, ErrorCategory.RATE_LIMIT, retry_after=600, at_the_door=True)

    world.mail.on_open = refuse
    (outcome,) = world.run()
    assert (ChunkState.RETRY, ErrorCategory.RATE_LIMIT) == (outcome.state, outcome.category)
    assert outcome.seconds_to_next is not None
    assert 599 < outcome.seconds_to_next < 661
    rows = world.database.execute(
        "SELECT sum(attempts)::integer AS attempts, min(status) AS low FROM chunk_processing_queue"
    )
    assert [{"attempts": 0, "low": "pending"}] == rows
    assert [{"n": 0}] == world.database.execute("SELECT count(*) AS n FROM chunked_sync_health_monitoring")
    lane = world.database.execute(
        "SELECT head_class, not_before > clock() + interval '9 min' AS paused FROM mailbox_lanes"
    )
    assert [{"head_class": None, "paused": True}] == lane
