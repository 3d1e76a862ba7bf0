"""Decisions about alerts, on a clock that is a number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chunk_sync.alerts.decide import QUIET, decide
from chunk_sync.domain.alerts import (
    RANKS,
    Changes,
    Delivery,
    Held,
    Key,
    Level,
    OpenAlert,
    Route,
    Signal,
    Silence,
    State,
    Told,
)

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
TICK = timedelta(seconds=30)
STUCK = Key("stuck_chunks", None, "")
ANN = Key("dead_letters", 1, "box")
HOUR = timedelta(hours=1)


def signal(key: Key = STUCK, level: Level = "warn") -> Signal:
    """Something alarming."""
    return Signal(key, level, 3, 0, "3 chunks")


@dataclass
class World:
    """What the tables would hold: it applies each decision, so that the next one sees it."""

    routes: Sequence[Route] = (Route(1, None),)
    silences: Sequence[Silence] = ()
    now: datetime = NOON
    open: dict[Key, OpenAlert] = field(default_factory=dict)
    deliveries: list[tuple[datetime, int, Delivery]] = field(default_factory=list)
    resolved: list[OpenAlert] = field(default_factory=list)
    next_id: int = 1

    def tick(self, *seen: Signal, wait: timedelta = TICK) -> list[tuple[int, str, str | None]]:
        """Look once, after a while; who is told what, or why not."""
        self.now += wait
        changes = decide(self.state(seen))
        self.apply(changes)
        return [(one.route_id, one.kind, one.why) for one in changes.deliveries]

    def state(self, seen: Sequence[Signal]) -> State:
        """What a look at the tables gives."""
        told = {
            (alert.id, route.id): self.told(alert.id, route.id) for alert in self.open.values() for route in self.routes
        }
        routes = [replace(route, used=self.used(route)) for route in self.routes]
        return State(self.now, seen, list(self.open.values()), routes, self.silences, told)

    def told(self, alert_id: int, route_id: int) -> Told:
        """What a route knows of an alert."""
        mine = [(at, one) for at, told, one in self.deliveries if (told, one.route_id) == (alert_id, route_id)]
        gone = [(at, one) for at, one in mine if one.why is None]
        held = frozenset(Held(one.kind, one.level, one.why) for _, one in mine if one.why)
        if not gone:
            return Told(held=held)
        return Told(max((one.level for _, one in gone), key=RANKS.__getitem__), gone[-1][0], reached=True, held=held)

    def used(self, route: Route) -> int:
        """How many messages of the last hour count."""
        return sum(
            one.route_id == route.id and one.why is None and one.kind != "resolved" and at > self.now - HOUR
            for at, _, one in self.deliveries
        )

    def apply(self, changes: Changes) -> None:
        """Write what was decided."""
        ids = {alert.key: alert.id for alert in self.open.values()}
        for one in changes.resolved:
            self.resolved.append(self.open.pop(one.key))
        for one in changes.opened:
            assert one.key not in ids
            ids[one.key] = self.next_id
            self.open[one.key] = OpenAlert(self.next_id, one.key, one.level, self.now)
            self.next_id += 1
        for one in changes.seen:
            old = self.open[one.signal.key]
            kept = old.acknowledged and old.level == one.level
            self.open[one.signal.key] = replace(old, level=one.level, last_seen_at=self.now, acknowledged=kept)
        self.deliveries += [(self.now, ids[one.key], one) for one in changes.deliveries]

    def acknowledge(self, key: Key = STUCK) -> None:
        """Somebody looks after it."""
        self.open[key] = replace(self.open[key], acknowledged=True)


def test_an_alert_is_told_once_and_its_end_once() -> None:
    """However often it is seen; the recovery comes when it was quiet for a while."""
    world = World()
    assert [(1, "opened", None)] == world.tick(signal())
    assert [] == [told for _ in range(20) for told in world.tick(signal())]
    assert [] == world.tick(wait=QUIET - TICK)
    assert [(1, "resolved", None)] == world.tick()
    assert [] == world.tick()


def test_a_signal_that_flaps_is_one_alert() -> None:
    """On and off every half minute for an hour: one message, and one when it has really ended."""
    world = World()
    told = [one for number in range(120) for one in world.tick(*[signal()] * (number % 2))]
    assert [(1, "opened", None)] == told
    assert [(1, "resolved", None)] == world.tick(wait=QUIET)
    assert [(1, "opened", None)] == world.tick(signal())


def test_it_grows_worse_once() -> None:
    """From warn to critical is told; back and forth after that is not: an alert has its worst level."""
    world = World()
    levels: list[Level] = ["warn", "critical", "warn", "critical", "critical"]
    told = [world.tick(signal(level=level)) for level in levels]
    assert [[(1, "opened", None)], [(1, "escalated", None)], [], [], []] == told


def test_a_route_for_critical_ones_hears_no_warnings() -> None:
    """Neither the warning nor its end; what grows worse is new to it."""
    world = World(routes=[Route(1, None), Route(2, None, min_level="critical")])
    assert [(1, "opened", None)] == world.tick(signal())
    assert [(1, "resolved", None)] == world.tick(wait=QUIET)
    assert [(1, "opened", None)] == world.tick(signal())
    assert [(1, "escalated", None), (2, "opened", None)] == world.tick(signal(level="critical"))
    assert [(1, "resolved", None), (2, "resolved", None)] == world.tick(wait=QUIET)


def test_a_tenants_route_hears_of_its_tenant_only() -> None:
    """Not of another tenant's, and not of the whole system."""
    world = World(routes=[Route(1, None), Route(2, 1), Route(3, 2)])
    assert [(1, "opened", None), (2, "opened", None)] == world.tick(signal(ANN))
    assert [(1, "opened", None)] == world.tick(signal(ANN), signal(STUCK))


