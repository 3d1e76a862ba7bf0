"""How much mail a run holds in memory: a bound in bytes that its threads share, not in messages."""

from __future__ import annotations

import re
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chunk_sync.domain.chunks import ClaimedChunk

PAGE_BYTES = 16 << 20
"""Bytes of mail that land in one transaction; a chunk that weighs more has several."""
_STATUS = Path("/proc/self/status")
_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)


class ByteGate:
    """Lets in as many bytes as it has room for; whoever is larger than that goes alone."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._held = 0
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, weight: int) -> Iterator[None]:
        """Wait until there is room for `weight` bytes, and hold it meanwhile."""
        with self._changed:
            self._changed.wait_for(lambda: not self._held or self._held + weight <= self._room)
            self._held += weight
        try:
            yield
        finally:
            with self._changed:
                self._held -= weight
                self._changed.notify_all()


def weight_of(chunk: ClaimedChunk) -> int:
    """Bytes that a chunk's mail takes at a time: a page of it, or its one message."""
    return chunk.estimated_bytes if chunk.estimated_emails == 1 else min(chunk.estimated_bytes, PAGE_BYTES)


def peak_memory() -> int:
    """Measure the most memory that this process ever had, in bytes."""
    try:
        found = _PEAK.search(_STATUS.read_text("ascii"))
    except OSError:
        found = None
    # What getrusage says may be the parent's: a process inherits it when it is started.
    return (int(found[1]) if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * 1024
