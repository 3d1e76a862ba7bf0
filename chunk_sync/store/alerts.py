"""Alerts as rows: looked at and changed in one transaction, and an outbox of messages that are sent at least once.

A message is claimed by moving its `next_at` on, in a transaction that ends before it is sent. Whoever sends it and
dies has used an attempt; when the claim runs out it is sent again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import timedelta

from chunk_sync.domain.alerts import (
    Changes,
    DueMessage,
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
from chunk_sync.store.database import Connection, Database, Row, query

MAX_ATTEMPTS = 12
"""After so many attempts a message is given up: by then it is two hours old."""
_LEVELS: dict[int | None, Level | None] = {None: None, 1: "warn", 2: "critical"}


def look(database: Database, decide: Callable[[State], Changes]) -> Changes:
    """Compare what is alarming with the open alerts, and write what is decided, all or nothing; leaves a sign of life.

    One look at a time, whoever looks.
    """
    with database.transaction() as conn:
        conn.execute(query("alert_lock"))
        seen = [_signal(row) for row in conn.execute(query("alert_now")).fetchall()]
        changes = decide(_state(conn, seen, None))
        _write(conn, changes)
        conn.execute(query("alert_pulse_set"))
        return changes


def look_for(database: Database, signal: str, seen: Sequence[Signal], decide: Callable[[State], Changes]) -> Changes:
    """As `look`, for the alerts of one signal that somebody else sees; no sign of life."""
    with database.transaction() as conn:
        conn.execute(query("alert_lock"))
        changes = decide(_state(conn, seen, signal))
        _write(conn, changes)
        return changes


def pulse_age(database: Database) -> float:
    """Seconds since somebody looked; where nobody has yet, since the schema was put in."""
    return database.rows("alert_pulse_age")[0]["seconds"]


def claim_message(
    database: Database, *, lease_seconds: float, skipped_routes: Collection[int] = (), only: str | None = None
) -> DueMessage | None:
    """Take the next message that is due, of one signal only if that is given; None when there is none.

    Nobody else gets it before the lease is over. Gives up messages whose senders died at each attempt.
    """
    parameters = {
        "max_attempts": MAX_ATTEMPTS,
        "skipped": list(skipped_routes),
        "only": only,
        "lease": timedelta(seconds=lease_seconds),
    }
    with database.transaction() as conn:
        conn.execute(query("alert_give_up"), {"max_attempts": MAX_ATTEMPTS})
        row = conn.execute(query("alert_claim"), parameters).fetchone()
    if row is None:
        return None
    row["delivery_id"], row["attempt"] = row.pop("id"), row.pop("attempts")
    return DueMessage(**row)


def finish_message(database: Database, due: DueMessage, error: str | None, retry_in: timedelta) -> str | None:
    """Note what became of an attempt; returns the message's status, None when somebody else has it by now."""
    row = database.row(
        "alert_finish",
        {
            "delivery_id": due.delivery_id,
            "attempt": due.attempt,
            "error": error,
            "retry_in": retry_in,
            "max_attempts": MAX_ATTEMPTS,
        },
    )
    return None if row is None else row["status"]


def _state(conn: Connection, seen: Sequence[Signal], only: str | None) -> State:
    opened = [
        OpenAlert(row["id"], _key(row), row["level"], row["last_seen_at"], row["acknowledged"])
        for row in conn.execute(query("alert_open"), {"only": only})
    ]
    told = conn.execute(query("alert_told"), {"alert_ids": [alert.id for alert in opened]}).fetchall()
    now = conn.execute("SELECT clock() AS now").fetchone()
    assert now is not None  # noqa: S101 - a SELECT without FROM
    return State(
        now["now"],
        seen,
        opened,
        [_route(row) for row in conn.execute(query("alert_routes_used"))],
        [Silence(**row) for row in conn.execute(query("alert_silences_now"))],
        {(row["alert_id"], row["route_id"]): _told(row) for row in told},
    )


def _write(conn: Connection, changes: Changes) -> None:
    ids: dict[Key, int] = {alert.key: alert.id for alert in changes.resolved}
    for sighting in changes.seen:
        ids[sighting.signal.key] = sighting.alert_id
        found = _columns(sighting.signal) | {"alert_id": sighting.alert_id, "level": sighting.level}
        conn.execute(query("alert_seen"), found)
    for signal in changes.opened:
        row = conn.execute(query("alert_insert"), _columns(signal)).fetchone()
        if row is not None:
            ids[signal.key] = row["id"]
    if changes.resolved:
        conn.execute(query("alert_resolve"), {"alert_ids": [alert.id for alert in changes.resolved]})
    for delivery in changes.deliveries:
        if delivery.key in ids:
            message = {"kind": delivery.kind, "level": delivery.level, "why": delivery.why}
            conn.execute(
                query("alert_enqueue"), message | {"alert_id": ids[delivery.key], "route_id": delivery.route_id}
            )


def _signal(row: Row) -> Signal:
    return Signal(_key(row), row["level"], row["value"], row["threshold"], row["message"])


def _key(row: Row) -> Key:
    return Key(row["signal"], row["tenant_id"], row["subject"])


def _columns(signal: Signal) -> dict[str, object]:
    found: dict[str, object] = dict(signal.key._asdict())
    return found | {
        "level": signal.level,
        "value": signal.value,
        "threshold": signal.threshold,
        "message": signal.message,
    }


def _route(row: Row) -> Route:
    return Route(
        row["id"], row["tenant_id"], row["min_level"], row["max_per_hour"], row["repeat_every"], used=row["used"]
    )


def _told(row: Row) -> Told:
    held = frozenset(Held(*text.split(" ")) for text in row["held"])
    return Told(_LEVELS[row["told_rank"]], row["told_at"], row["reached"], held)
