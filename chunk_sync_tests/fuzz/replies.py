"""Fuzz the reader of IMAP: `python -m chunk_sync_tests.fuzz.replies [seconds]`, see `harness`.

Each input is taken in four ways: as what a server answers to a command, the same compressed, as what it greets with,
and as one reply whose texts and literals it holds.
"""

from __future__ import annotations

from chunk_sync_tests.fuzz.harness import Target, main

MODULE = "chunk_sync_tests.fuzz.replies"
PACKAGES = ["chunk_sync.mail", "chunk_sync.domain.spans"]


def load() -> Target:
    """Make the target."""
    from chunk_sync_tests.fuzz.imap_bytes import SEEDS, WORDS
    from chunk_sync_tests.fuzz.imap_checks import check

    return Target(MODULE, check, [*SEEDS, *(seed + b"\r\nS1 OK done\r\n" for seed in SEEDS)], WORDS)


if __name__ == "__main__":
    main(load, PACKAGES)