def test_a_silence_holds_back_and_then_lets_through() -> None:
    """What is silenced is noted once; it is told when the silence is over and it is still there."""
    world = World(silences=[Silence(None, "stuck_chunks", None)])
    assert [(1, "opened", "silenced")] == world.tick(signal())
    assert [] == [told for _ in range(5) for told in world.tick(signal())]
    assert [(1, "opened", None)] == world.tick(signal(ANN), signal())
    world.silences = []
    assert [(1, "opened", None)] == world.tick(signal(), signal(ANN))


def test_what_was_never_told_ends_without_a_word() -> None:
    """Nobody hears of the end of what was silenced; who heard of the beginning does, silence or not."""
    world = World(silences=[Silence(None, None, None)])
    world.tick(signal())
    assert [] == world.tick(wait=QUIET)
    world.silences = []
    world.tick(signal())
    world.silences = [Silence(None, None, None)]
    assert [(1, "resolved", None)] == world.tick(wait=QUIET)


@pytest.mark.parametrize(
    ("silence", "covered"),
    [
        (Silence(None, None, None), {STUCK, ANN}),
        (Silence(1, None, None), {ANN}),
        (Silence(2, None, None), set()),
        (Silence(None, "stuck_chunks", None), {STUCK}),
        (Silence(1, "dead_letters", "box"), {ANN}),
        (Silence(1, "dead_letters", "other"), set()),
    ],
)
def test_what_a_silence_covers(silence: Silence, covered: set[Key]) -> None:
    """What it names has to be so; what it does not name is anything."""
    assert covered == {key for key in (STUCK, ANN) if silence.covers(key)}


def test_it_is_told_again_until_somebody_looks_after_it() -> None:
    """Each `repeat_every`; an acknowledgement ends that, until it grows worse."""
    world = World(routes=[Route(1, None, repeat_every=HOUR)])
    world.tick(signal())
    assert [] == world.tick(signal(), wait=HOUR - TICK)
    assert [(1, "repeated", None)] == world.tick(signal())
    world.acknowledge()
    assert [] == world.tick(signal(), wait=3 * HOUR)
    assert [(1, "escalated", None)] == world.tick(signal(level="critical"))
    assert [(1, "repeated", None)] == world.tick(signal(), wait=HOUR)
    world.acknowledge()
    assert [(1, "resolved", None)] == world.tick(wait=QUIET)


def test_a_new_route_hears_of_what_is_open_unless_somebody_looks_after_it() -> None:
    """Whoever joins is told; of an acknowledged one it is noted why not."""
    world = World()
    world.tick(signal(), signal(ANN))
    world.acknowledge(ANN)
    world.routes = [Route(1, None), Route(2, None)]
    assert {(2, "opened", None), (2, "opened", "acknowledged")} == set(world.tick(signal(), signal(ANN)))


