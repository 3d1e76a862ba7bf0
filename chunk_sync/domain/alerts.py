"""What alerts are made of: signals, open alerts, routes, silences, and what is decided about them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

Level = Literal["warn", "critical"]
Kind = Literal["opened", "escalated", "repeated", "resolved"]
Why = Literal["silenced", "acknowledged", "rate_limit"]

RANKS: Mapping[Level, int] = {"warn": 1, "critical": 2}
"""How bad a level is."""
SILENT = "system_silent"
"""The signal of the dead-man's switch, which no view shows."""


class Key(NamedTuple):
    """What makes an alert one alert: at most one is open for it. Without a tenant it is about the whole system."""

    signal: str
    tenant_id: int | None
    subject: str


@dataclass(frozen=True, slots=True)
class Signal:
    """Something that is alarming now."""

    key: Key
    level: Level
    value: float
    threshold: float | None
    message: str


@dataclass(frozen=True, slots=True)
class OpenAlert:
    """An alert that is not over; `level` is its worst so far."""

    id: int
    key: Key
    level: Level
    last_seen_at: datetime
    acknowledged: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """Where messages go; `used` of its `max_per_hour` are gone. Without a tenant it hears of everything."""

    id: int
    tenant_id: int | None
    min_level: Level = "warn"
    max_per_hour: int = 20
    repeat_every: timedelta | None = None
    used: int = 0


@dataclass(frozen=True, slots=True)
class Silence:
    """Alerts of which nothing is sent now; None stands for any."""

    tenant_id: int | None
    signal: str | None
    subject: str | None

    def covers(self, key: Key) -> bool:
        """Whether it is about this alert."""
        wanted = zip((self.signal, self.tenant_id, self.subject), key, strict=True)
        return all(mine is None or mine == its for mine, its in wanted)


class Held(NamedTuple):
    """A message that was held back, and why: it is noted once."""

    kind: Kind
    level: Level
    why: Why


@dataclass(frozen=True, slots=True)
class Told:
    """What a route was told of an open alert: the worst level, and when last; `reached`: it was sent, or may be yet."""

    level: Level | None = None
    at: datetime | None = None
    reached: bool = False
    held: frozenset[Held] = frozenset()


@dataclass(frozen=True, slots=True)
class State:
    """All that a decision depends on."""

    now: datetime
    seen: Sequence[Signal]
    open: Sequence[OpenAlert] = ()
    routes: Sequence[Route] = ()
    silences: Sequence[Silence] = ()
    told: Mapping[tuple[int, int], Told] = field(default_factory=dict[tuple[int, int], Told])  # by alert and route


@dataclass(frozen=True, slots=True)
class Sighting:
    """An open alert that was seen again; `level` is its worst by now."""

    alert_id: int
    level: Level
    signal: Signal


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message to a route; with `why` it is held back."""

    key: Key
    route_id: int
    kind: Kind
    level: Level
    why: Why | None = None


@dataclass(frozen=True, slots=True)
class Changes:
    """What is decided: alerts that open, that are there still, that are over, and who is told."""

    opened: Sequence[Signal] = ()
    seen: Sequence[Sighting] = ()
    resolved: Sequence[OpenAlert] = ()
    deliveries: Sequence[Delivery] = ()


@dataclass(frozen=True, slots=True)
class DueMessage:
    """A message to be sent, claimed for its `attempt`: what it is about, and where it goes."""

    delivery_id: int
    attempt: int
    kind: Kind
    level: Level
    route_id: int
    route: str
    target: str
    alert_id: int
    signal: str
    tenant: str | None
    subject: str
    message: str
    opened_at: datetime
    resolved_at: datetime | None
    claimed_at: datetime
