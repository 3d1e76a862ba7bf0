"""Planning and dispatch: pure decisions."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chunk_sync.domain.chunks import PlannedMessage
from chunk_sync.domain.dispatch import (
    CHUNKS_A_TICK,
    FIRST_MAX,
    MAX_SLICE,
    DueJob,
    contiguous,
    plan_dispatch,
    slice_bounds,
)
from chunk_sync.domain.instants import parse_instant
from chunk_sync.domain.partitions import ChunkKey, parse_partition_key, partition_key
from chunk_sync.domain.plan import in_range, plan_chunks
from chunk_sync.domain.progress import Meter
from chunk_sync.errors import UsageError

messages = st.lists(
    st.builds(PlannedMessage, uid=st.integers(1, 5000), size=st.integers(0, 300)), unique_by=lambda m: m.uid
)


def newest_first(listed: list[PlannedMessage]) -> list[PlannedMessage]:
    """Put messages into the order in which plans are made."""
    return sorted(listed, key=lambda m: m.uid, reverse=True)


@given(messages, st.integers(1, 50), st.integers(1, 1000))
def test_b23_chunks_hold_every_message_once(listed: list[PlannedMessage], count: int, weight: int) -> None:
    """Whatever the sizes: each message is in exactly one chunk, and no chunk is over its bounds."""
    chunks = list(plan_chunks(newest_first(listed), max_messages=count, max_bytes=weight))
    assert sorted(m.uid for m in listed) == sorted(uid for chunk in chunks for uid in chunk.uids)
    sizes = {m.uid: m.size for m in listed}
    for chunk in chunks:
        assert chunk.emails == len(chunk.uids) <= count
        assert chunk.bytes == sum(sizes[uid] for uid in chunk.uids)
        assert chunk.bytes <= weight or len(chunk.uids) == 1


def test_newest_first_and_a_giant_alone() -> None:
    """The highest UIDs come first; a message above the bytes of a chunk is one of its own."""
    listed = [PlannedMessage(1, 10), PlannedMessage(2, 999), PlannedMessage(3, 10), PlannedMessage(9, 10)]
    chunks = plan_chunks(newest_first(listed), max_messages=10, max_bytes=100)
    assert ["3,9", "2", "1"] == [str(chunk.uids) for chunk in chunks]


def test_b24_ranges_are_half_open_and_adjacent_ones_partition() -> None:
    """The bound belongs to the later range; a message without a date belongs to every range."""
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert (False, True) == (in_range(noon, None, noon), in_range(noon, noon, None))
    assert in_range(None, noon, noon)


@pytest.mark.parametrize(
    ("text", "end", "expected"),
    [
        ("2026-01-31", False, "2026-01-31T00:00:00+00:00"),
        ("2026-01-31", True, "2026-02-01T00:00:00+00:00"),
        ("2026-01-31T12:00:00+02:00", True, "2026-01-31T12:00:00+02:00"),
        ("2026-01-31T12:00", False, "2026-01-31T12:00:00+00:00"),
    ],
)
def test_dates_as_people_write_them(text: str, end: bool, expected: str) -> None:
    """A bare date is a whole day in UTC; an instant is itself."""
    instant = parse_instant(text, end=end)
    assert instant is not None
    assert expected == instant.isoformat()


def test_no_date_is_no_bound_and_nonsense_is_refused() -> None:
    """Nothing means no bound; anything else is a clear error."""
    assert parse_instant("") is None
    with pytest.raises(UsageError, match="is not a date"):
        parse_instant("yesterday")


@given(st.integers(0, 10**7), st.integers(0, 10**7))
def test_partition_keys_are_read_back(job: int, index: int) -> None:
    """A key names its job and index, also beyond its usual width."""
    assert ChunkKey(job, index) == parse_partition_key(partition_key(job, index))


def test_an_invented_key_is_none_of_ours() -> None:
    """What somebody types into the dialog is recognised as no chunk."""
    assert [None] * 4 == [parse_partition_key(k) for k in ("", "x", "j1-c1", "j000001-c000001 ")]


def job(job_id: int, indexes: list[int], *, mailbox: int = 1, priority: int = 10, limit: int = 4) -> DueJob:
    """Build a job with due chunks."""
    return DueJob(job_id, 1, mailbox, f"box{mailbox}", "default", priority, limit, indexes)


def test_a_big_job_is_shared_evenly_among_free_runs() -> None:
    """Two free runs share 100 chunks as 50 and 50; slices are contiguous and disjoint."""
    slices = plan_dispatch([job(1, list(range(100)))], {}, parallel_runs=2, run_threads=2)
    assert [(0, 49), (50, 99)] == [(s.first_index, s.last_index) for s in slices]


def test_a_small_job_is_one_run() -> None:
    """A few chunks are not worth two processes."""
    slices = plan_dispatch([job(1, list(range(8)))], {}, parallel_runs=2, run_threads=2)
    assert [(0, 7)] == [(s.first_index, s.last_index) for s in slices]


def test_a_slice_is_never_larger_than_a_minute_of_work() -> None:
    """A huge backlog is cut at the largest slice, the rest waits for the next tick."""
    slices = plan_dispatch([job(1, list(range(10_000)))], {}, parallel_runs=2, run_threads=2)
    assert [FIRST_MAX, FIRST_MAX] == [s.chunks for s in slices]


@pytest.mark.parametrize(
    ("chunk_seconds", "bounds"),
    [(None, (40, 200)), (0.0, (400, 400)), (0.1, (150, 400)), (1.0, (15, 120)), (30.0, (1, 4)), (1000.0, (1, 1))],
)
def test_runs_are_sized_by_the_mailboxs_pace(chunk_seconds: float | None, bounds: tuple[int, int]) -> None:
    """A run is two minutes of work at most, and what is less than a quarter of a minute is not shared."""
    assert bounds == slice_bounds(chunk_seconds)


def test_a_slow_mailbox_gets_more_and_shorter_runs() -> None:
    """Thirty chunks of ten seconds are shared by three runs; of a tenth of a second they are one."""
    due = [job(1, list(range(30)), limit=6)]
    slow = plan_dispatch(due, {}, parallel_runs=3, run_threads=2, pace={1: 10.0})
    fast = plan_dispatch(due, {}, parallel_runs=3, run_threads=2, pace={1: 0.1})
    assert [10, 10, 10] == [s.chunks for s in slow]
    assert [30] == [s.chunks for s in fast]


def test_a_tick_asks_for_few_enough_chunks() -> None:
    """Dagster notes each chunk of a run in the tick that asks for it."""
    due = [job(n, list(range(1000)), mailbox=n) for n in range(1, 9)]
    asked = [s.chunks for s in plan_dispatch(due, {}, parallel_runs=8, run_threads=2)]
    assert CHUNKS_A_TICK <= sum(asked) < CHUNKS_A_TICK + MAX_SLICE


def test_b36_mailboxes_take_turns() -> None:
    """Of two mailboxes with equal priority each gets a run, however much the first has due."""
    due = [job(1, list(range(5000)), mailbox=1), job(2, [0], mailbox=2)]
    assert [1, 2] == [s.job.job_id for s in plan_dispatch(due, {}, parallel_runs=2, run_threads=2)]


def test_b37_urgent_jobs_get_their_runs_first() -> None:
    """A higher priority is served before a lower one gets any run."""
    due = [job(1, [0, 1], mailbox=1, priority=10), job(2, [0], mailbox=2, priority=30)]
    assert [2] == [s.job.job_id for s in plan_dispatch(due, {}, parallel_runs=1, run_threads=2)]


def test_b35_live_runs_count_against_the_limits() -> None:
    """No run is asked for when all places are taken, nor for a mailbox whose connections are."""
    assert [] == plan_dispatch([job(1, [0])], {9: 2}, parallel_runs=2, run_threads=2)
    assert [] == plan_dispatch([job(1, [0], limit=4)], {1: 2}, parallel_runs=8, run_threads=2)


def test_scattered_retries_are_pulled_by_one_run() -> None:
    """Single chunks here and there do not become a run each."""
    slices = plan_dispatch([job(1, [3, 9, 40, 41, 77])], {}, parallel_runs=4, run_threads=2)
    assert [(3, 77, 5, True)] == [(s.first_index, s.last_index, s.chunks, s.scattered) for s in slices]


@given(st.lists(st.integers(0, 300), unique=True).map(sorted), st.integers(1, 5))
def test_slices_never_cover_what_is_not_due(indexes: list[int], runs: int) -> None:
    """A range of partitions holds due chunks only: a later failure must not turn a green key red."""
    for piece in plan_dispatch([job(1, indexes, limit=100)], {}, parallel_runs=runs, run_threads=1):
        if not piece.scattered:
            assert set(range(piece.first_index, piece.last_index + 1)) <= set(indexes)


def test_contiguous_ranges() -> None:
    """Neighbours are joined."""
    assert [(1, 2), (5, 5)] == contiguous([1, 2, 5])


def test_a_meter_measures_the_last_seconds() -> None:
    """The rate is that of the window; remaining work over the rate is the time left."""
    meter = Meter(window=10)
    for second in range(30):
        meter.feed(float(second), 100 * second if second < 15 else 1500 + 10 * (second - 15))
    assert 10.0 == pytest.approx(meter.rate, rel=0.2)
    assert 50 == pytest.approx(meter.seconds_left(500), rel=0.2)


def test_a_meter_that_stands_still_promises_nothing() -> None:
    """No movement, no ETA."""
    meter = Meter()
    meter.feed(0.0, 5)
    meter.feed(5.0, 5)
    assert meter.seconds_left(100) is None
