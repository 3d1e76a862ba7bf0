"""Progress: a rate over the last seconds, and when it will be over. Pure; times are monotonic seconds."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field


@dataclass
class Meter:
    """Measures a counter that grows; asked after each `feed`."""

    window: float = 10.0
    _samples: deque[tuple[float, int]] = field(default_factory=deque[tuple[float, int]])

    def feed(self, now: float, total: int) -> None:
        """Note the counter's value."""
        if self._samples and total < self._samples[-1][1]:
            self._samples.clear()  # something was opened again: start anew
        self._samples.append((now, total))
        while len(self._samples) > 2 and now - self._samples[1][0] >= self.window:  # noqa: PLR2004 - a pair stays
            self._samples.popleft()

    @property
    def rate(self) -> float:
        """Growth per second over the window; 0.0 before there are two samples."""
        if not self._samples:
            return 0.0
        (start, low), (end, high) = self._samples[0], self._samples[-1]
        return (high - low) / (end - start) if end > start else 0.0

    def seconds_left(self, remaining: int) -> float | None:
        """Seconds until `remaining` more at this rate; None while nothing moves."""
        return remaining / self.rate if self.rate > 0 else None
