"""The roll-up of attempts by hour: what survives their retention, and what trends are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from chunk_sync.health.frames import MOMENT, typed_csv

ATTEMPTS: Mapping[str, str] = {
    "created_at": MOMENT,
    "tenant_id": "int64",
    "mailbox_id": "int64",
    "provider": "str",
    "status": "str",
    "error_category": "str",
    "attempt_number": "int64",
    "dead": "str",
    "emails_processed": "int64",
    "chunk_size": "int64",
    "bytes_processed": "int64",
    "requests": "int64",
    "processing_time_ms": "int64",
    "efficiency_ratio": "float64",
}
"""An attempt, as `sql/queries/attempts_export.sql` gives it. `dead`: its chunk has failed for good by it."""

_KEYS = ["hour", "tenant_id", "mailbox_id", "provider", "status", "error_category"]


def roll_up(attempts_csv: bytes) -> pd.DataFrame:
    """Sum attempts by hour, mailbox, provider, status and category; columns as the table attempt_hours has them."""
    attempts = typed_csv(attempts_csv, ATTEMPTS)
    attempts["provider"] = attempts["provider"].fillna("")
    attempts["hour"] = attempts["created_at"].dt.floor("h")
    attempts["is_first"], attempts["is_dead"] = attempts["attempt_number"] <= 1, attempts["dead"] == "t"
    grouped = attempts.groupby(_KEYS, dropna=False, sort=True)
    times = grouped["processing_time_ms"]
    ratios = grouped["efficiency_ratio"]
    return pd.DataFrame(
        {
            "attempts": grouped.size(),
            "first_attempts": grouped["is_first"].sum(),
            "dead_letters": grouped["is_dead"].sum(),
            "emails": grouped["emails_processed"].sum(),
            "planned_emails": grouped["chunk_size"].sum(),
            "bytes": grouped["bytes_processed"].sum(),
            "requests": grouped["requests"].sum(),
            "ms_sum": times.sum(),
            "ms_min": times.min(),
            "ms_max": times.max(),
            "ms_p50": times.quantile(0.5),
            "ms_p95": times.quantile(0.95),
            "ratio_sum": ratios.sum(),
            "ratio_max": ratios.max(),
            "ratio_count": ratios.count(),
        }
    ).reset_index()


def hour_rows(attempts_csv: bytes) -> list[dict[str, Any]]:
    """Make rows of the table attempt_hours, as `roll_up` gives them; NULL where there is nothing."""
    frame = roll_up(attempts_csv).astype("object")
    return frame.where(frame.notna(), None).to_dict("records")  # type: ignore[reportReturnType] - names are texts
