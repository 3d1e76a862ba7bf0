"""Landing one chunk, page by page: what has arrived is parsed and committed before more than a page lies in memory.

A page that is committed stays, whatever becomes of the attempt: the next one finds it and fetches the rest.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from chunk_sync.domain.chunks import ClaimedChunk, LandedCounts
from chunk_sync.engine.convert import Conversion
from chunk_sync.engine.memory import PAGE_BYTES, peak_memory
from chunk_sync.mail.source import KnownMessage, RawMessage
from chunk_sync.store.database import Database
from chunk_sync.store.messages import AttemptFigures, Page, land_chunk, land_page

PAGE_MESSAGES = 500


@dataclass
class _Stages:
    """Where an attempt's time goes, in seconds."""

    fetch: float = 0.0
    parse: float = 0.0
    land: float = 0.0

    def in_ms(self) -> dict[str, float]:
        return {f"{name}_ms": round(seconds * 1000, 1) for name, seconds in vars(self).items()}


@dataclass
class Landing:
    """A chunk on its way into the database: `take` each message as it arrives, then `complete`, or `keep`.

    `sizes` (bytes by UID) are those of messages that landed before. `patiently` asks the database again while it is
    away. `requests` counts what the provider was asked for since `started` (monotonic seconds).
    """

    database: Database
    chunk: ClaimedChunk
    sizes: Mapping[int, int]
    conversion: Conversion
    patiently: Callable[[Callable[[], LandedCounts]], LandedCounts]
    started: float
    requests: Callable[[], int]
    counts: LandedCounts = field(default_factory=LandedCounts)
    _fetched: list[RawMessage] = field(default_factory=list[RawMessage])
    _known: dict[int, tuple[str, ...]] = field(default_factory=dict[int, tuple[str, ...]])
    _seen: set[int] = field(default_factory=set[int])
    _bytes: int = 0
    _stages: _Stages = field(default_factory=_Stages)
    _mark: float = field(default_factory=time.monotonic)

    def take(self, message: RawMessage | KnownMessage) -> None:
        """Take a message; lands a page when that is full. Raises LeaseLost."""
        self._seen.add(message.uid)
        if isinstance(message, KnownMessage):
            self._known[message.uid] = message.flags
            self.counts += LandedCounts(bytes=self.sizes[message.uid])
            return
        weight = len(message.raw or b"")
        if self._fetched and self._bytes + weight > PAGE_BYTES:
            self.keep()
        self._fetched.append(message)
        self._bytes += weight
        if len(self._fetched) >= PAGE_MESSAGES:
            self.keep()

    def keep(self) -> None:
        """Land what was taken so far, without completing the chunk. Raises LeaseLost."""
        if self._fetched:
            page = self._page()
            self.counts += self.patiently(lambda: land_page(self.database, self.chunk, page))
            self._stages.land += self._lap()

    def complete(self) -> LandedCounts:
        """Land the rest and complete the chunk. Raises LeaseLost."""
        page = self._page()
        absent = [uid for uid in self.chunk.span.uids if uid not in self._seen]
        before = self.counts
        # Landing again after a commit whose answer was lost finds everything there and the chunk completed.
        return self.patiently(lambda: land_chunk(self.database, self.chunk, page, before, absent, self._measure))

    def _measure(self) -> AttemptFigures:
        self._stages.land += self._lap()
        return AttemptFigures(
            duration_ms=int((time.monotonic() - self.started) * 1000),
            memory_usage=peak_memory(),
            requests=self.requests(),
            timings=self._stages.in_ms(),
        )

    def _page(self) -> Page:
        self._stages.fetch += self._lap()
        fetched, self._fetched, self._bytes = self._fetched, [], 0
        known, self._known = self._known, {}
        messages, locations = self.conversion.to_rows(fetched, self.chunk.folder_role)
        self._stages.parse += self._lap()
        return Page(messages, locations, known)

    def _lap(self) -> float:
        before, self._mark = self._mark, time.monotonic()
        return self._mark - before
