"""What a run still wants to do: pure bookkeeping over the ids of its chunks."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from chunk_sync.domain.chunks import ChunkOutcome, ChunkState

BUSY_WAIT = 0.5
"""Seconds between two looks while other runs hold the mailbox's last connections."""


@dataclass
class Todo:
    """The chunks that a run still wants: `ready` now, `later` when they are due again (monotonic seconds)."""

    ready: list[int]
    later: dict[int, float] = field(default_factory=dict[int, float])

    def due(self, limit: int) -> list[int]:
        """List what is wanted now."""
        now = time.monotonic()
        for chunk_id in [c for c, at in self.later.items() if at <= now]:
            del self.later[chunk_id]
            self.ready.append(chunk_id)
        return self.ready[:limit]

    def drop(self, chunk_ids: Iterable[int]) -> None:
        """Want these no more."""
        gone = set(chunk_ids)
        self.ready = [c for c in self.ready if c not in gone]

    def ended(self, outcome: ChunkOutcome, patience: float) -> None:
        """Want a chunk again that is due within the patience (seconds)."""
        wait = outcome.seconds_to_next
        if outcome.state is ChunkState.RETRY and wait is not None and wait <= patience:
            self.later[outcome.chunk_id] = time.monotonic() + max(wait, 0.0)

    def empty(self) -> bool:
        """Tell whether nothing is wanted any more."""
        return not self.ready and not self.later

    def pause(self) -> float | None:
        """Seconds until it is worth looking again; None when nothing is left to wait for."""
        if self.ready:
            return BUSY_WAIT
        if self.later:
            return max(0.01, min(self.later.values()) - time.monotonic())
        return None
