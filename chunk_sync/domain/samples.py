"""Samples of a job's progress, and how often its provider turns it away. Pure; times are epoch seconds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

SAMPLE_SECONDS = 15.0
"""Samples are no nearer to each other than this, and further apart the older a job is (progress_note.sql)."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A job's counters at a moment. `planned` is without what failed for good or was cancelled.

    `pauses` counts how often the provider has turned the mailbox away, `pause_seconds` sums for how long, to the end of
    the one that may be on (`not_before`); `paused` is what somebody ordered.
    """

    at: float
    landed: int
    planned: int
    landed_bytes: int
    planned_bytes: int
    ended_chunks: int
    chunks: int
    running: int
    not_before: float
    pauses: int
    pause_seconds: float
    paused: bool


@dataclass(frozen=True, slots=True)
class Pauses:
    """How often and for how long the provider turns a mailbox away: once every so many messages, seconds each time."""

    count: int
    seconds: float
    every: float
    since: float
    rest: float

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> Pauses:
        """Read them off the counters of samples."""
        now, first = samples[-1], samples[0]
        count = now.pauses - first.pauses
        if not count:
            return cls(0, 0.0, math.inf, 0.0, max(now.not_before - now.at, 0.0))
        begun = next(i for i in range(len(samples) - 1, 0, -1) if samples[i - 1].pauses < samples[i].pauses)
        at = (done(samples[begun - 1])[0] + done(samples[begun])[0]) / 2
        return cls(
            count=count,
            seconds=(now.pause_seconds - first.pause_seconds) / count,
            every=max(at - done(first)[0], 1.0) / count,
            since=done(now)[0] - at,
            rest=max(now.not_before - now.at, 0.0),
        )

    def ahead(self, messages: float) -> float:
        """Say for how many seconds the mailbox will be turned away while so many more messages land."""
        if not self.count:
            return self.rest
        # Where in its turn a mailbox is counts for a few pauses; further ahead, half a pause is the mean of that.
        turns = messages / self.every
        due = max((min(self.since, self.every) + messages) / self.every - 0.5, 0.0)
        return self.rest + self.seconds * max(due, turns - 1.0, 0.0)

    def spread(self, messages: float) -> float:
        """Say how sure that is, as a part of it."""
        turns = max(messages / self.every, 0.5)
        return 0.2 * math.sqrt(1 / max(self.count, 1) + 1 / turns) + 0.3 / turns


def turned_away(sample: Sample) -> float:
    """Say for how long the mailbox had been turned away by then."""
    return sample.pause_seconds - max(sample.not_before - sample.at, 0.0)


def done(sample: Sample) -> tuple[float, float]:
    """Count what has landed, and half of what is at work."""
    half = sample.running / 2 / max(sample.chunks, 1)
    return sample.landed + half * sample.planned, sample.landed_bytes + half * sample.planned_bytes
