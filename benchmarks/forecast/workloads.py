"""A mailbox's sync as a forecaster sees it, simulated chunk by chunk: samples of progress, and when it was over.

Seconds are simulated. What a chunk takes depends on its messages and bytes, on luck, and on what the workload is.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from dataclasses import dataclass, field, replace

from chunk_sync.domain.samples import SAMPLE_SECONDS, Sample

KINDS = ("steady", "throttled", "bursty", "growing", "failing", "mixed")
_CHUNK_MESSAGES, _CHUNK_BYTES = 200, 16 << 20
_DELAYS = (2.0, 4.0, 8.0)
_ATTEMPTS = 3
_SAMPLES_AN_AGE = 100  # as in sql/queries/progress_note.sql


@dataclass(frozen=True, slots=True)
class Chunk:
    """What is fetched in one go."""

    messages: int
    size: int
    attempts: int = 0


@dataclass(slots=True)
class Run:
    """What came out: samples in their order, the whole of what was planned in the end, and the end."""

    kind: str
    samples: list[Sample]
    ended: float

    def at(self, share: float) -> list[Sample]:
        """Give the samples up to the moment when this share of what landed in the end had landed."""
        goal = share * self.samples[-1].landed
        until = next(number for number, sample in enumerate(self.samples) if sample.landed >= goal)
        return self.samples[: until + 1]


@dataclass(slots=True)
class _Nature:
    """What the provider and the network are like to this mailbox."""

    message_seconds: float
    byte_seconds: float
    slots: int
    luck: float
    quota: float = 0.0  # messages until the provider turns us away; 0: never
    retry_after: float = 0.0
    regime_seconds: float = 0.0  # how long a spell of one speed lasts; 0: always the same
    regime_spread: float = 0.0
    failures: float = 0.0
    growth: float = 0.0  # chunks that come a second
    growth_seconds: float = 0.0


@dataclass(slots=True)
class _World:
    rng: random.Random
    nature: _Nature
    waiting: deque[Chunk]
    events: list[tuple[float, int, str, Chunk | None]] = field(default_factory=list)
    number: int = 0
    running: int = 0
    speed: float = 1.0
    landed: int = 0
    landed_bytes: int = 0
    planned: int = 0
    planned_bytes: int = 0
    chunks: int = 0
    ended: int = 0
    spent: float = 0.0
    not_before: float = 0.0
    turned_away: float = 0.0
    seen: float = 0.0
    pauses: int = 0
    pause_seconds: float = 0.0

    def look(self) -> None:
        """Count a pause, as the sampler does every 15 seconds: of several since it last looked, it sees the last."""
        if self.not_before > self.seen:
            self.pauses += 1
            self.pause_seconds += self.not_before - max(self.turned_away, self.seen)
            self.seen = self.not_before

    def at(self, when: float, what: str, chunk: Chunk | None = None) -> None:
        self.number += 1
        heapq.heappush(self.events, (when, self.number, what, chunk))

    def sample(self, now: float) -> Sample:
        return Sample(
            at=now,
            landed=self.landed,
            planned=self.planned,
            landed_bytes=self.landed_bytes,
            planned_bytes=self.planned_bytes,
            ended_chunks=self.ended,
            chunks=self.chunks,
            running=self.running,
            not_before=self.not_before,
            pauses=self.pauses,
            pause_seconds=self.pause_seconds,
            paused=False,
        )


def simulate(kind: str, seed: int, other_luck: tuple[int, int] | None = None) -> Run:
    """Sync one mailbox from its plan to its end; with (messages, seed), other luck from that many landed ones on."""
    rng = random.Random(f"{kind} {seed}")
    nature, mailbox = _nature(kind, rng), _mailbox(rng)
    world = _World(rng, nature, deque(mailbox))
    for chunk in mailbox:
        _plan(world, chunk)
    samples = [world.sample(0.0)]
    world.at(SAMPLE_SECONDS, "sample")
    world.at(0.0, "start")
    if nature.regime_seconds:
        world.at(0.0, "speed")
    if nature.growth:
        world.at(rng.expovariate(nature.growth), "grow")
    while world.ended < world.chunks:
        now, _, what, chunk = heapq.heappop(world.events)
        if other_luck and world.landed >= other_luck[0]:
            rng.seed(other_luck[1])
            other_luck = None
        _step(world, now, what, chunk)
        if what == "sample":
            world.look()
            if now - samples[-1].at >= max(SAMPLE_SECONDS, now / _SAMPLES_AN_AGE):
                samples.append(world.sample(now))
            world.at(now + SAMPLE_SECONDS, "sample")
        _begin(world, now)
    samples.append(world.sample(now))
    return Run(kind, samples, now)


def _step(world: _World, now: float, what: str, chunk: Chunk | None) -> None:
    rng, nature = world.rng, world.nature
    if what == "speed":
        world.speed = rng.lognormvariate(0, nature.regime_spread)
        world.at(now + rng.expovariate(1 / nature.regime_seconds), "speed")
    elif what == "grow" and now < nature.growth_seconds:
        more = Chunk(_CHUNK_MESSAGES, _CHUNK_MESSAGES * 40_000)
        _plan(world, more)
        world.waiting.append(more)
        world.at(now + rng.expovariate(nature.growth), "grow")
    elif what == "again" and chunk:
        world.waiting.append(chunk)
    elif what == "end" and chunk:
        world.running -= 1
        _end(world, now, chunk)


def _end(world: _World, now: float, chunk: Chunk) -> None:
    """Land a chunk, or have it fail: for now, or for good."""
    if world.rng.random() < world.nature.failures:
        again = replace(chunk, attempts=chunk.attempts + 1)
        if again.attempts < _ATTEMPTS:
            world.at(now + _DELAYS[chunk.attempts] * world.rng.uniform(1, 1.2), "again", again)
            return
        world.planned -= chunk.messages  # a dead letter is not waited for
        world.planned_bytes -= chunk.size
    else:
        world.landed += chunk.messages
        world.landed_bytes += chunk.size
    world.ended += 1


def _begin(world: _World, now: float) -> None:
    """Give free connections a chunk each; past the quota the provider turns the mailbox away for a while."""
    rng, nature = world.rng, world.nature
    while world.waiting and world.running < nature.slots and now >= world.not_before:
        if nature.quota and world.spent >= nature.quota:
            world.spent = 0.0
            world.turned_away = now
            world.not_before = now + nature.retry_after * rng.uniform(0.85, 1.15)
            world.at(world.not_before, "start")
            return
        chunk = world.waiting.popleft()
        seconds = chunk.messages * nature.message_seconds + chunk.size * nature.byte_seconds
        seconds *= rng.lognormvariate(0, nature.luck) * world.speed
        if rng.random() < nature.failures / 2:
            seconds *= rng.random()  # it breaks on the way
        world.spent += chunk.messages * rng.uniform(0.9, 1.1)
        world.running += 1
        world.at(now + seconds, "end", chunk)


def _plan(world: _World, chunk: Chunk) -> None:
    world.planned += chunk.messages
    world.planned_bytes += chunk.size
    world.chunks += 1


def _mailbox(rng: random.Random) -> list[Chunk]:
    """Cut a mailbox of several folders, each with messages of a size of its own, as the planner cuts."""
    chunks: list[Chunk] = []
    for _ in range(rng.randint(1, 6)):
        size = rng.lognormvariate(10.5, 1.0)  # a folder's usual message: 36 KB in the middle
        messages = max(1, min(_CHUNK_MESSAGES, int(_CHUNK_BYTES / size)))
        chunks.extend(
            Chunk(messages, int(messages * size * rng.lognormvariate(0, 0.3))) for _ in range(rng.randint(60, 300))
        )
        chunks.append(Chunk(max(1, messages // 3), int(messages // 3 * size)))
    return chunks


def _nature(kind: str, rng: random.Random) -> _Nature:
    nature = _Nature(
        message_seconds=rng.lognormvariate(-2.6, 0.6),
        byte_seconds=1 / rng.lognormvariate(14.9, 0.7),
        slots=rng.choice((1, 2, 4, 4, 8)),
        luck=0.3,
    )
    mixed = kind == "mixed"
    if kind == "throttled" or (mixed and rng.random() < 0.5):
        nature.quota = rng.uniform(1000, 6000)
        nature.retry_after = rng.lognormvariate(4.4, 0.7)
    if kind == "bursty" or (mixed and rng.random() < 0.5):
        nature.regime_seconds = rng.uniform(10, 60)
        nature.regime_spread = rng.uniform(0.3, 0.8)
    if kind == "growing" or (mixed and rng.random() < 0.3):
        chunk_seconds = _CHUNK_MESSAGES * (nature.message_seconds + 40_000 * nature.byte_seconds)
        nature.growth = rng.uniform(0.1, 0.6) * nature.slots / chunk_seconds
        # Where mail is turned away as well, growth that does not end would be a mailbox that is never synced.
        nature.growth_seconds = math.inf if not mixed and rng.random() < 0.6 else rng.uniform(300, 6000)
    if kind == "failing" or (mixed and rng.random() < 0.5):
        nature.failures = rng.uniform(0.05, 0.35)
    return nature
