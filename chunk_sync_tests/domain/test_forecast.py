"""Forecasts of one job: what holds of every history, and what they say of plain ones."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chunk_sync.domain.backlog import OpenJob, drained_by
from chunk_sync.domain.forecast import Forecast, NoForecast, calibrate, forecast
from chunk_sync.domain.samples import Sample

ZERO = Sample(0.0, 0, 10_000, 0, 500_000_000, 0, 100, 0, 0.0, 0, 0.0, paused=False)
"""A job of a hundred chunks, of a hundred messages of 50 KB each, before anything was done."""


def steady(seconds: float, rate: float = 1.0, *, every: float = 15.0) -> list[Sample]:
    """A chunk each hundred seconds at a rate of 1, seen every so often."""
    return [at_work(n * every, n * every * rate) for n in range(int(seconds / every) + 1)]


def at_work(at: float, messages: float, **other: object) -> Sample:
    """The job with so many messages landed."""
    landed = min(int(messages), ZERO.planned)
    return replace(ZERO, at=at, landed=landed, landed_bytes=landed * 50_000, ended_chunks=landed // 100, **other)


def found(samples: list[Sample], **known: float) -> Forecast:
    """The forecast; there is one."""
    made = forecast(samples, **known)
    assert isinstance(made, Forecast)
    return made


@st.composite
def histories(draw: st.DrawFn) -> list[Sample]:
    """Any history of samples: work, standstill, pauses, dead letters, growth."""
    now = ZERO
    samples = [now]
    for _ in range(draw(st.integers(0, 30))):
        at = now.at + draw(st.floats(1, 600))
        pause = draw(st.sampled_from([0.0, 0.0, 30.0, 600.0]))
        more = draw(st.integers(0, 600))
        ended = min(now.ended_chunks + more // 100, 99)
        now = replace(
            now,
            at=at,
            landed=min(now.landed + more, 9_900),
            landed_bytes=now.landed_bytes + more * draw(st.integers(100, 100_000)),
            planned=now.planned + draw(st.sampled_from([0, 0, -100, 200])),
            ended_chunks=ended,
            running=draw(st.integers(0, 8)),
            pauses=now.pauses + (pause > 0),
            pause_seconds=now.pause_seconds + pause,
            not_before=at + pause if pause else now.not_before,
        )
        samples.append(now)
    return samples


@settings(max_examples=40)
@given(histories(), st.none() | st.floats(0.01, 1000), st.floats(0.2, 5))
def test_the_range_is_in_order_and_not_in_the_past(samples: list[Sample], prior: float | None, scale: float) -> None:
    """Low, expected, high, all of them finite, none before now nor before the mailbox may go on."""
    made = forecast(samples, prior_rate=prior, scale=scale)
    if isinstance(made, NoForecast):
        assert made.why
        return
    assert samples[-1].at <= made.low <= made.expected <= made.high < math.inf
    assert samples[-1].not_before <= made.low
    assert made.spread > 0
    wider = forecast(samples, prior_rate=prior, scale=scale * 1.5)
    assert isinstance(wider, Forecast)
    assert (wider.low, made.expected, made.high) <= (made.low, wider.expected, wider.high)


@settings(max_examples=40)
@given(histories(), st.integers(1, 5_000))
def test_more_work_ends_no_sooner(samples: list[Sample], more: int) -> None:
    """The same past with more mail planned, from the beginning on, ends no sooner."""
    one, two = (
        forecast([replace(s, planned=10_000 + n, planned_bytes=50_000 * (10_000 + n), running=0) for s in samples])
        for n in (0, more)
    )
    if isinstance(one, Forecast):
        assert isinstance(two, Forecast)
        assert one.expected <= two.expected + 1e-6


def test_a_steady_job() -> None:
    """At a message a second 10,000 take 10,000 seconds, however far it is."""
    for seconds in (600, 3_000, 9_000):
        made = found(steady(seconds))
        assert made.expected == pytest.approx(10_000, rel=0.01)
        assert made.high - made.low < 0.5 * (10_000 - seconds)


@pytest.mark.parametrize(("on", "off"), [(60, 120), (300, 600), (600, 60)])
def test_a_throttled_mailbox_has_a_duty_cycle(on: float, off: float) -> None:
    """Turned away for `off` seconds after each `on` seconds of work: the mean counts, whenever in the turn one asks."""
    cycle = on + off
    for asked in (0.25, 0.5, 0.75):
        for phase in (0.1, on / cycle, 0.95):
            now = (math.floor(10_000 / on * asked) + phase) * cycle
            samples = [duty(at, on, off) for at in (*[n * now / 150 for n in range(150)], now)]
            ends = math.floor(10_000 / on) * cycle + 10_000 % on
            assert found(samples).expected - now == pytest.approx(ends - now, rel=0.1), (asked, phase)


def duty(at: float, on: float, off: float) -> Sample:
    """The job in a duty cycle, a message a second while it is on."""
    turns, within = divmod(at, on + off)
    away = within >= on
    pauses = int(turns) + away
    until = (turns + 1) * (on + off) if away else turns * (on + off)
    work = turns * on + min(within, on)
    return at_work(at, work, pauses=pauses, pause_seconds=pauses * off, not_before=until)


def test_a_pause_that_is_on_is_waited_for() -> None:
    """What Retry-After says comes on top, and the range does not begin before its end."""
    before = steady(3_000)
    until = 3_000 + 1_800.0
    turned_away = [*before, at_work(3_015, 3_000, not_before=until, pauses=1, pause_seconds=1_800)]
    made = found(turned_away)
    assert made.expected > 10_000 + 1_700
    assert made.low >= until


def test_what_is_paused_or_planned_has_none() -> None:
    """A paused job says that it is; one that never moved says so, unless the mailbox has a past."""
    assert NoForecast("paused") == forecast([*steady(600), at_work(615, 600, paused=True)])
    assert isinstance(forecast([replace(ZERO, chunks=0)]), NoForecast)
    assert isinstance(forecast([]), NoForecast)
    assert isinstance(forecast([ZERO]), NoForecast)
    assert found([ZERO], prior_rate=10.0).expected == pytest.approx(1_000, rel=0.01)


def test_time_in_which_somebody_paused_it_is_not_counted() -> None:
    """An hour's pause by hand does not make the job slower."""
    before = steady(3_000)
    paused = [at_work(3_000 + n * 300, 3_000, paused=True) for n in range(1, 13)]
    after = [at_work(6_600 + n * 15, 3_000 + n * 15) for n in range(1, 21)]
    assert found([*before, *paused, *after]).expected == pytest.approx(13_600, rel=0.01)
    assert found([*before, *paused, after[0]]).expected == pytest.approx(13_600, rel=0.01)


