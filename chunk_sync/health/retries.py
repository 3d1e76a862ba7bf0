"""What retries are good for: from a frame of failed attempts and what came after each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from chunk_sync.health.frames import typed

HOURS, LIMIT = 24 * 7, 5_000
"""Of so many hours the last so many failed attempts are read."""
BLIND_ATTEMPTS = 3
"""What blind retry means: everything is tried three times, whatever was wrong with it."""
_SCHEMA = {
    "error_category": "str",
    "attempt_number": "int64",
    "dead": "bool",
    "delay_ms": "float64",
    "next_status": "str",
    "waited_seconds": "float64",
}


@dataclass(frozen=True, slots=True)
class RetryEffectiveness:
    """Failed attempts, how many were tried again, and how many of those tries were a success.

    `spared` are the tries that blind retry would have made at chunks which we gave up early; `spared_share` is their
    part of all failed attempts that blind retry would have had.
    """

    failed: int
    retried: int
    rescued: int
    rescue_share: float
    spared: int
    spared_share: float
    by_category: pd.DataFrame


def rate_retries(rows: Sequence[Mapping[str, object]]) -> RetryEffectiveness:
    """Rate rows as `sql/queries/retries_recent` gives them."""
    frame = typed(rows, _SCHEMA)
    frame["error_category"] = frame["error_category"].fillna("unknown")
    frame["retried"] = frame["next_status"].notna() & ~frame["dead"]
    frame["rescued"] = frame["retried"] & (frame["next_status"] == "success")
    frame["spared"] = (BLIND_ATTEMPTS - frame["attempt_number"]).clip(lower=0).where(frame["dead"], 0)
    failed, retried, rescued = len(frame), int(frame["retried"].sum()), int(frame["rescued"].sum())
    spared = int(frame["spared"].sum())
    return RetryEffectiveness(
        failed=failed,
        retried=retried,
        rescued=rescued,
        rescue_share=round(rescued / retried, 4) if retried else 0.0,
        spared=spared,
        spared_share=round(spared / (failed + spared), 4) if failed + spared else 0.0,
        by_category=_by_category(frame),
    )


def _by_category(frame: pd.DataFrame) -> pd.DataFrame:
    grouped = frame.groupby("error_category")
    waited = frame.loc[frame["retried"]].groupby("error_category")["waited_seconds"].median()
    table = pd.DataFrame(
        {
            "failed": grouped.size(),
            "retried": grouped["retried"].sum(),
            "rescued": grouped["rescued"].sum(),
            "dead_letters": grouped["dead"].sum(),
            "spared": grouped["spared"].sum().astype("int64"),
            "median_wait_seconds": waited.round(2),
        }
    )
    table["median_wait_seconds"] = table["median_wait_seconds"].fillna(0.0)
    return table.sort_values("failed", ascending=False, kind="stable").reset_index()
