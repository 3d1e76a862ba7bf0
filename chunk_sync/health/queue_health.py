"""The queue's health, from a frame of queue rows and one of attempts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from chunk_sync.health.frames import typed

STATUSES = ("pending", "processing", "completed", "failed", "cancelled")
_QUEUE = {
    "tenant": "str",
    "mailbox": "str",
    "status": "str",
    "chunks": "int64",
    "due": "int64",
    "oldest_due_seconds": "float64",
}
_ATTEMPTS = {
    "status": "str",
    "error_category": "str",
    "attempts": "int64",
    "ms_sum": "int64",
    "emails": "int64",
}


@dataclass(frozen=True, slots=True)
class QueueHealth:
    """Numbers and tables. Ages in seconds, rates in emails per second of work, `average_ms` over all attempts.

    `overall_health`: degraded when errors > successes in the last hour, warning with any error, else healthy.
    """

    overall_health: str
    due: int
    oldest_due_seconds: float
    successes: int
    errors: int
    emails: int
    emails_per_second: float
    average_ms: float
    by_status: pd.DataFrame
    by_mailbox: pd.DataFrame
    by_category: pd.DataFrame


def summarize(queue_rows: Sequence[Mapping[str, object]], attempt_rows: Sequence[Mapping[str, object]]) -> QueueHealth:
    """Summarize the queue and its last hour; rows as `sql/queries/queue_health` and `attempts_recent` give them."""
    queue = typed(queue_rows, _QUEUE)
    attempts = typed(attempt_rows, _ATTEMPTS)
    # Recoveries are attempts that ended with their worker: errors, as far as the hour is concerned.
    succeeded = attempts["status"] == "success"
    ended = attempts["attempts"]
    errors, successes = int(ended[~succeeded].sum()), int(ended[succeeded].sum())
    seconds = attempts.loc[succeeded, "ms_sum"].sum() / 1000
    emails = int(attempts.loc[succeeded, "emails"].sum())
    oldest = queue["oldest_due_seconds"].max()
    return QueueHealth(
        overall_health="degraded" if errors > successes else "warning" if errors else "healthy",
        due=int(queue["due"].sum()),
        oldest_due_seconds=0.0 if pd.isna(oldest) else float(oldest),
        successes=successes,
        errors=errors,
        emails=emails,
        emails_per_second=float(round(emails / seconds, 2)) if seconds else 0.0,
        average_ms=round(float(attempts["ms_sum"].sum()) / (errors + successes), 2) if errors + successes else 0.0,
        by_status=_by_status(queue),
        by_mailbox=_by_mailbox(queue),
        by_category=_by_category(attempts[~succeeded]),
    )


def _by_status(queue: pd.DataFrame) -> pd.DataFrame:
    counts = queue.groupby("status")["chunks"].sum().reindex(list(STATUSES), fill_value=0)
    return counts.rename_axis("status").reset_index()


def _by_mailbox(queue: pd.DataFrame) -> pd.DataFrame:
    table = queue.pivot_table(
        index=["tenant", "mailbox"], columns="status", values="chunks", aggfunc="sum", fill_value=0
    )
    return table.reindex(columns=list(STATUSES), fill_value=0).reset_index()


def _by_category(failed: pd.DataFrame) -> pd.DataFrame:
    named = failed.assign(error_category=failed["error_category"].fillna("unknown"))
    counts = named.groupby("error_category")["attempts"].sum().sort_values(ascending=False, kind="stable")
    table = counts.reset_index()
    table["share"] = (table["attempts"] / max(int(table["attempts"].sum()), 1)).round(4)
    return table
