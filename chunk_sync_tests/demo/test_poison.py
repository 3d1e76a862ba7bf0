"""The poison set: every fault there, each under a name of its own, giants only on request."""

from __future__ import annotations

from chunk_sync.demo.poison import poison_messages


def test_names_are_unique() -> None:
    """56 faults, 56 names, 56 different messages."""
    messages = poison_messages()
    assert 56 == len(messages)
    assert 56 == len({name for name, _ in messages})
    assert 56 == len({raw for _, raw in messages})


def test_it_is_deterministic() -> None:
    """Twice the same."""
    assert poison_messages() == poison_messages()


def test_it_is_small_by_default() -> None:
    """All of it fits in 2 MB, so that every test can afford it."""
    assert sum(len(raw) for _, raw in poison_messages()) < 2_000_000


def test_the_scale_brings_the_giants() -> None:
    """The scale changes sizes and nothing else; at 1 there are the full extremes."""
    small, full = dict(poison_messages(0.0001)), dict(poison_messages(1))
    grown = {name for name, raw in full.items() if raw != small[name]}
    expected = {
        "references_many",
        "parts_many",
        "receivers_many",
        "line_long",
        "subject_huge",
        "html_bomb",
        "message_huge",
    }
    assert expected == grown
    assert len(full["message_huge"]) > 50_000_000
    assert len(max(full["line_long"].split(b"\r\n"), key=len)) == 5_000_000


def test_depths_are_always_full() -> None:
    """Nesting is what breaks parsers, at any scale."""
    messages = dict(poison_messages(0.0001))
    assert 1200 == messages["nest_1200"].count(b"multipart/mixed")
    assert 300 == messages["rfc822_nest_300"].count(b"message/rfc822")
