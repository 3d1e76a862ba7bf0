"""Windows of keys: no run that is asked for lies across the end of one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chunk_sync.domain.dispatch import DueJob, plan_dispatch
from chunk_sync.domain.partitions import KEY_WINDOW, between, job_keys, window_end


def _due(indexes: list[int]) -> DueJob:
    return DueJob(1, 1, 1, "box", "default", 10, 100, indexes)


@given(low=st.integers(0, 3 * KEY_WINDOW), count=st.integers(1, 2000), runs=st.integers(1, 20))
def test_no_run_lies_across_the_end_of_a_window(low: int, count: int, runs: int) -> None:
    """However what is due lies: the runs follow one another without a gap, each inside of one window."""
    slices = plan_dispatch([_due(list(range(low, low + count)))], {}, parallel_runs=runs, run_threads=1)
    asked = [index for piece in slices for index in range(piece.first_index, piece.last_index + 1)]
    assert list(range(low, low + len(asked))) == asked
    assert [piece.last_index < window_end(piece.first_index) for piece in slices] == [True] * len(slices)
    assert [piece.chunks for piece in slices] == [p.last_index - p.first_index + 1 for p in slices]


def test_a_range_of_keys_is_what_was_added_between_them() -> None:
    """In the order in which keys were added, whatever their names; nothing where one of the two is not there."""
    keys = [*job_keys(2, [0, 1]), *job_keys(1, [0]), *job_keys(2, [2])]
    places = {key: place for place, key in enumerate(keys)}
    assert keys == list(between(keys, places, keys[0], keys[3]))
    assert keys[1:3] == list(between(keys, places, keys[1], keys[2]))
    assert [] == list(between(keys, places, keys[3], keys[0]))
    assert [] == list(between(keys, places, keys[0], "j000009-c000000"))
