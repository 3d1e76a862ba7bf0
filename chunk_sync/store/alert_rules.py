"""What people decide about alerts: routes, silences, acknowledgements, each audited with who and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from psycopg.types.json import Jsonb

from chunk_sync.domain.alerts import Level
from chunk_sync.errors import UsageError
from chunk_sync.store.control import Decision
from chunk_sync.store.database import Connection, Database, Row, query


@dataclass(frozen=True, slots=True)
class NewRoute:
    """A route to add; `target` is a reference to its URL (env:NAME, file:PATH, sealed:TOKEN)."""

    name: str
    target: str
    tenant: str | None = None
    min_level: Level = "warn"
    max_per_hour: int = 20
    repeat_every: timedelta | None = None


def list_alerts(database: Database, *, whole: bool = False, limit: int = 100) -> list[Row]:
    """List the open alerts, or the `whole` history, the newest first, with what became of their messages."""
    return database.rows("alert_list", {"all": whole, "limit": limit})


def acknowledge(database: Database, alert_id: int, decision: Decision) -> str:
    """Say that somebody looks after an alert, which ends its repetitions; returns its signal.

    Raises UsageError when it is not open.
    """
    with database.transaction() as conn:
        row = conn.execute(query("alert_ack"), {"alert_id": alert_id, "actor": decision.actor}).fetchone()
        if row is None:
            message = f"there is no open alert {alert_id}: `./chunk-sync alert list` shows them"
            raise UsageError(message)
        _audit(conn, decision, "alert_acknowledged", row["tenant_id"], alert_id=alert_id, signal=row["signal"])
    return row["signal"]


def add_silence(
    database: Database,
    length: timedelta,
    decision: Decision,
    *,
    tenant: str | None = None,
    signal: str | None = None,
    subject: str | None = None,
) -> Row:
    """Be silent for so long about the alerts of a tenant, signal and subject (None: any); returns id and ends_at."""
    with database.transaction() as conn:
        tenant_id = _tenant_id(conn, tenant)
        about = {"tenant_id": tenant_id, "signal": signal, "subject": subject}
        who = {"length": length, "actor": decision.actor, "reason": decision.reason}
        row = conn.execute(query("alert_silence_add"), about | who).fetchone()
        assert row is not None  # noqa: S101 - INSERT ... RETURNING
        _audit(conn, decision, "alerts_silenced", tenant_id, silence_id=row["id"], signal=signal, subject=subject)
    return row


def end_silence(database: Database, silence_id: int, decision: Decision) -> None:
    """End a silence before its time; raises UsageError when it is over."""
    with database.transaction() as conn:
        row = conn.execute(query("alert_silence_end"), {"silence_id": silence_id}).fetchone()
        if row is None:
            message = f"there is no silence {silence_id} that is not over: `./chunk-sync alert list` shows them"
            raise UsageError(message)
        _audit(conn, decision, "silence_ended", row["tenant_id"], silence_id=silence_id)


def list_silences(database: Database) -> list[Row]:
    """List the silences that are not over, the first to end first."""
    return database.rows("alert_silence_list")


def add_route(database: Database, route: NewRoute, decision: Decision) -> None:
    """Add a route; raises UsageError when its name is taken or there is no such tenant."""
    with database.transaction() as conn:
        tenant_id = _tenant_id(conn, route.tenant)
        row = conn.execute(
            query("alert_route_add"),
            {
                "tenant_id": tenant_id,
                "name": route.name,
                "min_level": route.min_level,
                "target": route.target,
                "max_per_hour": route.max_per_hour,
                "repeat_every": route.repeat_every,
            },
        ).fetchone()
        if row is None:
            message = f"there is a route {route.name!r} already: choose another name, or remove it first"
            raise UsageError(message)
        _audit(conn, decision, "alert_route_added", tenant_id, route=route.name, min_level=route.min_level)


def list_routes(database: Database) -> list[Row]:
    """List the routes, with what became of their messages of the last day."""
    return database.rows("alert_route_list")


def get_route(database: Database, name: str) -> Row:
    """Find a route by its name; raises UsageError when there is none."""
    for row in list_routes(database):
        if row["name"] == name:
            return row
    message = f"there is no route {name!r}: `./chunk-sync alert route list` says what there is"
    raise UsageError(message)


def remove_route(database: Database, name: str, decision: Decision) -> int:
    """Remove a route; returns how many messages waited for it, which are not sent."""
    get_route(database, name)
    with database.transaction() as conn:
        row = conn.execute(query("alert_route_remove"), {"name": name}).fetchone()
        if row is None:
            return 0
        conn.execute("DELETE FROM alert_routes WHERE id = %s", (row["id"],))
        _audit(conn, decision, "alert_route_removed", row["tenant_id"], route=name, dropped=row["dropped"])
    return row["dropped"]


def note_trial(database: Database, name: str, error: str | None, decision: Decision) -> None:
    """Keep that somebody tried a route, and what came of it."""
    with database.transaction() as conn:
        _audit(conn, decision, "alert_route_tested", None, route=name, error=error)


def _tenant_id(conn: Connection, tenant: str | None) -> int | None:
    if tenant is None:
        return None
    row = conn.execute("SELECT id FROM tenants WHERE name = %s", (tenant,)).fetchone()
    if row is None:
        message = f"there is no tenant {tenant!r}: `./chunk-sync mailbox list` names them"
        raise UsageError(message)
    return row["id"]


def _audit(conn: Connection, decision: Decision, action: str, tenant_id: int | None, **details: object) -> None:
    known = {name: value for name, value in details.items() if value is not None}
    conn.execute(
        query("alert_audit"),
        {
            "actor": decision.actor,
            "action": action,
            "tenant_id": tenant_id,
            "reason": decision.reason,
            "details": Jsonb(known),
        },
    )
