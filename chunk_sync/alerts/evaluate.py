"""A tick of alerts: look, decide, send what is due within a time budget."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from chunk_sync.alerts.decide import decide
from chunk_sync.alerts.message import Message, compose
from chunk_sync.alerts.send import send
from chunk_sync.domain.alerts import Changes, DueMessage
from chunk_sync.errors import ProviderError
from chunk_sync.store import alerts
from chunk_sync.store.database import Database

BUDGET_SECONDS = 10.0
LEASE_SECONDS = 60.0
"""Nobody else sends a message that somebody took, for so long; far longer than sending takes."""
_FIRST_RETRY = timedelta(seconds=10)
_LAST_RETRY = timedelta(minutes=15)

Reveal = Callable[[str], str | None]
"""Gets the URL behind a reference; raises ProviderError when it cannot be had."""
Send = Callable[[str, Message], str | None]
"""Sends; returns why it did not arrive."""


@dataclass
class Outcome:
    """What became of the messages of a tick: how many by status; what went wrong, by route."""

    statuses: Counter[str] = field(default_factory=Counter[str])
    errors: dict[str, str] = field(default_factory=dict[str, str])


def evaluate(database: Database) -> Changes:
    """Look once; who is told waits in the outbox."""
    return alerts.look(database, decide)


def deliver(
    database: Database,
    reveal: Reveal,
    *,
    send: Send = send,
    only: str | None = None,
    budget_seconds: float = BUDGET_SECONDS,
) -> Outcome:
    """Send what is due, of one signal only if that is given, until nothing is or the time is up.

    A route that fails is left alone until the next tick, so that it does not use up the others' time.
    """
    outcome, failed = Outcome(), set[int]()
    end = time.monotonic() + budget_seconds
    while time.monotonic() < end:
        due = alerts.claim_message(database, lease_seconds=LEASE_SECONDS, skipped_routes=failed, only=only)
        if due is None:
            break
        error = _attempt(due, reveal, send)
        status = alerts.finish_message(database, due, error, retry_in(due.attempt))
        outcome.statuses[status or "lost"] += 1
        if error is not None:
            failed.add(due.route_id)
            outcome.errors[due.route] = error
    return outcome


def retry_in(attempt: int) -> timedelta:
    """How long to wait after a failed attempt, 1 for the first: twice as long each time, up to a quarter of an hour."""
    return min(_FIRST_RETRY * 2 ** min(attempt - 1, 20), _LAST_RETRY)


def summary(changes: Changes, outcome: Outcome) -> str:
    """Say in one line what a tick did."""
    open_now = len(changes.seen) + len(changes.opened)
    done = {
        "opened": len(changes.opened),
        "resolved": len(changes.resolved),
        "sent": outcome.statuses["sent"],
        "to be tried again": outcome.statuses["waiting"],
        "given up": outcome.statuses["failed"],
    }
    told = ", ".join(f"{count} {word}" for word, count in done.items() if count)
    return f"{open_now} alarming; {told or 'nothing new'}" if open_now or told else "nothing is alarming"


def _attempt(due: DueMessage, reveal: Reveal, send: Send) -> str | None:
    try:
        url = reveal(due.target)
    except ProviderError as error:
        return str(error)
    return send(url or "", compose(due))
