"""UID sets and spans."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chunk_sync.domain.spans import UidSet

uids = st.sets(st.integers(min_value=1, max_value=2000))


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
