"""Subjects: what is left of them for comparing, and which say that they are a reply."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chunk_sync.domain.subjects import Subject, read_subject
from chunk_sync_tests.thread_model import OTHER_PREFIXES, REPLY_PREFIXES

REPLY_BASES = {
    "Re: x": "x",
    "RE:x": "x",
    "Re : x": "x",
    "Re: Re: Fwd: x": "x",
    "AW: WG: x": "x",
    "RE[2]: x": "x",
    "Re (3): x": "x",
    "Re^2: Re*3: x": "x",
    "SV: VS: Antw: Odp: R: RIF: x": "x",
    "回复\uff1aÜber  die\tStraße": "über die strasse",
    "答复: Отв: תגובה: x": "x",
    "[list] Re: x": "[list] x",
    "Re: [list] x": "[list] x",
    "Re: [list] Re: [list] [ticket 7] x": "[list] [ticket 7] x",
    "Re: x Re: y": "x re: y",
    "Re: re[ne: x": "re[ne: x",
    "RE: \uff26\uff35\uff2c\uff2c width": "full width",
}


@pytest.mark.parametrize(("subject", "base"), REPLY_BASES.items())
def test_b30_prefixes_of_a_reply(subject: str, base: str) -> None:
    """However many prefixes, in whatever language and order: they go, tags stay, and it is a reply."""
    assert Subject(base, is_reply=True) == read_subject(subject)


@pytest.mark.parametrize(
    ("subject", "base"),
    [
        ("x", "x"),
        ("Fwd: x", "x"),
        ("WG: Re: x", "x"),
        ("[list] Fwd: Re: x", "[list] x"),
        ("Report: x", "report: x"),
        ("[2026] re x", "[2026] re x"),
        ("reply: x", "reply: x"),
        ("Re", "re"),
    ],
)
def test_what_is_no_reply(subject: str, base: str) -> None:
    """A forward is none, also that of a reply; nor is a word that only looks like a prefix."""
    assert Subject(base, is_reply=False) == read_subject(subject)


@pytest.mark.parametrize("subject", ["", "   ", "Re:", "RE: AW: ", "[list]", "Re: [list] ", "Fwd:"])
def test_nothing_to_compare(subject: str) -> None:
    """Without a word of its own a subject has no base."""
    assert "" == read_subject(subject).base


@given(st.text(max_size=30), st.lists(st.sampled_from(["Re: ", "AW:", "FW: ", "回复\uff1a"]), min_size=1, max_size=9))
def test_prefixes_do_not_change_the_base(text: str, prefixes: list[str]) -> None:
    """Any subject behind any prefixes has the same base, and the first prefix says what it is."""
    subject = read_subject("".join(prefixes) + text)
    assert (read_subject(text).base, prefixes[0] != "FW: ") == (subject.base, subject.is_reply)


def test_the_models_prefixes_are_what_it_says() -> None:
    """The naive model of the other tests knows which prefixes are replies without reading subjects."""
    found = {prefix: read_subject(f"{prefix}x").is_reply for prefix in REPLY_PREFIXES + OTHER_PREFIXES}
    assert dict.fromkeys(REPLY_PREFIXES, True) | dict.fromkeys(OTHER_PREFIXES, False) == found


@pytest.mark.parametrize("piece", ["re:", "[", "[a]", "[a] re[", "re[1", "re ", "\ufdfa", "a\u0300", ": ", "re[2]^"])
def test_hostile_subjects_cost_little(piece: str) -> None:
    """A megabyte of anything is read in a moment of the processor, and what is left is bounded."""
    began = time.thread_time()
    subject = read_subject(piece * (1_000_000 // len(piece)))
    assert time.thread_time() - began < 0.5
    assert len(subject.base) < 20_000
