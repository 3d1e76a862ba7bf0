"""What tenants were promised, and how each promise stands: kept, at risk, or broken. Rows in, states out.

Three objectives: `first_sync` (a mailbox is whole so long after it was first asked for), `freshness` (what has landed
is not older than that), `failures` (no more than this share of chunks are dead letters).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pandas as pd

from chunk_sync.health.frames import MOMENT, typed

KEPT, AT_RISK, BROKEN = "kept", "at_risk", "broken"
_RULES = {
    "tenant_id": "int64",
    "tenant": "str",
    "first_sync_within": "float64",
    "freshness_within": "float64",
    "failure_budget": "float64",
    "span": "float64",
}
_MAILBOXES = {
    "tenant_id": "int64",
    "mailbox_id": "int64",
    "mailbox": "str",
    "paused": "bool",
    "requested_at": MOMENT,
    "completed_at": MOMENT,
    "fresh_as_of": MOMENT,
    "expected_at": MOMENT,
}
_FAILURE_COUNTS = ("tenant_id", "ended", "dead", "ended_6h", "dead_6h", "ended_1h", "dead_1h")
_FAILURES: dict[str, str] = dict.fromkeys(_FAILURE_COUNTS, "int64")
_USED_UP = 0.8
"""Without a forecast, a promise is at risk when so much of its time is over."""
_TOLD_LATE = timedelta(days=1)
"""So long a first sync that ended too late is still told of: then there is nothing left to be done."""
_FAST_BURN = 6.0
"""Six times as many failures as the budget bears, in the last hour and in the last six: used up in days."""
_ENOUGH_CHUNKS = 20


@dataclass(frozen=True, slots=True)
class SlaState:
    """How one promise stands; as a row of the table sla_states."""

    tenant_id: int
    objective: str
    mailbox_id: int | None
    state: str
    message: str
    deadline_at: datetime | None = None
    expected_at: datetime | None = None
    burn_rate: float | None = None
    budget_left: float | None = None


def judge(
    rules: Sequence[Mapping[str, object]],
    mailboxes: Sequence[Mapping[str, object]],
    failures: Sequence[Mapping[str, object]],
    now: datetime,
) -> list[SlaState]:
    """Judge every promise by rows of `sql/queries/sla_rules`, `sla_mailboxes` and `sla_failures`."""
    boxes = typed(mailboxes, _MAILBOXES).merge(typed(rules, _RULES), on="tenant_id")
    budgets = typed(failures, _FAILURES).merge(typed(rules, _RULES), on="tenant_id")
    return [
        *(state for row in boxes.to_dict("records") for state in _of_mailbox(row, now)),
        *(_of_budget(row) for row in budgets.to_dict("records") if pd.notna(row["failure_budget"])),
    ]


@dataclass(frozen=True, slots=True)
class SlaSummary:
    """Promises by state, for all and by tenant; a table of those that are not kept, and one of budgets."""

    by_state: Mapping[str, int]
    by_tenant: Mapping[int, Mapping[str, float]]
    not_kept: pd.DataFrame
    budgets: pd.DataFrame


def summarize_states(states: Sequence[SlaState]) -> SlaSummary:
    """Summarize verdicts."""
    frame = pd.DataFrame(
        [(s.tenant_id, s.objective, s.state, s.message, s.burn_rate, s.budget_left) for s in states],
        columns=["tenant_id", "objective", "state", "message", "burn_rate", "budget_left"],
    )
    order = [BROKEN, AT_RISK, KEPT]
    counts = frame["state"].value_counts().reindex(order, fill_value=0)
    bad = frame[frame["state"] != KEPT].sort_values("state", key=lambda s: s.map(order.index), kind="stable")
    budgets = frame[frame["objective"] == "failures"]
    return SlaSummary(
        by_state={state: int(counts[state]) for state in order},
        by_tenant={
            int(str(tenant)): {state: int((rows["state"] == state).sum()) for state in order}
            for tenant, rows in frame.groupby("tenant_id")
        },
        not_kept=bad[["state", "objective", "message"]],
        budgets=budgets[["tenant_id", "burn_rate", "budget_left", "message"]],
    )


def _of_mailbox(row: Mapping[Any, Any], now: datetime) -> Iterator[SlaState]:
    done = _moment(row["completed_at"])
    if pd.notna(row["first_sync_within"]):
        within = timedelta(seconds=row["first_sync_within"])
        if done is None or now - done < _TOLD_LATE:
            yield _timed(row, "first_sync", row["requested_at"].to_pydatetime(), within, done, now)
    fresh = _moment(row["fresh_as_of"])
    if pd.notna(row["freshness_within"]) and done is not None and fresh is not None:
        yield _timed(row, "freshness", fresh, timedelta(seconds=row["freshness_within"]), None, now)


def _timed(
    row: Mapping[Any, Any], objective: str, since: datetime, within: timedelta, done: datetime | None, now: datetime
) -> SlaState:
    """Judge a deadline: by when it was kept, else by when it should be, else by how much of the time is over."""
    deadline, expected = since + within, done or _moment(row["expected_at"])
    what = f"{objective.replace('_', ' ')} of {row['mailbox']}"
    if row["paused"] and done is None:
        state, message = KEPT, f"{what}: paused, the clock waits"
    elif min(done or now, now) > deadline:
        state, message = BROKEN, f"{what}: due {_said(deadline)}, {'done ' + _said(done) if done else 'not done'}"
    elif done is None and (expected > deadline if expected else now - since > _USED_UP * within):
        state, message = AT_RISK, f"{what}: due {_said(deadline)}, expected {_said(expected)}"
    else:
        state, message = KEPT, f"{what}: due {_said(deadline)}"
    return SlaState(row["tenant_id"], objective, row["mailbox_id"], state, message, deadline, expected)


def _of_budget(row: Mapping[Any, Any]) -> SlaState:
    """Judge a failure budget: what is left of it, and how fast it is being used up."""
    budget = float(row["failure_budget"])
    left = 1.0 - row["dead"] / (budget * row["ended"]) if row["ended"] else 1.0
    hour, six = (_burn(row[f"dead_{span}"], row[f"ended_{span}"], budget) for span in ("1h", "6h"))
    if left < 0 and row["ended"] >= _ENOUGH_CHUNKS:
        state = BROKEN
    elif min(hour, six) >= _FAST_BURN and row["ended_1h"] >= _ENOUGH_CHUNKS:
        state = AT_RISK
    else:
        state = KEPT
    message = (
        f"failures of {row['tenant']}: {row['dead']} of {row['ended']} chunks, {budget:.2%} are allowed;"
        f" {max(left, 0.0):.0%} of the budget left, burning {hour:.1f} times as fast as it bears"
    )
    return SlaState(
        row["tenant_id"], "failures", None, state, message, burn_rate=round(hour, 3), budget_left=round(left, 4)
    )


def _burn(dead: int, ended: int, budget: float) -> float:
    return dead / ended / budget if ended else 0.0


def _moment(value: Any) -> datetime | None:
    return None if pd.isna(value) else value.to_pydatetime()


def _said(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M UTC}" if moment else "nobody knows when"
