"""Decide which alerts open, grow worse and resolve, and who is told of them. Pure.

It compares what is with what was told, so that nothing is lost: a message that a silence or a limit held back goes out
later if its alert is still there, and a new route hears of what is open already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from chunk_sync.domain.alerts import (
    RANKS,
    Changes,
    Delivery,
    Held,
    Key,
    Kind,
    Level,
    OpenAlert,
    Route,
    Sighting,
    Signal,
    State,
    Told,
    Why,
)

QUIET = timedelta(minutes=5)
"""An alert is over once its signal was away for so long: one that flaps is one alert."""
_RESERVE = 5  # one of so many messages of a route's hour is for critical alerts only


@dataclass(frozen=True, slots=True)
class _Current:
    """An alert that is there now; `id` is None when it opens."""

    key: Key
    level: Level
    acknowledged: bool = False
    id: int | None = None


def decide(state: State, *, quiet: timedelta = QUIET) -> Changes:
    """Decide what changes, from what is alarming now and what is known."""
    known = {alert.key: alert for alert in state.open}
    worst = _worst(state.seen)
    opened = [signal for key, signal in worst.items() if key not in known]
    seen = [_sight(known[key], signal) for key, signal in worst.items() if key in known]
    resolved = [alert for key, alert in known.items() if key not in worst and state.now - alert.last_seen_at >= quiet]
    current = [
        *(_Current(one.signal.key, one.level, _acknowledged(known[one.signal.key], one), one.alert_id) for one in seen),
        *(_Current(signal.key, signal.level) for signal in opened),
    ]
    return Changes(opened, seen, resolved, [*_recoveries(state, resolved), *_messages(state, current)])


def concerns(route: Route, key: Key) -> bool:
    """Whether a route hears of an alert at all: its tenant's, or everything."""
    return route.tenant_id is None or route.tenant_id == key.tenant_id


def _worst(seen: Sequence[Signal]) -> dict[Key, Signal]:
    """Keep one signal a key, the worst."""
    worst: dict[Key, Signal] = {}
    for signal in seen:
        other = worst.get(signal.key)
        if other is None or RANKS[signal.level] > RANKS[other.level]:
            worst[signal.key] = signal
    return worst


def _sight(alert: OpenAlert, signal: Signal) -> Sighting:
    level = max(alert.level, signal.level, key=RANKS.__getitem__)
    return Sighting(alert.id, level, signal)


def _acknowledged(alert: OpenAlert, sighting: Sighting) -> bool:
    return alert.acknowledged and alert.level == sighting.level


def _recoveries(state: State, resolved: Sequence[OpenAlert]) -> list[Delivery]:
    """Whoever was told of an alert is told of its end, whatever is silenced or used up by then."""
    return [
        Delivery(alert.key, route.id, "resolved", alert.level)
        for alert in resolved
        for route in state.routes
        if state.told.get((alert.id, route.id), Told()).reached
    ]


def _messages(state: State, current: Sequence[_Current]) -> list[Delivery]:
    """Tell each route what it does not know yet, the worst first."""
    used = {route.id: route.used for route in state.routes}
    deliveries: list[Delivery] = []
    for alert in sorted(current, key=lambda alert: (-RANKS[alert.level], alert.id is None, alert.id or 0)):
        for route in state.routes:
            if not concerns(route, alert.key) or RANKS[alert.level] < RANKS[route.min_level]:
                continue
            told = Told() if alert.id is None else state.told.get((alert.id, route.id), Told())
            kind = _news(alert, route, told, state.now)
            if kind is None:
                continue
            why = _obstacle(state, alert, route, used[route.id])
            if why is None:
                used[route.id] += 1
            elif Held(kind, alert.level, why) in told.held:
                continue
            deliveries.append(Delivery(alert.key, route.id, kind, alert.level, why))
    return deliveries


def _news(alert: _Current, route: Route, told: Told, now: datetime) -> Kind | None:
    """What a route has to hear of an alert, if anything."""
    if told.level is None:
        return "opened"
    if RANKS[alert.level] > RANKS[told.level]:
        return "escalated"
    is_due = route.repeat_every is not None and told.at is not None and now - told.at >= route.repeat_every
    return "repeated" if is_due and not alert.acknowledged else None


def _obstacle(state: State, alert: _Current, route: Route, used: int) -> Why | None:
    """Why a message must not go out now; None when it may."""
    if any(silence.covers(alert.key) for silence in state.silences):
        return "silenced"
    if alert.acknowledged:
        return "acknowledged"
    reserve = 0 if alert.level == "critical" else route.max_per_hour // _RESERVE
    return "rate_limit" if used >= route.max_per_hour - reserve else None
