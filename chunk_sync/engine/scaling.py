"""Scaling: one decision about how many runs are wanted, kept where the next one and autoscalers read it."""

from __future__ import annotations

from collections.abc import Mapping

from chunk_sync.domain.scaling import Rules, Work, settle, wanted_runs
from chunk_sync.store import dispatches, scaling
from chunk_sync.store.database import Database

_SAID_AGAIN_SECONDS = 60.0
"""A decision that stays the same is written so often, to show that somebody decides."""


def decide_runs(
    database: Database, live_runs: Mapping[int, int], *, ceiling: int, run_threads: int
) -> tuple[int, dict[int, float]]:
    """Decide how many runs there are to be, at most `ceiling`; with the pace of the mailboxes that have work."""
    rows = scaling.backlog_rows(database)
    pace = dispatches.run_pace(database, list({row["mailbox_id"] for row in rows})) if rows else {}
    stands = scaling.standing(database)
    work = [
        Work(
            row["mailbox_id"],
            row["tenant_id"],
            row["provider"],
            row["chunks"],
            pace.get(row["mailbox_id"]),
            row["connections"],
            row["deadline"],
        )
        for row in rows
    ]
    rules = Rules(
        ceiling,
        run_threads,
        stands.drain_within,
        stands.fewest,
        stands.fewer_after,
        {row["tenant_id"]: row["tenant_limit"] for row in rows if row["tenant_limit"] is not None},
        {row["provider"]: row["provider_limit"] for row in rows if row["provider_limit"] is not None},
    )
    demand = wanted_runs(work, rules)
    decision = settle(stands.before, demand, stands.now, rules)
    if decision != stands.before or demand.reason != stands.reason or stands.age >= _SAID_AGAIN_SECONDS:
        scaling.note_decision(database, decision, demand, sum(live_runs.values()), rows)
    return decision.wanted, pace
