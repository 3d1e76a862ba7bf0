"""Fuzz both parsers of mail against each other: `python -m chunk_sync_tests.fuzz.agreement [seconds]`, see `harness`.

Which of them answered must not show: see `chunk_sync.mail.parse`.
"""

from __future__ import annotations

from dataclasses import fields
from itertools import islice

from chunk_sync_tests.fuzz.harness import Target, main
from chunk_sync_tests.fuzz.parser import PACKAGES, WORDS

MODULE = "chunk_sync_tests.fuzz.agreement"


def load() -> Target:
    """Make the target."""
    from chunk_sync.demo.mailbox import iter_messages
    from chunk_sync.mail.headers import split_headers
    from chunk_sync.mail.parse import ParseLimits, assemble
    from chunk_sync.mail.parse_fallback import fallback_structure
    from chunk_sync.mail.parse_fast import fast_structure
    from chunk_sync_tests.fuzz.parser import load as load_parser

    limits = ParseLimits()

    def check(raw: bytes) -> None:
        head = split_headers(raw)
        fast = fast_structure(raw, head, limits)
        reference = fallback_structure(raw, head, limits) if fast else None
        if fast is None or reference is None or not reference.readable:
            return  # declined, or too much for the reference to be asked
        one, other = assemble(head, fast, limits), assemble(head, reference, limits)
        for field in fields(one):
            assert getattr(other, field.name) == getattr(one, field.name), f"{field.name} is read in two ways"

    ordinary = [message.raw for message in islice(iter_messages(seed=5), 60) if len(message.raw) < 20_000]
    return Target(MODULE, check, [*load_parser().seeds, *ordinary], WORDS)


if __name__ == "__main__":
    main(load, PACKAGES)