def test_the_limit_of_an_hour() -> None:
    """Of ten alerts at once a route of five gets four warnings: its fifth place is for a critical one."""
    keys = [Key("dead_letters", number, "") for number in range(10)]
    world = World(routes=[Route(1, None, max_per_hour=5)])
    told = world.tick(*(signal(key) for key in keys))
    assert {("opened", None): 4, ("opened", "rate_limit"): 6} == Counter((kind, why) for _, kind, why in told)
    assert [(1, "escalated", None)] == world.tick(*(signal(key) for key in keys[1:]), signal(keys[0], "critical"))
    assert [] == world.tick(*map(signal, keys))
    assert [(1, "opened", None)] * 4 == world.tick(*map(signal, keys), wait=HOUR)


def test_the_critical_one_goes_first() -> None:
    """When there is room for one message only."""
    world = World(routes=[Route(1, None, max_per_hour=1)])
    world.tick(signal(STUCK), signal(ANN, "critical"))
    assert {STUCK: "rate_limit", ANN: None} == {one.key: one.why for _, _, one in world.deliveries}


def test_two_rows_of_one_thing_are_one_alert() -> None:
    """The view may say a thing twice; the worse counts."""
    world = World()
    world.tick(signal(level="warn"), signal(level="critical"), signal(level="warn"))
    assert ["critical"] == [alert.level for alert in world.open.values()]


def test_a_message_that_failed_for_good_has_no_recovery() -> None:
    """Who never got the first does not get the last."""
    alert = OpenAlert(7, STUCK, "warn", NOON - QUIET)
    told = {(7, 1): Told("warn", NOON - HOUR, reached=False), (7, 2): Told("warn", NOON - HOUR, reached=True)}
    changes = decide(State(NOON, (), [alert], [Route(1, None), Route(2, None)], (), told))
    assert [(2, "resolved")] == [(one.route_id, one.kind) for one in changes.deliveries]


KEYS = [STUCK, ANN, Key("dead_letters", 2, "box"), Key("no_worker_seconds", None, "")]
SIGNALS = st.builds(signal, st.sampled_from(KEYS), st.sampled_from(list(RANKS)))
SILENCES = st.builds(
    Silence, st.sampled_from([None, 1, 2]), st.sampled_from([None, "dead_letters", "stuck_chunks"]), st.just(None)
)
ROUTES = st.builds(
    Route,
    st.just(0),
    st.sampled_from([None, 1, 2]),
    st.sampled_from(list(RANKS)),
    st.integers(1, 4),
    st.sampled_from([None, timedelta(minutes=10)]),
)
STEPS = st.tuples(
    st.lists(SIGNALS, max_size=5),
    st.lists(SILENCES, max_size=1),
    st.sampled_from([TICK, QUIET, HOUR]),
    st.sampled_from([None, *KEYS]),
)


@given(st.lists(ROUTES, min_size=1, max_size=3), st.lists(STEPS, max_size=15))
def test_what_holds_whatever_happens(
    routes: list[Route], steps: list[tuple[list[Signal], list[Silence], timedelta, Key]]
) -> None:
    """Who hears what of any history.

    Each route hears of an alert once that it opened, once of each level, and of its end exactly if it heard of it;
    only of its tenant, only of its levels, and never more an hour than its limit.
    """
    world = World(routes=[replace(route, id=number) for number, route in enumerate(routes)])
    for seen, silences, wait, acknowledged in steps:
        world.silences = silences
        if acknowledged in world.open:
            world.acknowledge(acknowledged)
        world.tick(*seen, wait=wait)
        assert {one.key for one in seen} <= world.open.keys()
        assert all(world.used(route) <= route.max_per_hour for route in world.routes)
    world.silences = []
    world.tick(wait=QUIET)
    assert {} == world.open
    for route in world.routes:
        for alert in world.resolved:
            heard = [one for _, told, one in world.deliveries if (told, one.route_id) == (alert.id, route.id)]
            sent = Counter(one.kind for one in heard if one.why is None)
            assert sent["opened"] == sent["resolved"] <= 1
            assert sent["escalated"] <= 1
            assert len({(one.kind, one.level, one.why) for one in heard if one.why}) == sum(
                one.why is not None for one in heard
            )
            if heard:
                assert route.tenant_id in (None, alert.key.tenant_id)
                assert RANKS[alert.level] >= RANKS[route.min_level]
