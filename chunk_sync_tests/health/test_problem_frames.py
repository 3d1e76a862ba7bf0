"""The numbers of mail_problems: frames in, frames out."""

from __future__ import annotations

from datetime import UTC, datetime

from chunk_sync.health.mail_problems import newest_problems, summarize_problems

AT = datetime(2026, 11, 22, 12, tzinfo=UTC)


def test_a_message_counts_for_each_of_its_reasons_and_once_for_its_kind() -> None:
    """Kinds are messages; reasons are more than that, the most frequent first."""
    found = summarize_problems(
        [
            {"kind": "defective", "reasons": ["bad-date", "charset"], "messages": 3},
            {"kind": "defective", "reasons": ["charset"], "messages": 4},
            {"kind": "unparsable", "reasons": ["charset"], "messages": 1},
            {"kind": "unparsable", "reasons": [], "messages": 2},
        ]
    )
    assert {"unparsable": 3, "defective": 7, "quarantined": 0} == found.by_kind
    assert [
        ("defective", "charset", 7),
        ("defective", "bad-date", 3),
        ("unparsable", "no reason noted", 2),
        ("unparsable", "charset", 1),
    ] == [tuple(row.values()) for row in found.by_reason.to_dict("records")]


def test_nothing_is_nothing() -> None:
    """No rows: all kinds at zero, no reason, no table."""
    found = summarize_problems([])
    assert {"unparsable": 0, "defective": 0, "quarantined": 0} == found.by_kind
    assert found.by_reason.empty
    assert "none" == newest_problems([])


def test_the_table_has_ids_only() -> None:
    """Of a row of the view the names of mailbox and folder are left out; what is not known is a dash."""
    row: dict[str, object] = {
        "mailbox_id": 1,
        "mailbox": "ann@example.com",
        "folder_id": 2,
        "folder": "private",
        "uid": 3,
        "message_id": 4,
        "kind": "defective",
        "reasons": ["bad-date", "charset"],
        "size": 5,
        "received_at": None,
        "noticed_at": AT,
    }
    quarantined = row | {"kind": "quarantined", "message_id": None, "reasons": ["too large"]}
    expected = """\
| mailbox_id | folder_id | uid | message_id | kind | reasons | size | noticed_at |
| --- | --- | --- | --- | --- | --- | --- | --- |
| 1 | 2 | 3 | 4 | defective | bad-date, charset | 5 | 2026-11-22 12:00:00 UTC |
| 1 | 2 | 3 | - | quarantined | too large | 5 | 2026-11-22 12:00:00 UTC |"""
    assert expected == newest_problems([row, quarantined])