def test_giants_take_longer() -> None:
    """What is left is counted in bytes as well, once the past shows that they cost: large mail last, or first."""
    small, large = 10_000, 1_000_000

    def seen(first: int, then: int) -> Forecast:
        samples, at, size = [ZERO], 0.0, 0.0
        total = 5_000 * (first + then)
        for n in range(1, 76):
            each = first if n % 25 else then  # a few of the other kind among them
            at += 100 * (0.05 + each / 500_000)
            size += 100 * each
            samples.append(replace(ZERO, at=at, landed=n * 100, ended_chunks=n, landed_bytes=int(size)))
        return found([replace(s, planned_bytes=total) for s in samples])

    early, late = seen(small, large), seen(large, small)
    assert early.expected > late.expected * 0.2  # small mail so far, and yet not soon over
    left = 5_000 * (small + large) - (72 * 100 * small + 3 * 100 * large)
    began = 72 * 100 * (0.05 + small / 500_000) + 3 * 100 * (0.05 + large / 500_000)
    assert early.expected - began == pytest.approx(2_500 * 0.05 + left / 500_000, rel=0.25)


def test_a_plan_that_grows_ends_later() -> None:
    """As long as it grows by a fifth of what lands, what is left takes a quarter longer; none grows for ever."""
    grown = [growing(s, 0.2) for s in steady(6_000)]
    left = grown[-1].planned - grown[-1].landed
    assert found(grown).expected - 6_000 == pytest.approx(1.25 * left, rel=0.05)
    assert found([growing(s, 2.0) for s in steady(1_000)]).expected < 20_000


def test_growth_that_has_not_come_for_long_is_over() -> None:
    """What grew until half of the time and not since is foreseen as if it had never grown; a short lull is none."""
    samples = [growing(s, 0.2, until=3_000) for s in steady(6_000)]
    left = samples[-1].planned - samples[-1].landed
    assert found(samples).expected - 6_000 == pytest.approx(left, rel=0.05)
    lull = [growing(s, 0.2, until=5_980) for s in steady(6_000)]
    assert found(lull).expected - 6_000 == pytest.approx(1.25 * (lull[-1].planned - lull[-1].landed), rel=0.1)


def test_a_mailbox_that_is_always_turned_away_moves_by_its_pauses() -> None:
    """What lands was begun before the provider said no, each time anew: not a second is active, and yet it ends."""
    samples = [
        at_work(n * 100.0, n * 500, pauses=n + 1, pause_seconds=(n + 1) * 100.0, not_before=(n + 1) * 100.0)
        for n in range(11)
    ]
    assert found([ZERO, *samples]).expected - 1_000 == pytest.approx(1_000, rel=0.3)


def growing(sample: Sample, rate: float, until: float = math.inf) -> Sample:
    """The same with a plan that grew by so many messages a second until then."""
    planned = 10_000 + int(min(sample.at, until) * rate)
    return replace(sample, planned=planned, planned_bytes=planned * 50_000)


def test_ranges_are_scaled_by_what_came() -> None:
    """Outcomes twice as far off as foreseen widen the range, near ones narrow it, a few of them hardly."""
    assert calibrate([]) == pytest.approx(1.0)
    assert calibrate([(0.1, 0.1282)] * 1_000) == pytest.approx(1.0, abs=0.05)
    assert calibrate([(0.1, 0.2564)] * 1_000) == pytest.approx(2.0, abs=0.1)
    assert calibrate([(0.1, 0.2564)] * 2) < 1.1
    assert 0.2 <= calibrate([(0.1, 0.0)] * 1_000) < 1.0


def job(remaining: int, expected: float | None, rate: float = 1.0, *, planned: bool = True) -> OpenJob:
    """An open job at 0."""
    made = None if expected is None else Forecast(expected / 2, expected, expected * 2, rate, 0.1, "")
    return OpenJob(remaining, planned, made)


def test_the_backlog_is_over_with_its_last_job() -> None:
    """And what waits comes after it, at the rate of all."""
    assert Forecast(0.0, 0.0, 0.0, 0.0, 0.0, "nothing is left") == drained_by([], 0.0)
    assert isinstance(drained_by([job(10, None)], 0.0), NoForecast)
    both = drained_by([job(100, 100), job(500, 500)], 0.0)
    assert isinstance(both, Forecast)
    assert (250, 500, 1000) == (both.low, both.expected, both.high)
    more = drained_by([job(100, 100), job(500, 500), job(1_400, None), job(0, None, planned=False)], 0.0)
    assert isinstance(more, Forecast)
    assert (500, 1_000, 2_000) == (more.low, more.expected, more.high)
    assert more.why == "2 syncs under way, 1 wait, 1 not planned yet"
