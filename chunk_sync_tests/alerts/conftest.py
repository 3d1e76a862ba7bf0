"""An installation's alerts: routes, what is alarming, and ticks on a clock that the tests move."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from chunk_sync.alerts.evaluate import Outcome, deliver, evaluate
from chunk_sync.alerts.message import Message
from chunk_sync.domain.alerts import Changes, Level
from chunk_sync.errors import ErrorCategory, ProviderError
from chunk_sync.store import alert_rules
from chunk_sync.store.alert_rules import NewRoute
from chunk_sync.store.control import Decision
from chunk_sync.store.database import Database, Row
from chunk_sync_tests.alerts.receivers import PATIENCE_SECONDS
from chunk_sync_tests.factory import set_clock

NOON = "2026-11-22 12:00:00+00"
ME = Decision("tests", "tester")


@dataclass
class Desk:
    """Where alerts are looked at: `sent` has what a stand-in for apprise was given, by the route's URL."""

    database: Database
    urls: dict[str, str] = field(default_factory=dict)
    sent: list[tuple[str, str]] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)

    def route(self, name: str = "ops", url: str | None = None, **rest: Any) -> None:
        """Add a route whose URL is its name, unless it has one."""
        target = f"env:{name.upper()}"
        self.urls[target] = url or name
        alert_rules.add_route(self.database, NewRoute(name, target, **rest), ME)

    def alarm(self, tenant: str = "default", objective: str = "freshness", level: Level = "warn") -> None:
        """Have the view say something: a promise to a tenant that is at risk, or broken."""
        self.database.execute(
            "INSERT INTO sla_states (tenant_id, objective, state, message)"
            " SELECT id, %s, %s, 'late' FROM tenants WHERE name = %s"
            " ON CONFLICT (tenant_id, objective, mailbox_id) DO UPDATE SET state = excluded.state",
            (objective, "broken" if level == "critical" else "at_risk", tenant),
        )

    def calm(self) -> None:
        """Nothing is alarming any more."""
        self.database.execute("DELETE FROM sla_states")

    def look(self) -> Changes:
        """Evaluate once."""
        return evaluate(self.database)

    def deliver(self, **rest: Any) -> Outcome:
        """Send what is due."""
        return deliver(self.database, self.reveal, **({"send": self.send, "budget_seconds": PATIENCE_SECONDS} | rest))

    def tick(self) -> list[tuple[str, str]]:
        """Look, and send; what was sent meanwhile: route and title."""
        before = len(self.sent)
        self.look()
        self.deliver()
        return self.sent[before:]

    def send(self, url: str, message: Message) -> str | None:
        """Stand in for apprise."""
        if url in self.errors:
            return self.errors[url]
        self.sent.append((url, message.title.removeprefix("chunk_sync ")))
        return None

    def reveal(self, reference: str) -> str:
        """Get a route's URL."""
        if reference not in self.urls:
            message = f"{reference} is not set"
            raise ProviderError(message, ErrorCategory.AUTH)
        return self.urls[reference]

    def rows(self, table: str = "alert_deliveries", **where: object) -> list[Row]:
        """Read rows of a table."""
        rows = self.database.execute(f"SELECT * FROM {table} ORDER BY 1".encode())  # type: ignore[arg-type]
        return [row for row in rows if where.items() <= row.items()]

    def statuses(self) -> list[tuple[str, str, int]]:
        """Route, status and attempts of all messages."""
        return [(row["route"], row["status"], row["attempts"]) for row in self.rows()]


@pytest.fixture
def desk(database: Database) -> Desk:
    """No route and nothing alarming, at noon."""
    set_clock(database, NOON)
    return Desk(database)


def pick(row: Mapping[str, object], *names: str) -> tuple[object, ...]:
    """Some columns of a row."""
    return tuple(row[name] for name in names)
