"""What a look found: compact, and the same as plain lists would say."""

from __future__ import annotations

import tracemalloc
from itertools import islice, pairwise

from hypothesis import given
from hypothesis import strategies as st

from chunk_sync.domain.chunks import PlannedMessage
from chunk_sync.domain.listing import FlagTable, Listing
from chunk_sync.domain.plan import plan_chunks

_A_MILLION = 1_000_000
_LAST_UID = (1 << 32) - 1

_uids = st.one_of(st.integers(1, 60), st.integers(1, _LAST_UID))
_sizes = st.one_of(st.just(0), st.integers(0, 5000), st.integers(0, (1 << 63) - 1))
_listed = st.lists(st.tuples(_uids, _sizes), unique_by=lambda pair: pair[0])
_flags = st.lists(st.tuples(_uids, st.sampled_from([(), ("\\Seen",), ("$x", "\\Seen"), ("a b",)])))


def _listing(listed: list[tuple[int, int]]) -> Listing:
    listing = Listing()
    for uid, size in listed:
        listing.add(uid, size)
    return listing


@given(_listed)
def test_a_listing_is_a_list(listed: list[tuple[int, int]]) -> None:
    """In whatever order messages are listed: the newest come first, none is lost, sizes stay with their UIDs."""
    listing = _listing(listed)
    expected = [PlannedMessage(uid, size) for uid, size in sorted(listed, reverse=True)]
    assert expected == list(listing.newest_first())
    assert expected == list(listing.newest_first())  # it may be asked twice
    assert len(listed) == len(listing)
    assert sorted(uid for uid, _ in listed) == list(listing.uids())


@given(_listed, st.integers(1, 8), st.integers(1, 10_000))
def test_b23_a_plan_of_a_listing_holds_every_message_once(
    listed: list[tuple[int, int]], count: int, weight: int
) -> None:
    """Sizes of 0 and giants among them: chunks go from the newest down, within their bounds, giants alone."""
    sizes = dict(listed)
    chunks = list(plan_chunks(_listing(listed).newest_first(), max_messages=count, max_bytes=weight))
    planned = [sorted(chunk.uids, reverse=True) for chunk in chunks]
    assert sorted(sizes, reverse=True) == [uid for uids in planned for uid in uids]
    for chunk, uids in zip(chunks, planned, strict=True):
        assert (len(uids), sum(sizes[uid] for uid in uids)) == (chunk.emails, chunk.bytes)
        assert 0 < chunk.emails <= count
        assert chunk.bytes <= weight or chunk.emails == 1
        assert chunk.provider_ids is None
    for before, uids in pairwise(planned):
        # No chunk was closed early: the next message did not fit any more.
        assert len(before) == count or sum(sizes[uid] for uid in before) + sizes[uids[0]] > weight


@given(_flags)
def test_a_flag_table_is_a_list(rows: list[tuple[int, tuple[str, ...]]]) -> None:
    """Rows come back in their order, doubled UIDs too, and as often as asked."""
    table = FlagTable()
    for uid, flags in rows:
        table.add(uid, flags)
    assert rows == list(table)
    assert rows == list(table)
    assert len(rows) == len(table)


def test_a_million_messages_take_few_megabytes() -> None:
    """What is known of a large folder, all sizes and some flags, stays far below the memory of a run."""
    tracemalloc.start()
    try:
        listing, table = Listing(), FlagTable()
        for uid in range(1, _A_MILLION + 1):
            listing.add(2 * uid, 75_000)
            if uid % 4 == 0:
                table.add(2 * uid, ("\\Seen",) if uid % 8 else ())
        newest = [message.uid for message in islice(listing.newest_first(), 3)]
        assert [2 * _A_MILLION, 2 * _A_MILLION - 2, 2 * _A_MILLION - 4] == newest
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()
