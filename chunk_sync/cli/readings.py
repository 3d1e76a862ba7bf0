"""What is read from the database for many who ask: once for all of them, seldom enough, and never in anybody's way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from chunk_sync.errors import ChunkSyncError
from chunk_sync.store.database import DATABASE_ERRORS

T = TypeVar("T")

_SHARE = 10.0
"""A reading is kept for so many times as long as it took: at most a tenth of the time goes into reading."""
_PATIENCE_SECONDS = 8.0
"""How long one who asks waits for the reading of another: Prometheus itself waits ten seconds."""


_AFTER_AN_ERROR_SECONDS = 1.0
"""A failure is kept no longer than this: a database that is back is soon seen."""


@dataclass(frozen=True, slots=True)
class Reading(Generic[T]):
    """What was read, or None and why not; `seconds` is how long it took."""

    value: T | None
    error: str = ""
    seconds: float = 0.0


class Readings(Generic[T]):
    """Keeps a reading for `seconds`; threads share it. `report` hears a line when the database goes or comes back."""

    def __init__(self, read: Callable[[], T], *, seconds: float, report: Callable[[str], object]) -> None:
        self._read = read
        self._seconds = seconds
        self._report = report
        self._lock = threading.Lock()
        self._last: Reading[T] | None = None
        self._until = 0.0

    def get(self) -> Reading[T]:
        """Give the last reading while it is fresh, else a new one."""
        if not self._lock.acquire(timeout=_PATIENCE_SECONDS):
            return Reading(None, "the database does not answer")
        try:
            if self._last is None or time.monotonic() >= self._until:
                self._last = self._look(self._last)
                wanted = min(self._seconds, _AFTER_AN_ERROR_SECONDS) if self._last.error else self._seconds
                self._until = time.monotonic() + max(wanted, _SHARE * self._last.seconds)
            return self._last
        finally:
            self._lock.release()

    def _look(self, before: Reading[T] | None) -> Reading[T]:
        reading = try_to_read(self._read)
        if reading.error and not (before and before.error):
            self._report(f"no answer from the database: {reading.error}")
        if before and before.error and not reading.error:
            self._report("the database answers again")
        return reading


def try_to_read(read: Callable[[], T]) -> Reading[T]:
    """Read once; what the database or its schema has against it is in the reading."""
    started = time.monotonic()
    try:
        value = read()
    except (*DATABASE_ERRORS, ChunkSyncError) as error:
        return Reading(None, one_line(error), time.monotonic() - started)
    return Reading(value, "", time.monotonic() - started)


def one_line(error: Exception) -> str:
    """Say an error in one line; ours and PostgreSQL's name no password."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
