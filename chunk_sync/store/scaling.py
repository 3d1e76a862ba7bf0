"""Scaling: what is due, what the operator says, and what was decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chunk_sync.domain.scaling import Decision, Demand
from chunk_sync.store.database import Database, Row


@dataclass(frozen=True, slots=True)
class Standing:
    """The last decision with its age in seconds (None: none yet), and the operator's numbers."""

    before: Decision | None
    reason: str | None
    age: float
    now: float
    drain_within: float
    fewest: int
    fewer_after: float


def backlog_rows(database: Database) -> list[Row]:
    """List open work that is due now or soon, a row per job."""
    return database.rows("scaling_backlog")


def standing(database: Database) -> Standing:
    """Read how things stand."""
    row = database.row("scaling_now")
    assert row is not None  # noqa: S101 - queue_rules has one row, always
    known = row["wanted_runs"] is not None
    return Standing(
        before=Decision(row["wanted_runs"], row["fewer_since"], row["fewer_peak"]) if known else None,
        reason=row["reason"],
        age=row["now"] - row["decided_at"] if known else 0.0,
        now=row["now"],
        drain_within=row["drain_within"],
        fewest=row["fewest_runs"],
        fewer_after=row["fewer_after"],
    )


def wanted_row(database: Database) -> Row | None:
    """Read what autoscalers read; None before the first decision."""
    return database.row("scaling_wanted")


def note_decision(database: Database, decision: Decision, demand: Demand, running: int, rows: Sequence[Row]) -> None:
    """Keep what was decided, for the next tick and for autoscalers."""
    database.rows(
        "scaling_note",
        {
            "wanted": decision.wanted,
            "useful": demand.useful,
            "running": running,
            "chunks": sum(row["chunks"] for row in rows),
            "seconds": demand.backlog_seconds,
            "reason": demand.reason,
            "fewer_since": decision.fewer_since,
            "fewer_peak": decision.fewer_peak,
        },
    )
