"""Forecasts: when a sync job will be over, as a range, from samples of its progress. Pure; times are epoch seconds.

Work is counted in messages and bytes. What is left takes its time at the rate of the active seconds so far, and beside
it the pauses that the provider will ask for, as it has asked so far. See docs/decisions/0018.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from chunk_sync.domain.samples import SAMPLE_SECONDS, Pauses, Sample, done, turned_away

MODEL = "pauses-2"
"""Names how forecasts are made, in the rows that keep them: a changed model is scored apart."""
NORMAL_80 = 1.2816
"""Four of five outcomes of a normal distribution lie within so many spreads."""
_BYTES_A_MESSAGE = {15e3: 0.05, 50e3: 0.15, 150e3: 0.35, 500e3: 0.3, 2e6: 0.15}
"""How many bytes take as long as one message does, whatever its size, and how usual that is."""
_BLOCKS = 16
_FEWEST_BLOCKS = 4
_FRESH = 1.0
"""How long ago a second counts half as much, as a part of a job's active time."""
_GROWS_ON = 2.5
"""A plan that grows will grow on for so many times as long as the job is old, unless it ends before."""
_LEAST_HALF_LIFE = 300.0
_PRIOR_SECONDS = 60.0
_UNKNOWN_SPREAD = 0.5
_LEAST_SPREAD = 0.04


@dataclass(frozen=True, slots=True)
class Forecast:
    """When it will be over: four of five jobs end from `low` to `high`. `rate` is in messages a second, pauses in it.

    `spread` is the range's half, in logarithms of the remaining time, before it was scaled by past outcomes.
    """

    low: float
    expected: float
    high: float
    rate: float
    spread: float
    why: str


@dataclass(frozen=True, slots=True)
class NoForecast:
    """There is none, and why."""

    why: str


@dataclass(frozen=True, slots=True)
class _Step:
    """What happened between two samples: active seconds, work done in them, active seconds since then."""

    seconds: float
    messages: float
    size: float
    grown: float
    age: float

    def work(self, cost: float) -> float:
        return _work(self.messages, self.size, cost)


@dataclass(frozen=True, slots=True)
class _Past:
    steps: Sequence[_Step]
    blocks: Sequence[_Step]
    seconds: float

    def work(self, cost: float) -> float:
        return sum(step.work(cost) for step in self.steps)


def forecast(
    samples: Sequence[Sample],
    *,
    prior_rate: float | None = None,
    prior_seconds: float = _PRIOR_SECONDS,
    scale: float = 1.0,
) -> Forecast | NoForecast:
    """Say when the job of these samples (in their order, the last one is now) will be over.

    `prior_rate` is what the mailbox, or else its provider, has done before, in messages an active second, and counts
    as much as `prior_seconds` of this job. `scale` widens the range: see `calibrate`.
    """
    if not samples or samples[-1].chunks == 0:
        return NoForecast("nothing is planned yet")
    now = samples[-1]
    if now.paused:
        return NoForecast("paused")
    if now.ended_chunks >= now.chunks:
        return Forecast(now.at, now.at, now.at, 0.0, 0.0, "nothing is left")
    steps = _steps(samples)
    past = _Past(steps, _blocks(steps), sum(step.seconds for step in steps))
    costs = _costs(past.blocks)
    seconds = sum(
        weight * _seconds_left(now, past, cost, prior_rate, prior_seconds) for cost, weight in costs.items() if weight
    )
    if not 0 < seconds < math.inf:
        return NoForecast("nothing has landed yet, and the mailbox has no past")
    pauses = Pauses.of(samples)
    growth = _growth(past)
    messages = _left(now)[0] + growth * min(seconds, past.seconds)
    paused = pauses.ahead(messages)
    spread = _spread(past, costs, seconds, now, pauses.spread(messages) * paused)
    total = max(seconds + paused, 0.001)
    factor = math.exp(min(spread * scale * NORMAL_80, 5.0))
    floor = max(now.not_before, now.at)
    return Forecast(
        low=max(now.at + total / factor, floor),
        expected=max(now.at + total, floor),
        high=max(now.at + total * factor, floor),
        rate=_left(now)[0] / total,
        spread=spread,
        why=_why(pauses, growth, past.seconds),
    )


def calibrate(outcomes: Sequence[tuple[float, float]]) -> float:
    """Find the scale with which four of five past ranges would have held what came.

    `outcomes` are pairs of a spread, unscaled, and |ln(seconds that were left / seconds expected)|. With few of them
    it stays near 1: each counts, beside twenty that were as foreseen.
    """
    ratios = sorted(error / (spread * NORMAL_80) for spread, error in outcomes if spread > 0)
    if not ratios:
        return 1.0
    found = ratios[min(math.ceil(0.8 * (len(ratios) + 1)), len(ratios)) - 1]
    weight = len(ratios) / (len(ratios) + 20)
    return min(max(math.exp(weight * math.log(max(found, 0.05))), 0.2), 5.0)


def _steps(samples: Sequence[Sample]) -> list[_Step]:
    """Cut the past into steps, without the time in which nothing could move; the oldest step first."""
    steps: list[_Step] = []
    age = 0.0
    for before, after in reversed(list(pairwise(samples))):
        if before.paused or after.paused:
            continue
        seconds = max(after.at - before.at - (turned_away(after) - turned_away(before)), 0.0)
        messages, size = (max(b - a, 0.0) for a, b in zip(done(before), done(after), strict=True))
        steps.append(_Step(seconds, messages, size, after.planned - before.planned, age))
        age += seconds
    return steps[::-1]


def _work(messages: float, size: float, cost: float) -> float:
    return messages + size / cost


