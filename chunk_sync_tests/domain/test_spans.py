"""UID sets and spans."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chunk_sync.domain.spans import UidSet

uids = st.sets(st.integers(min_value=1, max_value=2000))
# Near each other, so that ranges touch and overlap; with doubles, in any order.
near = st.lists(st.integers(0, 60))
pairs = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 12)).map(lambda pair: (pair[0], pair[0] + pair[1])))


@given(uids)
def test_a_set_survives_writing_and_reading(numbers: set[int]) -> None:
    """Writing and reading a set gives the same UIDs, ascending, each once."""
    read = UidSet.parse(str(UidSet.of(numbers)))
    assert sorted(numbers) == list(read)
    assert len(numbers) == len(read)


@given(uids, st.integers(min_value=1, max_value=2000))
def test_membership(numbers: set[int], uid: int) -> None:
    """A UID is in the set when it was put in."""
    assert (uid in numbers) == (uid in UidSet.of(numbers))


def test_ranges_are_joined_and_put_in_order() -> None:
    """What a server may write in any order is read as ascending, disjoint ranges."""
    assert "1:7,9" == str(UidSet.parse("9,5:3,1:2,6:7,4"))


@pytest.mark.parametrize("text", ["a", "1:", "1,,2", "*", "1:*", "-1", " 1"])
def test_anything_else_is_refused(text: str) -> None:
    """A set that cannot be read is an error, never an empty set."""
    with pytest.raises(ValueError, match="not a UID set"):
        UidSet.parse(text)


def _check(expected: set[int], found: UidSet) -> None:
    """Compare with a plain set in every way of asking, and check the form: ascending, disjoint, not touching."""
    assert sorted(expected) == list(found)
    assert len(expected) == len(found)
    assert bool(expected) == bool(found)
    assert [number in expected for number in range(-1, 90)] == [number in found for number in range(-1, 90)]
    ends = [end for low, high in found.ranges for end in (low, high)]
    assert sorted(ends) == ends
    assert all(high + 1 < low for (_, high), (low, _) in pairwise(found.ranges))
    assert found == UidSet.parse(str(found))


@given(near)
def test_a_set_of_uids_is_a_set(numbers: list[int]) -> None:
    """Whatever the order, and however often each is given."""
    _check(set(numbers), UidSet.of(iter(numbers)))


@given(pairs)
def test_joined_ranges_are_their_union(given_ranges: list[tuple[int, int]]) -> None:
    """Ranges in any order that touch, overlap or hold each other; written as servers may, both ways round."""
    expected = {number for low, high in given_ranges for number in range(low, high + 1)}
    _check(expected, UidSet.joined(iter(given_ranges)))
    _check(expected, UidSet.parse(",".join(f"{high}:{low}" for low, high in given_ranges)))


@given(pairs, st.integers(-1, 80))
def test_up_to_cuts_a_set(given_ranges: list[tuple[int, int]], last: int) -> None:
    """What is above the bound is gone, the bound itself stays."""
    found = UidSet.joined(given_ranges)
    _check({number for number in found if number <= last}, found.up_to(last))


@given(st.integers(0, 1 << 32), st.integers(0, 1 << 32))
def test_a_range_of_any_width_costs_nothing(one: int, other: int) -> None:
    """Length and membership of billions of UIDs are told without counting them."""
    low, high = sorted((one, other))
    found = UidSet.parse(f"{one}:{other}")
    assert high - low + 1 == len(found)
    assert [False, True, True, False] == [uid in found for uid in (low - 1, low, high, high + 1)]
    assert found.up_to(low).ranges == ((low, low),)


@pytest.mark.parametrize("other", ["7", 7.5, None, (7, 7)])
def test_what_is_no_number_is_in_no_set(other: object) -> None:
    """Membership of something else is no error."""
    assert other not in UidSet.of([7])
