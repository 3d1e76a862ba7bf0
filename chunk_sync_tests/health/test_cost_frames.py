"""What syncing costs, from rows to tables: frames in, frames out, no database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chunk_sync.health.costs import hot_spots, slow_folders, sum_up_costs

DAY = datetime(2026, 11, 20, tzinfo=UTC)
Row = dict[str, object]


def cost(mailbox: str, seconds: float, messages: int, day: int = 0, **more: object) -> Row:
    """A row of cost_days."""
    row: Row = {
        "tenant": "ann",
        "mailbox": mailbox,
        "provider": "imap:one",
        "day": DAY + timedelta(days=day),
        "attempts": 10,
        "failed_attempts": 1,
        "requests": 50,
        "bytes": 1000,
        "seconds": seconds,
        "messages": messages,
    }
    return row | more


def test_the_dearest_come_first() -> None:
    """Mailboxes, tenants and providers by the seconds that they took, with what a thousand messages cost each."""
    found = sum_up_costs(
        [cost("a", 10.0, 1000), cost("b", 60.0, 500, day=2, tenant="bob", provider="imap:two"), cost("a", 5.0, 500)]
    )
    assert [("b", 60.0, 120.0, 100.0), ("a", 15.0, 10.0, 66.7)] == [
        (row["mailbox"], row["seconds"], row["seconds_per_1000"], row["requests_per_1000"])
        for row in found.by_mailbox.to_dict("records")
    ]
    assert (["bob", "ann"], ["imap:two", "imap:one"]) == (
        list(found.by_tenant["tenant"]),
        list(found.by_provider["provider"]),
    )
    assert {"seconds": 37.5, "requests": 75.0, "bytes": 1500.0} == found.per_1000
    assert {
        "attempts": 30,
        "failed_attempts": 3,
        "requests": 150,
        "bytes": 3000,
        "messages": 2000,
        "seconds": 75.0,
    } == (found.totals)
    assert [15.0, 0.0, 60.0] == found.days  # a day without work is a day


def test_nothing_costs_nothing() -> None:
    """No rows, or none that landed anything, divide by nothing."""
    assert {"seconds": 0.0, "requests": 0.0, "bytes": 0.0} == sum_up_costs([]).per_1000
    assert ([], 0) == (sum_up_costs([]).days, sum_up_costs([]).totals["attempts"])
    (only,) = sum_up_costs([cost("a", 10.0, 0)]).by_mailbox.to_dict("records")
    assert (0.0, 0.0) == (only["seconds_per_1000"], only["requests_per_1000"])


@settings(max_examples=25, deadline=None)  # pandas takes its time at first
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9), st.integers(0, 999), st.integers(0, 6)), max_size=20)
)
def test_each_table_adds_up_to_the_totals(rows: list[tuple[str, int, int, int]]) -> None:
    """Whatever is grouped how, nothing is lost and nothing counted twice."""
    found = sum_up_costs([cost(mailbox, seconds, messages, day) for mailbox, seconds, messages, day in rows])
    for table in (found.by_tenant, found.by_provider, found.by_mailbox):
        assert found.totals == {name: table[name].sum() for name in found.totals}
    assert found.totals["seconds"] == sum(found.days)


def test_frames_are_typed() -> None:
    """A column that is missing is an error here, not a NaN on a page; figures are rounded, hours written out."""
    folder: Row = {"tenant": "ann", "mailbox": "a", "provider": "imap:one", "folder_id": 7, "attempts": 2}
    folder |= {"failed_attempts": 0, "messages": 5, "seconds": 1.23, "seconds_per_1000_messages": 246.0}
    (shown,) = slow_folders([folder | {"bytes_per_second": None}]).to_dict("records")
    assert (7, 246.0, 0.0) == (shown["folder_id"], shown["seconds_per_1000_messages"], shown["bytes_per_second"])
    with pytest.raises(KeyError, match="bytes_per_second"):
        slow_folders([folder])
    spot: Row = {"tenant": "ann", "mailbox": "a", "provider": "p", "category": "auth", "attempts": 1, "share": 0.5}
    assert ["2026-11-20 00:00 UTC"] == list(hot_spots([spot | {"last_hour": DAY}])["last_hour"])
    assert hot_spots([]).empty