def _left(now: Sample) -> tuple[float, float]:
    """Count messages and bytes that are left: a part of the last chunk is, as long as it has not landed."""
    messages, size = done(now)
    least = 0.25 / max(now.chunks, 1)
    return max(now.planned - messages, least * now.planned), max(now.planned_bytes - size, least * now.planned_bytes)


def _blocks(steps: Sequence[_Step]) -> list[_Step]:
    """Join steps into up to sixteen blocks of about the same active time."""
    size = max(sum(step.seconds for step in steps) / _BLOCKS, SAMPLE_SECONDS)
    blocks: list[_Step] = []
    seconds = messages = data = 0.0
    for step in steps:
        seconds, messages, data = seconds + step.seconds, messages + step.messages, data + step.size
        if seconds >= size:
            blocks.append(_Step(seconds, messages, data, 0.0, step.age))
            seconds = messages = data = 0.0
    return blocks


def _costs(blocks: Sequence[_Step]) -> dict[float, float]:
    """Weigh how many bytes may take as long as one message: by what is usual, and how even it makes the past."""
    if len(blocks) < _FEWEST_BLOCKS:
        return dict(_BYTES_A_MESSAGE)
    uneven = {cost: max(_unevenness(blocks, cost), 1e-6) for cost in _BYTES_A_MESSAGE}
    least = min(uneven.values())
    weights = {cost: usual * (least / uneven[cost]) ** len(blocks) for cost, usual in _BYTES_A_MESSAGE.items()}
    total = sum(weights.values())
    return {cost: weight / total for cost, weight in weights.items()}


def _unevenness(blocks: Sequence[_Step], cost: float) -> float:
    """Measure how much the seconds of blocks differ from what their work takes at one rate, as a part of the mean."""
    total = sum(block.work(cost) for block in blocks)
    seconds = sum(block.seconds for block in blocks)
    if total <= 0:
        return 1.0
    apart = sum((block.seconds - block.work(cost) * seconds / total) ** 2 for block in blocks)
    return math.sqrt(apart * len(blocks)) / seconds


def _seconds_left(now: Sample, past: _Past, cost: float, prior_rate: float | None, prior_seconds: float) -> float:
    """Say how many active seconds are left, if so many bytes cost as much as a message; inf: nobody knows."""
    half_life = max(past.seconds * _FRESH, _LEAST_HALF_LIFE)
    work = seconds = 0.0
    if prior_rate:
        whole = _work(now.planned, now.planned_bytes, cost) / max(now.planned, 1)
        work, seconds = prior_rate * whole * prior_seconds, prior_seconds
    for step in past.steps:
        weight = 0.5 ** (step.age / half_life)
        work, seconds = work + weight * step.work(cost), seconds + weight * step.seconds
    if work <= 0:
        return math.inf
    rate = work / max(seconds, 1.0)  # a mailbox that is turned away all the time lands what was begun before
    left = _work(*_left(now), cost)
    alone = left / rate
    share = _growth(past) * left / max(_left(now)[0], 1e-9) / rate  # of the rate, it goes into what is new
    if share > 0:
        longest = _GROWS_ON * past.seconds
        alone = alone / (1 - share) if share < 1 and alone / (1 - share) <= longest else alone + share * longest
    # The last chunks leave connections without work.
    chunk = left / rate / max(now.chunks - now.ended_chunks - now.running / 2, 0.5)
    return alone + 0.5 * (max(now.running, 1) - 1) * chunk


def _growth(past: _Past) -> float:
    """Say how many messages the plan grows by in an active second.

    The mean so far, times how likely it is that it still grows: what came by turns and has not come for many turns has
    probably ended.
    """
    turns = [step for step in past.steps if step.grown > 0]
    if not turns or past.seconds <= 0:
        return 0.0
    quiet = turns[-1].age
    every, until_end = max(past.seconds - quiet, SAMPLE_SECONDS) / len(turns), past.seconds  # each, in the mean
    chance = math.exp(-quiet / every)
    ended = every / (every + until_end) * (1 - math.exp(-quiet / every - quiet / until_end))
    grows = chance / (chance + ended)
    grown = max(sum(step.grown for step in past.steps), 0.0)
    return grown * grows / max(past.seconds - quiet * (1 - grows), SAMPLE_SECONDS)


def _spread(past: _Past, costs: Mapping[float, float], seconds: float, now: Sample, waiting: float) -> float:
    """Say how sure it is, as the spread of the logarithm of the remaining time."""
    blocks = past.blocks
    if len(blocks) < _FEWEST_BLOCKS:
        return _UNKNOWN_SPREAD
    uneven = sum(weight * _unevenness(blocks, cost) for cost, weight in costs.items() if weight)
    ahead = max(seconds * len(blocks) / past.seconds, 0.25)
    moving = uneven**2 * (1 / len(blocks) + 1 / ahead)
    by_cost = [(_work(*_left(now), cost) * past.seconds / max(past.work(cost), 1e-9), w) for cost, w in costs.items()]
    mean = sum(value * weight for value, weight in by_cost)
    growing = 0.5 * math.log(max(seconds / mean, 1.0)) if mean > 0 and _growth(past) > 0 else 0.0
    unsure = sum(weight * (value / mean - 1) ** 2 for value, weight in by_cost) if mean > 0 else 0.0
    return math.sqrt(
        _LEAST_SPREAD**2
        + moving
        + unsure
        + growing**2
        + 0.1 / max(now.chunks - now.ended_chunks, 1)
        + (waiting / seconds) ** 2
    )


def _why(pauses: Pauses, growth: float, active: float) -> str:
    """Say in a few words what it rests on."""
    said = [f"{active:.0f} s of work so far"]
    if pauses.count:
        said.append(f"turned away {pauses.count} times, {pauses.seconds:.0f} s each")
    if growth > 0:
        said.append("the plan grows")
    return ", ".join(said)
