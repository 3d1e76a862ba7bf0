"""What becomes of chunks whose worker died: from a frame of attempts that ended so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from chunk_sync.health.frames import MOMENT, typed

HOURS, LIMIT = 24 * 7, 5_000
"""Of so many hours the last so many recoveries are read."""
ORIGINAL_SECONDS = 600.0
"""The system that this one replaces let a chunk wait ten minutes for its dead worker."""
_SCHEMA = {
    "created_at": MOMENT,
    "silent_seconds": "float64",
    "again_seconds": "float64",
    "chunk_status": "str",
}
_STATES = ("completed", "processing", "pending", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class RecoveryEffectiveness:
    """Recovered chunks by what became of them, and how fast it went (medians, seconds; 0.0 when nobody knows).

    `silent_seconds`: from the worker's last sign of life to the recovery; `again_seconds`: from there to the next
    attempt. `saved_share`: how much of the ten minutes of old is saved. `by_itself` is the share that needed nobody.
    """

    recovered: int
    by_itself: float
    silent_seconds: float
    again_seconds: float
    slowest_seconds: float
    saved_share: float
    by_status: Mapping[str, int]


def rate_recoveries(rows: Sequence[Mapping[str, object]]) -> RecoveryEffectiveness:
    """Rate rows as `sql/queries/recoveries_recent` gives them."""
    frame = typed(rows, _SCHEMA)
    known = frame["silent_seconds"].dropna()
    silent = _median(known)
    counts = frame["chunk_status"].value_counts().reindex(list(_STATES), fill_value=0)
    dead = int(counts["failed"])
    return RecoveryEffectiveness(
        recovered=len(frame),
        by_itself=round(1 - dead / len(frame), 4) if len(frame) else 1.0,
        silent_seconds=silent,
        again_seconds=_median(frame["again_seconds"].dropna()),
        slowest_seconds=round(float(known.max()), 3) if len(known) else 0.0,
        saved_share=round(1 - silent / ORIGINAL_SECONDS, 4) if len(known) else 0.0,
        by_status={status: int(counts[status]) for status in _STATES},
    )


def _median(values: pd.Series) -> float:
    return round(float(values.median()), 3) if len(values) else 0.0
